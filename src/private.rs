//! The names that generated code may use. Nobody else: they change without notice.

pub use session_core::field::{Field, accessor};
pub use session_core::schema::{Options, SameSite, Schema, SessionData};

use crate::fairing::SessionFairing;

/// The body of `T::fairing()`.
pub fn fairing<T: SessionData>() -> SessionFairing<T> {
    SessionFairing::new()
}
