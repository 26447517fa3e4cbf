//! The engine of [`rocket_typed_session`](https://docs.rs/rocket_typed_session), which is probably
//! the crate you want.
//!
//! Depend on this one to write a [`Store`](store::Store) of your own. It holds what a session is,
//! apart from any web framework: declared [fields](field) and their [merge rules](rule), the
//! [token], the [lifetimes](expiry), the [decision](state) what a request's end commits, the
//! [engine] that acts on it, and two [stores](store).
//!
//! # What this crate does not do
//!
//! It knows no Rocket, no HTTP and no cookie; it has no global state, starts no task but the one that
//! connects to Redis, and reads the time in one place only, the [`clock`].

pub mod changes;
pub mod clock;
pub mod commit;
pub mod engine;
pub mod error;
pub mod expiry;
pub mod field;
mod layout;
pub mod options;
pub mod random;
pub mod recent;
pub mod record;
pub mod rule;
pub mod schema;
pub mod state;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod token;
pub mod value;
