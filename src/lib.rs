//! Typed, declared sessions for Rocket.
extern crate self as rocket_typed_session;
pub use session_core::schema::SessionData;
pub use session_macros::session;
/// stub
#[derive(Debug)]
pub struct SessionFairing<T>(std::marker::PhantomData<fn() -> T>);
#[doc(hidden)]
pub mod __private {
    pub use core;
    pub use session_core::field::{Field, accessor};
    pub use session_core::schema::{Options, SameSite, Schema, SessionData};
    #[must_use]
    pub fn fairing<T: SessionData>() -> crate::SessionFairing<T> { crate::SessionFairing(std::marker::PhantomData) }
}
