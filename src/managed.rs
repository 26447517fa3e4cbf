//! What Rocket manages for each session type, from ignition on.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rocket::Request;
use rocket::futures::future::BoxFuture;
use rocket::http::{Cookie, Method};
use session_core::engine::Engine;
use session_core::error::Error as EngineError;
use session_core::request::{Candidates, RequestSession};
use session_core::schema::SessionData;
use session_core::users::Mark;
use tracing::warn;

use crate::config::Settings;
use crate::cookie::CookieSettings;

pub(crate) struct Managed<T: SessionData> {
    pub(crate) engine: Arc<Engine<T>>,
    pub(crate) cookie: CookieSettings,
    devices: bool,
}

impl<T: SessionData> Managed<T> {
    pub(crate) fn new(engine: Engine<T>, settings: Settings) -> Self {
        Self {
            engine: Arc::new(engine),
            cookie: settings.cookie,
            devices: settings.devices,
        }
    }

    /// For a guard that hands the session out: the response commits it.
    pub(crate) fn session(&self, request: &Request<'_>) -> Arc<RequestSession<T>> {
        cell::<T>(request).used.store(true, Ordering::SeqCst);
        // Using the session also uses its parent, which must stay alive.
        if let Some(parent) = parent_of::<T>(request) {
            parent.session(request);
        }
        self.unused_session(request)
    }

    pub(crate) async fn open(
        &self,
        request: &Request<'_>,
        session: &RequestSession<T>,
    ) -> Result<(), EngineError> {
        if let Some(parent) = parent_of::<T>(request) {
            parent.open_as_parent(request).await?;
        }
        session.open(|| self.candidates(request)).await
    }

    /// Boxed, since a parent may have one too.
    fn open_as_parent<'r>(
        &'r self,
        request: &'r Request<'_>,
    ) -> BoxFuture<'r, Result<(), EngineError>> {
        let session = self.unused_session(request);
        Box::pin(async move {
            self.open(request, &session).await?;
            session.settle();
            Ok(())
        })
    }

    /// Loads a session that the request did not use but whose parent it ended, so the response ends it too.
    pub(crate) async fn open_orphan(&self, request: &Request<'_>) {
        let is_used = |parent: &Managed<T::Parent>| parent.was_opened(request);
        if self.was_opened(request)
            || !parent_of::<T>(request).is_some_and(is_used)
            || !self.brought_cookie(request)
        {
            return;
        }
        let session = self.unused_session(request);
        let opened = session.open_orphan(|| self.candidates(request)).await;
        if let Err(error) = opened {
            warn!(
                "session type {}: a session that has ended with its parent is still stored: {error}",
                T::SCHEMA.name()
            );
        }
        if session.is_open() {
            cell::<T>(request).used.store(true, Ordering::SeqCst);
        }
    }

    fn was_opened(&self, request: &Request<'_>) -> bool {
        let session = cell::<T>(request).session.get();
        session.is_some_and(|session| session.is_open())
    }

    /// For a look at the session. If nothing else asks for it, the response does not even extend its idle
    /// time.
    pub(crate) fn unused_session(&self, request: &Request<'_>) -> Arc<RequestSession<T>> {
        let cell = cell::<T>(request);
        let answered = || cell.answered.load(Ordering::SeqCst);
        let session = cell.session.get_or_init(|| {
            let engine = Arc::clone(&self.engine);
            let mut session = RequestSession::new(engine, answered());
            if matches!(request.method(), Method::Get | Method::Head) {
                session = session.reading_copies();
            }
            if let Some(parent) = parent_of::<T>(request) {
                session = session.with_parent(parent.unused_session(request));
            }
            if let Some(mark) = cell.began_at.get() {
                session = session.begun_at(*mark);
            }
            if self.devices {
                session.set_label(device(request));
            }
            Arc::new(session)
        });
        Arc::clone(session)
    }

    pub(crate) fn candidates(&self, request: &Request<'_>) -> Candidates {
        self.cookie
            .candidates(&cookie_headers(request, &self.cookie.name))
    }

    pub(crate) fn brought_cookie(&self, request: &Request<'_>) -> bool {
        self.cookie
            .is_in(&cookie_headers(request, &self.cookie.name))
    }
}

pub(crate) fn parent_of<'r, T: SessionData>(
    request: &'r Request<'_>,
) -> Option<&'r Managed<T::Parent>> {
    T::has_parent()
        .then(|| request.rocket().state::<Managed<T::Parent>>())
        .flatten()
}

fn device(request: &Request<'_>) -> String {
    label(request.headers().get_one("User-Agent").unwrap_or_default())
}

pub(crate) fn label(text: &str) -> String {
    const LONGEST: usize = 200;
    let printable = text.chars().filter(|letter| !letter.is_control());
    printable.take(LONGEST).collect()
}

/// Called before anything looks at the request's content.
pub(crate) fn begin<T: SessionData>(request: &Request<'_>, managed: &Managed<T>) {
    let cell = cell::<T>(request);
    cell.began_at.get_or_init(|| managed.engine.present());
}

/// Rocket's local clients put cookies into the jar without sending a header.
fn cookie_headers<'r>(request: &'r Request<'_>, name: &str) -> Vec<Cow<'r, str>> {
    let headers: Vec<_> = request.headers().get("Cookie").map(Cow::from).collect();
    if !headers.is_empty() {
        return headers;
    }
    let cookie = request.cookies().get(name);
    let header = cookie.map(|cookie| format!("{name}={}", cookie.value()).into());
    header.into_iter().collect()
}

impl<T: SessionData> fmt::Debug for Managed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Managed").finish_non_exhaustive()
    }
}

pub(crate) fn answer<'r, T: SessionData>(
    request: &'r Request<'_>,
) -> Option<&'r Arc<RequestSession<T>>> {
    let cell = cell::<T>(request);
    cell.answered.store(true, Ordering::SeqCst);
    let session = cell.session.get().filter(|session| session.is_open());
    session.filter(|_| cell.used.load(Ordering::SeqCst))
}

/// Our own type, so it meets no other value in a request's cache.
struct Cell<T: SessionData> {
    session: OnceLock<Arc<RequestSession<T>>>,
    used: AtomicBool,
    answered: AtomicBool,
    redirect: OnceLock<String>,
    began_at: OnceLock<Mark>,
}

fn cell<'r, T: SessionData>(request: &'r Request<'_>) -> &'r Cell<T> {
    request.local_cache(|| Cell {
        session: OnceLock::new(),
        used: AtomicBool::new(false),
        answered: AtomicBool::new(false),
        redirect: OnceLock::new(),
        began_at: OnceLock::new(),
    })
}

pub(crate) fn redirect_to<T: SessionData>(request: &Request<'_>, location: String) {
    cell::<T>(request).redirect.get_or_init(|| location);
}

pub(crate) fn redirect_of<'r, T: SessionData>(request: &'r Request<'_>) -> Option<&'r str> {
    cell::<T>(request).redirect.get().map(String::as_str)
}

/// The session cookies that a request has set. They must arrive even if a later session type's commit fails.
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

/// Two types with the same name would open each other's sessions, and two with the same cookie would end
/// them.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<Vec<Registered>>);

#[derive(Debug)]
struct Registered {
    name: &'static str,
    cookie: String,
    data: &'static str,
}

impl Registry {
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

    /// In the order in which the fairings are attached.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let registered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        registered
            .iter()
            .map(|registered| registered.name)
            .collect()
    }
}
