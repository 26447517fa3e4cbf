//! Typed, declared sessions for Rocket: a struct says what a session holds, `#[session]` makes a
//! request guard and a fairing of it, and its fields are kept in memory or in Redis.
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
//! The primary type is [`Session<T>`](Session), the guard; what can be declared says
//! [`#[session]`](macro@session).
//!
//! # Outline
//!
//! - [`#[session]`](macro@session): every option of the struct and of its fields.
//! - [`Session`]: what a handler does with it, when it is stored, what happens when the store is
//!   down.
//! - [`SessionFairing`]: where sessions are stored; [`MemoryStore`], [`RedisStore`], [`RedisPool`],
//!   and the contract of [`Store`] for one of your own.
//! - `testing` (feature `testing`): a kit for the tests of your application, and what tests of a store
//!   need.
//! - The README has a guide, tables of all options, and the guarantees; DESIGN.md says why.
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
//! they are in Redis: one hash per session, one hash field per struct field. Both stores behave the
//! same.
//!
//! # Features
//!
//! - `redis` (default): [`RedisStore`] and [`RedisPool`].
//! - `testing`: the module `testing`.

mod catch;
mod commit;
mod config;
mod cookie;
#[cfg(feature = "redis")]
mod database;
mod error;
mod fairing;
mod guard;
mod private;
mod session;
mod sessions;
mod slot;
#[cfg(feature = "testing")]
pub mod testing;
mod work;

// The public interface is:
pub use session_core::clock::{Clock, SystemClock, Timestamp};
pub use session_core::expiry::Expiry;
pub use session_core::schema::SessionData;
pub use session_core::store::Store;
pub use session_core::store::memory::MemoryStore;
#[cfg(feature = "redis")]
pub use session_core::store::redis::RedisStore;
pub use session_core::token::SessionId;
pub use session_macros::session;

#[cfg(feature = "redis")]
pub use crate::database::RedisPool;
pub use crate::error::{Error, TransactError};
pub use crate::fairing::SessionFairing;
pub use crate::session::Session;

/// The version that [`RedisPool`] is made of, for queries of your own.
#[cfg(feature = "redis")]
pub use deadpool_redis;

#[doc(hidden)]
pub mod __private {
    pub use crate::private::*;
}

/// Their programs are compiled, so that they cannot rot. They need all features.
#[cfg(all(doctest, feature = "redis", feature = "testing"))]
mod documentation {
    #[doc = include_str!("../README.md")]
    mod readme {}

    #[doc = include_str!("../DESIGN.md")]
    mod design {}
}
