#![deny(
    warnings,
    future_incompatible,
    keyword_idents,
    missing_docs,
    nonstandard_style
)]
#![deny(
    rust_2018_idioms,
    trivial_casts,
    unnameable_types,
    unreachable_pub,
    unused
)]
#![deny(
    unused_qualifications,
    unused_lifetimes,
    unused_results,
    single_use_lifetimes
)]
#![forbid(unsafe_code, dead_code, deprecated, unused_qualifications)]

//! Lints that only a whole crate can deny or forbid.

use rocket_typed_session::{SessionData, session};

/// A session.
#[session(idle = "1h", same_site = "Strict", guard(Named = is_named, status = 403))]
#[derive(Debug)]
pub struct Strict {
    /// Counted.
    #[session(counter)]
    pub views: u64,
    /// Named.
    #[session(identity, guard(Member, redirect = "/login"), alias = "name")]
    pub user: Option<String>,
    /// Given.
    #[session(default = 3)]
    pub tries: u8,
    /// Taken.
    #[session(once)]
    pub challenge: Option<String>,
    /// Not stored.
    #[session(skip)]
    pub cached: Option<String>,
}

fn is_named(strict: &Strict) -> bool {
    strict.user.is_some()
}

#[session(guard(Recent, within = "5m"))]
struct Private {
    views: u64,
    #[session(identity, guard = Owner)]
    owner: Option<String>,
    #[session(once)]
    challenge: Option<String>,
    #[session(skip)]
    cached: Option<String>,
}

#[test]
fn generated_code_is_free_of_lints() {
    let private = Private::SCHEMA.defaults();
    assert_eq!((private.cached, private.owner), (None, None));
    assert_eq!((private.views, private.challenge), (0, None));
}
