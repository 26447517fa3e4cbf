//! The names that generated code may use. Nobody else: they change without notice.

use session_core::schema::SessionData;

pub use session_core::field::{Field, accessor};
pub use session_core::schema::{Options, SameSite, Schema};

use crate::fairing::SessionFairing;

/// The body of `T::fairing()`.
pub fn fairing<T: SessionData>() -> SessionFairing<T> {
    SessionFairing::new()
}
