//! Typed, declared sessions for Rocket.

mod catch;
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

// The public interface is:
pub use session_core::clock::{Clock, SystemClock, Timestamp};
pub use session_core::expiry::Expiry;
pub use session_core::schema::SessionData;
pub use session_core::store::Store;
pub use session_core::store::memory::MemoryStore;
#[cfg(feature = "redis")]
pub use session_core::store::redis::RedisStore;
#[cfg(feature = "testing")]
pub use session_core::testing;
pub use session_core::token::SessionId;
pub use session_macros::session;

#[cfg(feature = "redis")]
pub use crate::database::RedisPool;
pub use crate::error::Error;
pub use crate::fairing::SessionFairing;
pub use crate::session::Session;

#[cfg(feature = "redis")]
pub use deadpool_redis;

#[doc(hidden)]
pub mod __private {
    pub use crate::private::*;
    pub use session_core::schema::SessionData;
}
