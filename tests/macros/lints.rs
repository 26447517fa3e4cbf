//! The generated code passes the strictest lints.

// Only here: the other modules do not test style.
#![deny(
    warnings,
    keyword_idents,
    let_underscore,
    missing_docs,
    nonstandard_style,
    rust_2018_idioms,
    single_use_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    unit_bindings,
    unnameable_types,
    unreachable_pub,
    unsafe_code,
    unused,
    unused_import_braces,
    unused_lifetimes,
    unused_qualifications,
    unused_results,
    variant_size_differences,
    clippy::all,
    clippy::nursery,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::absolute_paths,
    clippy::missing_docs_in_private_items,
    clippy::missing_inline_in_public_items,
    clippy::missing_trait_methods,
    clippy::ref_patterns,
    clippy::same_name_method,
    clippy::unreachable
)]
#![expect(clippy::redundant_pub_crate, reason = "`unreachable_pub` wants it")]

use std::collections::BTreeMap;

use rocket_typed_session::session;

/// A session of nobody's.
#[session(idle = "1h", same_site = "Strict")]
#[derive(Debug)]
pub(crate) struct Strict {
    /// Counted.
    #[session(counter)]
    pub(crate) views: u64,
    /// Named.
    #[session(identity, alias = "name")]
    pub(crate) user: Option<String>,
    /// Given.
    #[session(default = 3)]
    pub(crate) tries: u8,
    /// Raised.
    #[session(max, ttl = "1h", migrate = read)]
    pub(crate) best: u8,
    /// One by one.
    #[session(entries)]
    pub(crate) cart: BTreeMap<String, u8>,
    /// Taken.
    #[session(once, on_unreadable = "error")]
    pub(crate) challenge: Option<String>,
    /// Taken here alone.
    #[session(once)]
    secret: Option<Secret>,
    /// Not stored.
    #[session(skip)]
    pub(crate) cached: Option<String>,
    /// No longer used.
    #[deprecated = "use `tries`"]
    pub(crate) attempts: u8,
}

/// Of this module's.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
struct Secret;

/// Reads an older form.
fn read(stored: &str) -> Option<u8> {
    stored.strip_prefix('=')?.parse().ok()
}

#[session]
struct Private {
    views: u64,
    #[session(once)]
    challenge: Option<String>,
}

/// Otherwise, all of this would be dead code.
#[test]
fn is_used() {
    use rocket_typed_session::SessionData;

    let strict = Strict::SCHEMA.defaults();
    assert_eq!((strict.views, strict.tries), (0, 3));
    assert_eq!((strict.user, strict.cached), (None, None));
    assert_eq!((strict.best, strict.cart.len()), (0, 0));
    assert!(strict.challenge.is_none() && strict.secret.is_none());
    let private = Private::SCHEMA.defaults();
    assert_eq!((private.views, private.challenge), (0, None));
}
