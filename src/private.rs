//! The names that generated code may use. They change without notice.

pub use rocket::http::Status;
pub use rocket::request::{FromRequest, Outcome};
pub use rocket::{Ignite, Request, Rocket, Sentinel, async_trait};
pub use session_core::field::codec::{accessor, entries};
pub use session_core::field::{Field, OnUnreadable};
pub use session_core::options::{Options, SameSite, WhenFull};
pub use session_core::schema::{Identified, NoParent, Schema, SessionData};

use session_core::value::{DefaultValue, IdentityValue};

use crate::csrf::CsrfFairing;
use crate::error::Error;
use crate::fairing::SessionFairing;
pub use crate::guard::declared::{DeclaredGuard, Denial, Rule, admit};
use crate::session::Session;

/// The type that names a user.
pub type User<T> = <<T as Identified>::Identity as IdentityValue>::User;

/// The body of `T::fairing()`.
pub fn fairing<T: SessionData>() -> SessionFairing<T> {
    SessionFairing::new()
}

/// The body of `T::csrf()`.
pub fn csrf<T: SessionData>() -> CsrfFairing<T> {
    CsrfFairing::new()
}

/// The body of the fuzz target `cookie`.
#[cfg(fuzzing)]
pub fn read_cookies(bytes: &[u8]) {
    crate::cookie::fuzzed::read(bytes);
}

/// The value of a field in a new session, unless declared otherwise.
///
/// Only this function requires a default, so the compiler underlines the type where the user wrote it.
#[must_use]
pub fn default<V: DefaultValue>() -> V {
    V::default()
}

/// The body of `take_…()`, for a field that is stored under `name`.
pub async fn take<T: SessionData, V: Default>(
    session: &mut Session<T>,
    name: &'static str,
    field: fn(&mut T) -> &mut V,
) -> Result<V, Error> {
    session.take_once(name, field).await
}
