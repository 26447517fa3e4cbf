//! # Testing your application
//!
//! With the feature `testing`, a [`TestKit`] replaces store and clock in Rocket's local clients. Enable it
//! only for tests:
//!
//! ```toml
//! [dev-dependencies]
//! rocket_typed_session = { version = "0.1", features = ["testing"] }
//! ```
//!
//! A kit needs no Redis and no change to the application: install it in the rocket that your application
//! builds. Each kit has its own sessions, so tests run side by
//! side.
//!
//! ```rust
//! use std::time::Duration;
//!
//! use rocket::http::Status;
//! use rocket::local::blocking::Client;
//! use rocket::{Build, Rocket, get, post, routes};
//! use rocket_typed_session::testing::TestKit;
//! use rocket_typed_session::{Session, session};
//!
//! #[session(idle = "30m")]
//! struct Visit {
//!     #[session(counter)]
//!     views: u64,
//!     #[session(identity)]
//!     user: Option<String>,
//! }
//!
//! #[get("/")]
//! fn index(mut visit: Session<Visit>) -> String {
//!     visit.views += 1;
//!     visit.user.clone().unwrap_or_else(|| "nobody".into())
//! }
//!
//! fn rocket() -> Rocket<Build> {
//!     rocket::build().attach(Visit::fairing()).mount("/", routes![index])
//! }
//!
//! let kit = TestKit::new();
//! let client = Client::untracked(kit.install(rocket())).unwrap();
//!
//! // A logged-in user, without login form or password.
//! let alice = Visit { user: Some("alice".into()), views: 9 };
//! let cookie = kit.seed_blocking(client.rocket(), alice);
//! let response = client.get("/").cookie(cookie.clone()).dispatch();
//! assert_eq!(response.into_string().unwrap(), "alice");
//!
//! // What the request left behind.
//! let visit: Visit = kit.read_blocking(client.rocket(), &cookie).unwrap();
//! assert_eq!(visit.views, 10);
//!
//! // A new visitor gets a cookie, and a session.
//! let response = client.get("/").dispatch();
//! let visit: Visit = kit.read_blocking(client.rocket(), &response).unwrap();
//! assert_eq!(visit.views, 1);
//!
//! // The store is down.
//! kit.break_store();
//! let response = client.get("/").cookie(cookie.clone()).dispatch();
//! assert_eq!(response.status(), Status::ServiceUnavailable);
//! kit.mend_store();
//!
//! // The next day.
//! kit.advance(Duration::from_secs(24 * 60 * 60));
//! let response = client.get("/").cookie(cookie).dispatch();
//! assert_eq!(response.into_string().unwrap(), "nobody");
//! ```
//!
//! Make a new local request for each dispatch: to the session, clones are one request.
//!
//! # Requests that change something
//!
//! To [`CsrfFairing`](crate::CsrfFairing), a local client is a script with a cookie, which needs a token.
//! Send what a browser sends: [`same_origin`] for your own pages, [`cross_site`] for another site's.
//!
//! ```rust
//! # use rocket::http::Status;
//! # use rocket::local::blocking::Client;
//! # use rocket::{post, routes};
//! # use rocket_typed_session::testing::TestKit;
//! # use rocket_typed_session::{Session, session};
//! use rocket_typed_session::testing::{cross_site, same_origin};
//!
//! # #[session] struct Visit { views: u64 }
//! # #[post("/reset")] fn reset(mut visit: Session<Visit>) { visit.views = 0 }
//! # let rocket = rocket::build().attach(Visit::fairing()).attach(Visit::csrf());
//! # let rocket = rocket.mount("/", routes![reset]);
//! # let kit = TestKit::new();
//! # let client = Client::untracked(kit.install(rocket)).unwrap();
//! # let cookie = kit.seed_blocking(client.rocket(), Visit { views: 9 });
//! let post = |header| client.post("/reset").cookie(cookie.clone()).header(header).dispatch();
//! assert_eq!(post(same_origin()).status(), Status::Ok);
//! assert_eq!(post(cross_site()).status(), Status::Forbidden);
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rocket::futures::future::BoxFuture;
use rocket::http::{Cookie, Header};
use rocket::{Build, Orbit, Rocket};
use session_core::clock::Timestamp;
use session_core::error::Error;
use session_core::plan::CookieChange;
use session_core::record::Record;
use session_core::request::RequestSession;
use session_core::schema::SessionData;
use session_core::store::memory::MemoryStore;
use session_core::store::{
    Created, Delete, Deleted, Key, Store, Update, Updated, UserIndex, Wanted,
};
use session_core::users::{Mark, Step, Stepped, UserKey};

pub use session_core::testing::*;

use crate::managed::Managed;

/// Replaces the store and the clock of all session types of an application.
///
/// Clones share one kit. Rockets with one kit share its sessions.
#[derive(Clone, Debug, Default)]
pub struct TestKit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Arc<ManualClock>,
    sessions: MemoryStore,
    is_broken: AtomicBool,
}

