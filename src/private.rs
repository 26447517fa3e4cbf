//! The names that generated code may use. Nobody else: they change without notice.

pub use session_core::field::codec::{accessor, entries};
pub use session_core::field::{Field, OnUnreadable};
pub use session_core::options::{Options, SameSite};
pub use session_core::schema::{Identified, Schema, SessionData};

use session_core::value::DefaultValue;

use crate::error::Error;
use crate::fairing::SessionFairing;
use crate::session::Session;

/// The body of `T::fairing()`.
pub fn fairing<T: SessionData>() -> SessionFairing<T> {
    SessionFairing::new()
}

/// What a field is in a new session, unless that is declared.
///
/// This is the one place that asks whether there is a default, so that the compiler underlines the
/// type where the user wrote it.
#[must_use]
pub fn default<V: DefaultValue>() -> V {
    V::default()
}

/// The body of `take_…()`, for a field that is stored under `name`.
///
/// # Errors
///
/// As [`Session::save`].
pub async fn take<T: SessionData, V: Default>(
    session: &mut Session<T>,
    name: &'static str,
    field: fn(&mut T) -> &mut V,
) -> Result<V, Error> {
    session.take_once(name, field).await
}
