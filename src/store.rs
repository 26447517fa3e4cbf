//! Where sessions are stored, and the contract for your own [`Store`].

pub use session_core::clock::{Clock, SystemClock, Timestamp};
pub use session_core::store::Store;
pub use session_core::store::memory::MemoryStore;
#[cfg(feature = "redis")]
pub use session_core::store::redis::RedisStore;

#[cfg(feature = "redis")]
pub use crate::database::config::configured_redis;
