//! What is managed for each session type: its settings, and its engine with store and clock.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rocket::Request;
use session_core::engine::Engine;
use session_core::schema::SessionData;

use crate::cookie::{CookieSettings, Tokens};
use crate::slot::Slot;

/// Everything about the sessions of type `T`, managed by Rocket from ignition on.
pub(crate) struct Sessions<T: SessionData> {
    pub(crate) engine: Arc<Engine<T>>,
    pub(crate) cookie: CookieSettings,
}

impl<T: SessionData> Sessions<T> {
    /// The slot of a request, made the first time.
    pub(crate) fn slot(&self, request: &Request<'_>) -> Arc<Slot<T>> {
        let slot = cell::<T>(request).get_or_init(|| Arc::new(Slot::new(Arc::clone(&self.engine))));
        Arc::clone(slot)
    }

    /// The tokens in a request's cookies.
    pub(crate) fn tokens(&self, request: &Request<'_>) -> Tokens {
        let mut headers = request.headers().get("Cookie").peekable();
        if headers.peek().is_some() {
            return self.cookie.tokens(headers);
        }
        // Rocket's local clients put cookies into the jar without sending a header.
        let cookie = request.cookies().get(&self.cookie.name);
        let header = cookie.map(|cookie| format!("{}={}", self.cookie.name, cookie.value()));
        self.cookie.tokens(header.as_deref())
    }
}

impl<T: SessionData> fmt::Debug for Sessions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

/// The slot of a request, if it has used its session.
pub(crate) fn slot_of<'r, T: SessionData>(request: &'r Request<'_>) -> Option<&'r Arc<Slot<T>>> {
    cell::<T>(request).get()
}

/// A type of our own, so that it meets no other value in a request's cache.
struct Cell<T: SessionData>(OnceLock<Arc<Slot<T>>>);

fn cell<'r, T: SessionData>(request: &'r Request<'_>) -> &'r OnceLock<Arc<Slot<T>>> {
    &request.local_cache(|| Cell::<T>(OnceLock::new())).0
}

/// Which cookie belongs to which session type: two with one cookie would end each other's sessions.
#[derive(Debug, Default)]
pub(crate) struct CookieNames(Mutex<Vec<(String, &'static str)>>);

impl CookieNames {
    /// Takes a cookie's name for a session type, or tells whose it is.
    pub(crate) fn take(&self, cookie: &str, session: &'static str) -> Result<(), &'static str> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, owner)) = names.iter().find(|(known, _)| known == cookie) {
            return Err(owner);
        }
        names.push((cookie.to_owned(), session));
        Ok(())
    }
}
