//! What is managed for each session type: its settings, and its engine with store and clock.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rocket::Request;
use rocket::http::Cookie;
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
    pub(crate) fn new(engine: Engine<T>, cookie: CookieSettings) -> Self {
        let engine = Arc::new(engine);
        Self { engine, cookie }
    }

    /// The slot of a request, made the first time.
    pub(crate) fn slot(&self, request: &Request<'_>) -> Arc<Slot<T>> {
        let cell = cell::<T>(request);
        let answered = || cell.answered.load(Ordering::SeqCst);
        let slot = cell.slot.get_or_init(|| {
            let engine = Arc::clone(&self.engine);
            Arc::new(Slot::new(engine, answered()))
        });
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

/// The slot of a request whose response is being decided, if it has used its session.
pub(crate) fn answer<'r, T: SessionData>(request: &'r Request<'_>) -> Option<&'r Arc<Slot<T>>> {
    let cell = cell::<T>(request);
    cell.answered.store(true, Ordering::SeqCst);
    cell.slot.get().filter(|slot| slot.is_open())
}

/// A type of our own, so that it meets no other value in a request's cache.
struct Cell<T: SessionData> {
    slot: OnceLock<Arc<Slot<T>>>,
    answered: AtomicBool,
}

fn cell<'r, T: SessionData>(request: &'r Request<'_>) -> &'r Cell<T> {
    request.local_cache(|| Cell {
        slot: OnceLock::new(),
        answered: AtomicBool::new(false),
    })
}

/// The session cookies that the responses of a request set so far: if a later session type's commit
/// fails, its response replaces theirs, but what they say has happened.
#[derive(Default)]
pub(crate) struct SentCookies(Mutex<Vec<Cookie<'static>>>);

impl SentCookies {
    pub(crate) fn of<'r>(request: &'r Request<'_>) -> &'r Self {
        request.local_cache(Self::default)
    }

    pub(crate) fn add(&self, cookie: Cookie<'static>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(cookie);
    }

    pub(crate) fn all(&self) -> Vec<Cookie<'static>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The names and cookies of all session types: two types with one name would open each other's
/// sessions, and two with one cookie end them.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<Vec<Registered>>);

#[derive(Debug)]
struct Registered {
    name: &'static str,
    cookie: String,
    data: &'static str,
}

impl Registry {
    /// Registers the session type `T`, or tells what it has in common with another one.
    pub(crate) fn register<T: SessionData>(&self, cookie: &str) -> Result<(), String> {
        let name = T::SCHEMA.name();
        let data = std::any::type_name::<T>();
        let mut registered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for other in registered.iter() {
            if other.name == name {
                return Err(format!(
                    "`{}` has the same name; give one of them another: `#[session(name = \"…\")]`",
                    other.data
                ));
            }
            if other.cookie == cookie {
                return Err(format!(
                    "`{}` has the same cookie, `{cookie}`; give one of them another: \
                     `#[session(cookie = \"…\")]`",
                    other.data
                ));
            }
        }
        registered.push(Registered {
            name,
            cookie: cookie.to_owned(),
            data,
        });
        Ok(())
    }
}