impl Default for Inner {
    fn default() -> Self {
        let clock = Arc::<ManualClock>::default();
        Self {
            sessions: MemoryStore::with_clock(clock.clone()),
            clock,
            is_broken: AtomicBool::default(),
        }
    }
}

impl TestKit {
    /// A kit with an empty store, whose clock shows the current time.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the sessions of this rocket use the kit, whatever configuration and fairings say.
    #[must_use]
    pub fn install(&self, rocket: Rocket<Build>) -> Rocket<Build> {
        rocket.manage(self.clone())
    }

    /// Moves time forward.
    pub fn advance(&self, duration: Duration) {
        self.0.clock.advance(duration);
    }

    /// Makes all operations of the store fail until you mend it.
    pub fn break_store(&self) {
        self.0.is_broken.store(true, Ordering::SeqCst);
    }

    /// Brings the store back, with everything that it held.
    pub fn mend_store(&self) {
        self.0.is_broken.store(false, Ordering::SeqCst);
    }

    /// Stores a session with this data, and returns its cookie.
    ///
    /// # Panics
    ///
    /// If the rocket has no sessions of this type, if nothing differs from the defaults, or if the store is
    /// broken.
    pub async fn seed<T: SessionData>(&self, rocket: &Rocket<Orbit>, data: T) -> Cookie<'static> {
        seed(rocket, &[], data).await
    }

    /// Like [`seed`](Self::seed), for a session that ends with the one that these cookies open.
    ///
    /// # Panics
    ///
    /// Like `seed`, and if they open no session of the parent type.
    pub async fn seed_beside<T: SessionData>(
        &self,
        rocket: &Rocket<Orbit>,
        parent: &impl HasCookie,
        data: T,
    ) -> Cookie<'static> {
        let headers = match T::has_parent() {
            true => headers::<T::Parent>(rocket, parent),
            false => Vec::new(),
        };
        seed(rocket, &headers, data).await
    }

    /// Like [`seed`](Self::seed), for a blocking client.
    pub fn seed_blocking<T: SessionData>(
        &self,
        rocket: &Rocket<Orbit>,
        data: T,
    ) -> Cookie<'static> {
        now(self.seed(rocket, data))
    }

    /// Like [`seed_beside`](Self::seed_beside), for a blocking client.
    pub fn seed_beside_blocking<T: SessionData>(
        &self,
        rocket: &Rocket<Orbit>,
        parent: &impl HasCookie,
        data: T,
    ) -> Cookie<'static> {
        now(self.seed_beside(rocket, parent, data))
    }

    /// Reads the session that a cookie opens: from [`seed`](Self::seed), a response, or a tracked client's
    /// jar. `None` if it opens none. A session that ends with another one needs the cookies of both.
    ///
    /// # Panics
    ///
    /// If the rocket has no sessions of this type, or if the store is broken.
    pub async fn read<T: SessionData>(
        &self,
        rocket: &Rocket<Orbit>,
        cookies: &impl HasCookie,
    ) -> Option<T> {
        let headers = headers::<T>(rocket, cookies);
        let request = request::<T>(rocket, &headers).await;
        let fields = &request.record()?.fields;
        Some(T::SCHEMA.decode(fields, request.engine().now()).data)
    }

    /// Like [`read`](Self::read), for a blocking client.
    pub fn read_blocking<T: SessionData>(
        &self,
        rocket: &Rocket<Orbit>,
        cookies: &impl HasCookie,
    ) -> Option<T> {
        now(self.read(rocket, cookies))
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        self.0.clone()
    }
}

/// The header of a request from one of the application's own pages: `Sec-Fetch-Site: same-origin`.
#[must_use]
pub fn same_origin() -> Header<'static> {
    Header::new("Sec-Fetch-Site", "same-origin")
}

/// The header of a request from another site's page: `Sec-Fetch-Site: cross-site`.
#[must_use]
pub fn cross_site() -> Header<'static> {
    Header::new("Sec-Fetch-Site", "cross-site")
}

/// Asserts that the stored form of a session type has not changed.
///
/// Paste what the first run reports. It fails when a field is added, removed, renamed or stored in another
/// form, and says what happens to existing sessions.
///
/// It sees only the default and the samples, so let them fill each `Option` and each map, and show each
/// variant of an enum.
///
/// ```rust
/// use rocket_typed_session::session;
/// use rocket_typed_session::testing::assert_layout;
///
/// #[session]
/// struct Visit {
///     #[session(counter)]
///     views: u64,
///     user: Option<String>,
/// }
///
/// let alice = Visit { user: Some("alice".into()), ..Visit::default() };
/// assert_layout::<Visit>(
///     &[alice],
///     "views: u64 = number, counter
///      user: Option<String> = null | string",
/// );
/// ```
///
/// # Panics
///
/// If the layout has changed. The message says what to do.
#[track_caller]
pub fn assert_layout<T: SessionData>(samples: &[T], pinned: &str) {
    if let Err(advice) = T::SCHEMA.compare_layout(samples, pinned) {
        panic!("{advice}");
    }
}

/// A `Cookie`, an array of them, a `CookieJar`, or the response of a local client.
pub trait HasCookie: sealed::HasCookie {}

impl<C: sealed::HasCookie> HasCookie for C {}

