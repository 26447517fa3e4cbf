//! The engine of [`rocket_typed_session`](https://docs.rs/rocket_typed_session), which is probably the crate
//! you want.
//!
//! Depend on this one to write your own [`Store`](store::Store). It defines sessions without a web framework:
//! the [record] with its [fields] and their [merge rules](merge), the [token], the [lifetimes](expiry), and
//! two [stores](store).
//!
//! It has no global state, and starts only one kind of task, which connects to Redis. Only the [`clock`]
//! reads the wall clock. The feature `rocket` lets a [`SessionId`](token::SessionId) appear in a path or a
//! form.
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

// For your own stores:
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

// Only for `rocket_typed_session` and `session-macros`. They change without notice:
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
