//! Typed, declared sessions for Rocket. You declare a struct, `#[session]` makes a request guard
//! and a fairing from it, and its fields are stored in memory or in Redis.
//!
//! ```rust
//! use rocket::{get, post, response::Redirect, routes, uri};
//! use rocket_typed_session::{Session, session};
//!
//! #[session(idle = "30m", absolute = "12h")]
//! struct Visit {
//!     #[session(counter)]
//!     views: u64,
//!     #[session(identity)]
//!     user: Option<String>,
//! }
//!
//! #[get("/")]
//! fn index(mut visit: Session<Visit>) -> String {
//!     visit.views += 1;
//!     format!("Number of views {}", visit.views)
//! }
//!
//! #[post("/logout")]
//! fn logout(mut visit: Session<Visit>) -> Redirect {
//!     visit.destroy();
//!     Redirect::to(uri!(index))
//! }
//!
//! let rocket = rocket::build().attach(Visit::fairing()).mount("/", routes![index, logout]);
//! # let client = rocket::local::blocking::Client::tracked(rocket).unwrap();
//! # let view = || client.get("/").dispatch().into_string().unwrap();
//! assert_eq!(view(), "Number of views 1");
//! assert_eq!(view(), "Number of views 2");
//! client.post("/logout").dispatch();
//! assert_eq!(view(), "Number of views 1");
//! ```
//!
//! The primary type is the guard, [`Session<T>`](Session). **[The guide](guide)** has a chapter for
//! each thing that you want to do.
//!
//! # Outline
//!
//! - [`#[session]`](macro@session): every option of the struct and of its fields.
//! - [`Sessions`]: all sessions of a user, listed and ended.
//! - [`Error`] and [`TransactError`]: what can go wrong.
//! - [`SessionFairing`]: choose a store; be told of each [`Event`].
//! - [`CsrfFairing`] and [`CsrfToken`]: refuse cross-site requests.
//! - [`store`]: the stores, and the contract of a [`Store`](store::Store) of your own.
//! - `testing`: a kit for the tests of your application, and tests of a store.
//! - SECURITY.md has the rules about tokens, DESIGN.md the reasons, docs/operations.md how to run
//!   Redis.
//!
//! # Stores
//!
//! Without configuration, sessions are in the memory of the process. With
//!
//! ```toml
//! [default.databases.sessions]
//! url = "redis://127.0.0.1:6379"
//! ```
//!
//! they are in Redis. All stores behave the same. [On Redis](guide::redis) has all keys.
//!
//! # Features
//!
//! - `redis` (default): the Redis store, `RedisPool`, `.database::<Db>()`
//! - `tls`: `rediss://`, Redis over TLS, by rustls
//! - `metrics`: counters of events and latencies of the store, by the `metrics` facade
//! - `testing`: `testing::TestKit` and `assert_layout` for your tests; `ManualClock`;
//!   `FaultyStore`; `testing::conformance` for a store of your own
//!
//! The minimum supported Rust version is 1.89, that of Rocket 0.5.2. It rises only together with
//! Rocket's.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod catch;
mod config;
mod cookie;
mod csrf;
#[cfg(feature = "redis")]
mod database;
mod error;
mod fairing;
mod guard;
// For rustdoc alone: a build does not contain it. Its programs need all features.
#[cfg(any(
    all(doc, not(doctest)),
    all(doctest, feature = "redis", feature = "testing")
))]
pub mod guide;
mod headers;
mod managed;
mod private;
mod return_to;
mod session;
mod sessions;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use session_core::event::{Event, EventKind, Reason};
pub use session_core::expiry::Lifetime;
pub use session_core::schema::{Identified, SessionData};
pub use session_core::token::SessionId;
/// Makes a struct a session type.
///
/// The guide has a [first program](crate::guide::first_session), and chapters on
/// [merging](crate::guide::json), [`once`](crate::guide::forms), [guards](crate::guide::login),
/// [devices](crate::guide::devices), [encryption](crate::guide::encrypted),
/// [`parent`](crate::guide::parent) and [changes of the struct](crate::guide::deploy).
///
pub use session_macros::session;

pub use crate::csrf::{CsrfFairing, CsrfToken};
#[cfg(feature = "redis")]
pub use crate::database::RedisPool;
pub use crate::error::{Error, TransactError};
pub use crate::fairing::SessionFairing;
pub use crate::return_to::ReturnTo;
pub use crate::session::Session;
pub use crate::sessions::{Sessions, UserSession, UserSessions};

/// The version of deadpool-redis that [`RedisPool`] uses, for queries of your own.
#[cfg(feature = "redis")]
pub use deadpool_redis;

#[doc(hidden)]
pub mod __private {
    pub use crate::private::*;
}

/// Compiles and runs the README's programs, which need all features.
#[cfg(all(doctest, feature = "redis", feature = "testing"))]
#[doc = include_str!("../README.md")]
mod readme {}
