//! The engine of [`rocket_typed_session`](https://docs.rs/rocket_typed_session), which is probably
//! the crate you want.
//!
//! Depend on this one to write a [`Store`](store::Store) of your own. It holds what a session is,
//! apart from any web framework: the [record] of its [fields] and their [merge rules](merge), the
//! [token], the [lifetimes](expiry), what a request does to its session, and two [stores](store).
//!
//! # What this crate does not do
//!
//! It knows no Rocket, no HTTP and no cookie; the feature `rocket` only lets a
//! [`SessionId`](token::SessionId) stand in a path and in a form. It has no global state and starts no task except the
//! one that connects to Redis. It reads the wall clock in one place only, the [`clock`].
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(test)]
mod interleavings;
mod layout;
#[cfg(test)]
mod mutated;
#[cfg(feature = "rocket")]
mod rocket;
mod storable;
mod update;

// For stores of your own:
pub mod changes;
pub mod clock;
pub mod error;
pub mod event;
pub mod expiry;
pub mod fields;
pub mod merge;
pub mod record;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod token;
pub mod users;

// For `rocket_typed_session` and `session-macros` alone; they change without notice:
#[doc(hidden)]
pub mod engine;
#[doc(hidden)]
pub mod field;
#[doc(hidden)]
pub mod nearest;
#[doc(hidden)]
pub mod options;
#[doc(hidden)]
pub mod plan;
#[doc(hidden)]
pub mod random;
#[doc(hidden)]
pub mod request;
#[doc(hidden)]
pub mod schema;
#[doc(hidden)]
pub mod seal;
#[doc(hidden)]
pub mod value;