mod sealed {
    use rocket::http::{Cookie, CookieJar};
    use rocket::local::{asynchronous, blocking};

    #[expect(
        unnameable_types,
        reason = "a seal: it is for the types of Rocket below"
    )]
    pub trait HasCookie {
        fn value_of(&self, name: &str) -> Option<String>;
    }

    impl HasCookie for Cookie<'_> {
        fn value_of(&self, name: &str) -> Option<String> {
            (self.name() == name).then(|| self.value().to_owned())
        }
    }

    impl<const N: usize> HasCookie for [Cookie<'_>; N] {
        fn value_of(&self, name: &str) -> Option<String> {
            self.iter().find_map(|cookie| cookie.value_of(name))
        }
    }

    impl HasCookie for CookieJar<'_> {
        fn value_of(&self, name: &str) -> Option<String> {
            Some(self.get_pending(name)?.value().to_owned())
        }
    }

    impl HasCookie for asynchronous::LocalResponse<'_> {
        fn value_of(&self, name: &str) -> Option<String> {
            self.cookies().value_of(name)
        }
    }

    impl HasCookie for blocking::LocalResponse<'_> {
        fn value_of(&self, name: &str) -> Option<String> {
            self.cookies().value_of(name)
        }
    }
}

fn managed<T: SessionData>(rocket: &Rocket<Orbit>) -> &Managed<T> {
    rocket.state().unwrap_or_else(|| {
        let name = std::any::type_name::<T>();
        panic!("the fairing of `{name}` is not attached to this rocket")
    })
}

/// For `T` and its parents.
fn headers<T: SessionData>(rocket: &Rocket<Orbit>, cookies: &dyn HasCookie) -> Vec<String> {
    let name = &managed::<T>(rocket).cookie.name;
    let header = cookies.value_of(name);
    let mut headers = Vec::from_iter(header.map(|value| format!("{name}={value}")));
    if T::has_parent() {
        headers.extend(self::headers::<T::Parent>(rocket, cookies));
    }
    headers
}

async fn seed<T: SessionData>(
    rocket: &Rocket<Orbit>,
    headers: &[String],
    data: T,
) -> Cookie<'static> {
    let managed = managed::<T>(rocket);
    let request = request::<T>(rocket, headers).await;
    let engine = request.engine();
    let before = told(T::SCHEMA.encode(&T::SCHEMA.defaults()));
    let changes = told(engine.changes(None, &before, &data));
    told(request.keep(changes));
    told(request.save().await);
    match request.answer(false).await.cookie {
        CookieChange::Set { token, max_age } => managed.cookie.carrying(&token, max_age),
        CookieChange::Keep | CookieChange::Remove => {
            panic!("nothing differs from the defaults, so there is no session to store")
        }
    }
}

/// Boxed, since a parent may have one too.
fn request<'r, T: SessionData>(
    rocket: &'r Rocket<Orbit>,
    headers: &'r [String],
) -> BoxFuture<'r, RequestSession<T>> {
    Box::pin(async move {
        let managed = managed::<T>(rocket);
        let mut request = RequestSession::new(Arc::clone(&managed.engine), false);
        if T::has_parent() {
            let parent = self::request::<T::Parent>(rocket, headers).await;
            request = request.with_parent(Arc::new(parent));
        }
        told(request.open(|| managed.cookie.candidates(headers)).await);
        request
    })
}

fn told<R>(result: Result<R, Error>) -> R {
    result.unwrap_or_else(|error| panic!("{error}"))
}

/// The kit's store never waits, so its futures are ready at once.
fn now<R>(future: impl Future<Output = R>) -> R {
    rocket::futures::FutureExt::now_or_never(future).unwrap_or_else(|| {
        panic!("this rocket does not use the kit: install it before the client is made")
    })
}

impl Inner {
    fn check(&self) -> Result<&MemoryStore, Error> {
        if self.is_broken.load(Ordering::SeqCst) {
            return Err(Error::store("the test has broken the store"));
        }
        Ok(&self.sessions)
    }
}

#[rocket::async_trait]
impl Store for Inner {
    async fn load(&self, key: Key, wanted: &Wanted) -> Result<Option<Arc<Record>>, Error> {
        self.check()?.load(key, wanted).await
    }

    async fn create(&self, key: Key, record: Record) -> Result<Created, Error> {
        self.check()?.create(key, record).await
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error> {
        self.check()?.update(key, update).await
    }

    async fn delete(&self, key: Key, delete: &Delete) -> Result<Deleted, Error> {
        self.check()?.delete(key, delete).await
    }

    fn now(&self) -> Timestamp {
        self.sessions.now()
    }

    fn user_index(&self) -> Option<&dyn UserIndex> {
        Some(self)
    }

    fn describe(&self) -> String {
        "the store of a test kit".into()
    }
}

#[rocket::async_trait]
impl UserIndex for Inner {
    fn present(&self) -> Mark {
        self.sessions.present()
    }

    async fn step(&self, user: UserKey, step: &Step) -> Result<Stepped, Error> {
        self.check()?.step(user, step).await
    }
}
