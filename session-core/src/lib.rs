//! The engine of [`rocket_typed_session`](https://docs.rs/rocket_typed_session).
pub mod changes;
pub mod clock;
pub mod error;
pub mod expiry;
pub mod field;
pub mod record;
pub mod schema;
pub mod token;
