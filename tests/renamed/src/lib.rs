//! `#[session]` finds the library under its name in `Cargo.toml`.

use std::collections::BTreeMap;

use sessions::{SessionData, session};

#[session(idle = "10m", same_site = "Lax")]
#[derive(Debug)]
#[non_exhaustive]
/// Uses every path that the macro generates.
pub struct Visit {
    /// Counted.
    #[session(counter)]
    pub views: u64,
    /// Who it is.
    #[session(identity)]
    pub user: Option<String>,
    /// Taken.
    #[session(once, on_unreadable = "drop_session")]
    pub challenge: Option<String>,
    /// One by one.
    #[session(entries)]
    pub cart: BTreeMap<String, u8>,
}

/// The name under which visits are stored.
#[must_use]
pub const fn name() -> &'static str {
    Visit::SCHEMA.name()
}
