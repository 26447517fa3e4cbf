use std::fmt;
use std::io::Cursor;
use std::marker::PhantomData;
use std::sync::Arc;

use rocket::fairing::{self, Fairing, Info, Kind};
use rocket::futures::future::BoxFuture;
use rocket::http::Status;
use rocket::{Build, Config, Data, Orbit, Request, Response, Rocket};
use session_core::clock::Clock;
use session_core::engine::Engine;
use session_core::event::{Event, Hook};
use session_core::plan::CookieChange;
use session_core::schema::SessionData;
use session_core::store::Store;
use session_core::store::memory::MemoryStore;
use tracing::{error, warn};

use crate::catch::catch;
use crate::config::{self, DATABASE, Settings};
use crate::cookie::CookieSettings;
#[cfg(feature = "redis")]
use crate::database::RedisPool;
#[cfg(feature = "redis")]
use crate::database::config::RedisConfig;
use crate::error::{Error, LogLimits, report};
use crate::guard::type_name;
use crate::headers::{keep_private, set_cookie, vary_by_cookie};
use crate::managed::{Managed, Registry, SentCookies, answer, begin, redirect_of};
use crate::session::Session;
use crate::sessions::Sessions;

/// The fairing of the session type `T`: it loads, checks and stores every [`Session<T>`].
///
/// `T::fairing()` makes one. By default, sessions are in Redis if `[default.databases.sessions]` is
/// configured, and otherwise in memory.
///
/// Attach it before fairings that read the session's cookie in the response, and after fairings that replace
/// whole responses. Session types commit in the order of their fairings. If one fails, what an earlier one
/// stored stays stored.
///
/// [`Session<T>`]: crate::Session
#[must_use = "attach it to the rocket"]
pub struct SessionFairing<T: SessionData> {
    clock: Option<Arc<dyn Clock>>,
    choice: Choice,
    hook: Hook,
    data: PhantomData<fn() -> T>,
}

enum Choice {
    Configured,
    #[cfg(feature = "redis")]
    Database(fn(&Rocket<Build>) -> Option<RedisPool>),
    Given(Arc<dyn Store>),
    Made(Maker),
}

type Maker = Box<dyn for<'r> Fn(&'r Rocket<Build>) -> Making<'r> + Send + Sync>;

type Making<'r> = BoxFuture<'r, Result<Arc<dyn Store>, String>>;

/// An `async` function or closure that creates a store. `AsyncFn` alone cannot say that its future is `Send`.
#[expect(unnameable_types, reason = "only closures implement it")]
pub trait MakeStore<'r>: Send + Sync + 'static {
    #[doc(hidden)]
    fn make(&self, rocket: &'r Rocket<Build>) -> Making<'r>;
}

impl<'r, F, Future_, S, E> MakeStore<'r> for F
where
    F: Fn(&'r Rocket<Build>) -> Future_ + Send + Sync + 'static,
    Future_: Future<Output = Result<S, E>> + Send + 'r,
    S: Store,
    E: fmt::Display,
{
    fn make(&self, rocket: &'r Rocket<Build>) -> Making<'r> {
        let making = self(rocket);
        Box::pin(async move {
            match making.await {
                Ok(store) => Ok(Arc::new(store) as Arc<dyn Store>),
                Err(error) => Err(format!("its store cannot be made: {error}")),
            }
        })
    }
}

impl<T: SessionData> SessionFairing<T> {
    pub(crate) fn new() -> Self {
        Self {
            clock: None,
            choice: Choice::Configured,
            hook: Hook::default(),
            data: PhantomData,
        }
    }

    /// Stores sessions in this store.
    ///
    /// ```rust
    /// # use rocket_typed_session::{session, store::MemoryStore};
    /// # #[session] struct Visit { views: u64 }
    /// let fairing = Visit::fairing().store(MemoryStore::new().capacity(10_000));
    /// # rocket::build().attach(fairing);
    /// ```
    pub fn store(self, store: impl Store) -> Self {
        let choice = Choice::Given(Arc::new(store));
        Self { choice, ..self }
    }

    /// Stores sessions in a Redis database of the application, whose fairing must be attached first, or the
    /// launch fails. [`RedisPool`] has an example.
    #[cfg(feature = "redis")]
    pub fn database<D>(self) -> Self
    where
        D: rocket_db_pools::Database<Pool = RedisPool>,
    {
        let choice = Choice::Database(|rocket| Some(RedisPool::clone(D::fetch(rocket)?)));
        Self { choice, ..self }
    }

    /// Stores sessions in the store that `make` returns when the rocket ignites. If `make` fails, so does the
    /// launch.
    ///
    /// ```rust
    /// # use rocket_typed_session::{session, store::MemoryStore};
    /// # #[session] struct Visit { views: u64 }
    /// let fairing = Visit::fairing().store_with(async |rocket| {
    ///     let capacity = rocket.figment().extract_inner("capacity")?;
    ///     Ok::<_, rocket::figment::Error>(MemoryStore::new().capacity(capacity))
    /// });
    /// # rocket::build().attach(fairing);
    /// ```
    pub fn store_with<S, E, F>(self, make: F) -> Self
    where
        S: Store,
        E: fmt::Display,
        F: AsyncFn(&Rocket<Build>) -> Result<S, E> + for<'r> MakeStore<'r>,
    {
        let choice = Choice::Made(Box::new(move |rocket| make.make(rocket)));
        Self { choice, ..self }
    }

    /// Measures the sessions' lifetimes with this clock instead of the store's: for tests that move it.
    pub fn clock(self, clock: impl Clock) -> Self {
        Self {
            clock: Some(Arc::new(clock)),
            ..self
        }
    }

    /// Calls this function with each [`Event`]: for an audit trail, or an alert. It must not block the
    /// request. [The guide](crate::guide::errors#events) lists the events.
    ///
    /// ```rust
    /// # use rocket_typed_session::session;
    /// use rocket_typed_session::{EventKind, Reason};
    ///
    /// # #[session] struct Visit { #[session(identity)] user: Option<String> }
    /// let fairing = Visit::fairing().on_event(|event| {
    ///     if event.kind == EventKind::StaleToken {
    ///         // A replayed or stolen token: alert somebody.
    ///     }
    /// });
    /// # rocket::build().attach(fairing);
    /// ```
    pub fn on_event(self, hook: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        let hook = Hook::new(hook);
        Self { hook, ..self }
    }

    async fn sessions(&self, rocket: &Rocket<Build>) -> Result<Managed<T>, String> {
        let name = T::SCHEMA.name();
        if rocket.state::<Managed<T>>().is_some() {
            return Err("its fairing is attached twice; attach it once".into());
        }
        let settings = Settings::read(rocket.figment(), name, T::SCHEMA.options())?;
        if let Some(registry) = rocket.state::<Registry>() {
            registry.register::<T>(&settings.cookie.name)?;
        }
        let parent = parent::<T>(rocket, &settings.cookie)?;
        let encrypts = T::SCHEMA.encrypted().next().is_some();
        let keyring = match encrypts {
            true => config::keyring(rocket.figment(), name)?,
            false => None,
        };
        let engine = |store| {
            let engine = settings.engine(store).parent(parent).keyring(keyring);
            engine.on_event(self.hook.clone())
        };
        #[cfg(feature = "testing")]
        if let Some(kit) = rocket.state::<crate::testing::TestKit>() {
            let engine = engine(kit.store());
            return Ok(Managed::new(engine, settings));
        }
        let store = self.make_store(rocket, &settings).await?;
        let engine = engine(store).clock(self.clock.clone());
        if settings.limit.is_some() && !engine.is_indexed() {
            return Err(
                "`max_sessions` needs a field marked `identity`, and a store that knows which \
                 sessions a user has (`Store::user_index`); remove it, or give it both"
                    .into(),
            );
        }
        Ok(Managed::new(engine, settings))
    }

    async fn make_store(
        &self,
        rocket: &Rocket<Build>,
        settings: &Settings,
    ) -> Result<Arc<dyn Store>, String> {
        match &self.choice {
            Choice::Given(store) => Ok(Arc::clone(store)),
            Choice::Made(make) => make(rocket).await,
            #[cfg(feature = "redis")]
            Choice::Database(fetch) => {
                let pool = fetch(rocket);
                let pool =
                    pool.ok_or("attach the database's `init()` before the session's fairing")?;
                redis_store(pool.config(), settings).await
            }
            #[cfg(feature = "redis")]
            Choice::Configured if rocket.figment().contains(DATABASE) => {
                let config = RedisConfig::of_sessions(rocket.figment())?;
                redis_store(&config, settings).await
            }
            #[cfg(not(feature = "redis"))]
            Choice::Configured if rocket.figment().contains(DATABASE) => Err(format!(
                "`{DATABASE}` is configured, but rocket_typed_session was built without its \
                 feature `redis`; enable it"
            )),
            Choice::Configured => {
                if let Some(fault) = config::misnamed_database(rocket.figment()) {
                    return Err(fault);
                }
                if rocket.figment().profile() != Config::DEBUG_PROFILE {
                    warn!(
                        "session type {}: sessions are kept in the memory of this process, and end \
                         with it; configure `[default.{DATABASE}] url = \"redis://…\"`, or choose \
                         with `.store(MemoryStore::new())` to say that this is meant",
                        T::SCHEMA.name()
                    );
                }
                let store = self
                    .clock
                    .clone()
                    .map_or_else(MemoryStore::new, MemoryStore::with_clock);
                let capacity = settings.capacity.unwrap_or(MemoryStore::DEFAULT_CAPACITY);
                Ok(Arc::new(store.capacity(capacity)))
            }
        }
    }
}

/// Its fairing must commit first, so it is attached first.
fn parent<T: SessionData>(
    rocket: &Rocket<Build>,
    cookie: &CookieSettings,
) -> Result<Option<Arc<Engine<T::Parent>>>, String> {
    if !T::has_parent() {
        return Ok(None);
    }
    let Some(parent) = rocket.state::<Managed<T::Parent>>() else {
        let (name, parent) = (type_name::<T>(), type_name::<T::Parent>());
        return Err(format!(
            "its sessions end with those of `{parent}`; attach `{parent}::fairing()` before \
             `{name}::fairing()`"
        ));
    };
    if !parent.cookie.is_sent_below(&cookie.path) {
        return Err(format!(
            "its cookie has the path `{}`, but browsers do not send its parent's cookie there, which has \
             the path `{}`; write a `path` below that",
            cookie.path, parent.cookie.path
        ));
    }
    Ok(Some(Arc::clone(&parent.engine)))
}

#[cfg(feature = "redis")]
async fn redis_store(config: &RedisConfig, settings: &Settings) -> Result<Arc<dyn Store>, String> {
    let store = settings.redis_store(config)?;
    let address = store.address();
    if let Some(address) = config.exposed_at() {
        warn!(
            target: "rocket::launch",
            "the password for Redis goes to {address} over the network in plain text; write `rediss://`"
        );
    }
    let faults = match store.ping().await {
        Ok(()) => store
            .check()
            .await
            .unwrap_or_else(|error| vec![format!("it does not say what it is: {error}")]),
        Err(error) if settings.fails_on_start => {
            return Err(format!("Redis at {address} does not answer: {error}"));
        }
        Err(error) => {
            error!(
                "Redis at {address} does not answer: {error}. Requests that need their session are \
                 answered 503 until it does"
            );
            Vec::new()
        }
    };
    if settings.fails_on_start && !faults.is_empty() {
        return Err(format!("Redis at {address}: {}", faults.join("; ")));
    }
    for fault in faults {
        warn!(target: "rocket::launch", "Redis at {address}: {fault}");
    }
    Ok(Arc::new(store))
}

#[rocket::async_trait]
impl<T: SessionData> Fairing for SessionFairing<T> {
    fn info(&self) -> Info {
        Info {
            name: std::any::type_name::<Session<T>>(),
            kind: Kind::Ignite | Kind::Liftoff | Kind::Request | Kind::Response,
        }
    }

    async fn on_ignite(&self, mut rocket: Rocket<Build>) -> fairing::Result {
        if rocket.state::<Registry>().is_none() {
            rocket = rocket
                .manage(Registry::default())
                .manage(LogLimits::default());
        }
        match self.sessions(&rocket).await {
            Ok(managed) => {
                #[cfg(feature = "metrics")]
                session_core::event::describe_metrics();
                let sessions = Sessions::new(Arc::clone(&managed.engine));
                Ok(rocket.manage(sessions).manage(managed))
            }
            Err(fault) => {
                error!("session type {}: {fault}", T::SCHEMA.name());
                Err(rocket)
            }
        }
    }

    async fn on_liftoff(&self, rocket: &Rocket<Orbit>) {
        let Some(managed) = rocket.state::<Managed<T>>() else {
            return;
        };
        // All types are known now. The first one speaks for all.
        let names = rocket.state::<Registry>().map(Registry::names);
        let names = names.filter(|names| names.first() == Some(&T::SCHEMA.name()));
        for fault in names.map_or_else(Vec::new, |names| {
            config::unknown_tables(rocket.figment(), &names)
        }) {
            warn!(target: "rocket::launch", "{fault}");
        }
        let lifetime = managed.engine.lifetime();
        let cookie = &managed.cookie;
        // Under this target, a release build shows it too.
        warn!(
            target: "rocket::launch",
            "Session {}: {}; cookie `{}`{}; ends after {} idle, {} at most{}{}{}",
            T::SCHEMA.name(),
            managed.engine.describe_store(),
            cookie.name,
            if cookie.secure { "" } else { ", not `Secure`" },
            humantime::format_duration(lifetime.idle_timeout),
            humantime::format_duration(lifetime.absolute_timeout),
            managed.engine.describe_limit(),
            match T::has_parent() {
                true => format!(", and with its `{}`", T::Parent::SCHEMA.name()),
                false => String::new(),
            },
            managed.engine.describe_encryption(),
        );
        if managed.engine.lacks_index() {
            warn!(
                "Session {}: its store does not know which sessions a user has, so they cannot be \
                 listed or ended; implement `Store::user_index`, or declare `indexed = false`",
                T::SCHEMA.name()
            );
        }
        if !cookie.secure && rocket.config().profile != Config::DEBUG_PROFILE {
            warn!(
                "Session {}: its cookie is not `Secure`, so anyone who listens on the network \
                 can take over sessions",
                T::SCHEMA.name()
            );
        }
    }

    async fn on_request(&self, request: &mut Request<'_>, _: &mut Data<'_>) {
        if let Some(managed) = request.rocket().state::<Managed<T>>()
            && managed.engine.is_indexed()
        {
            begin(request, managed);
        }
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let Some(managed) = request.rocket().state::<Managed<T>>() else {
            return;
        };
        managed.open_orphan(request).await;
        let Some(session) = answer::<T>(request) else {
            return;
        };
        let failed = response.status().class().is_server_error();
        let answer = session.answer(failed).await;
        if let Err(error) = answer.result {
            let error = Error::from(error);
            let what = format!("session type {}: not stored", T::SCHEMA.name());
            report(request, &what, &error);
            *response = catch(request, error.status()).await;
            // What other session types stored stays stored, so their cookies must arrive.
            for cookie in SentCookies::of(request).all() {
                set_cookie(response, &cookie);
            }
        }
        if let Some(location) = redirect_of::<T>(request)
            && response.status() == Status::SeeOther
            && !response.headers().contains("Location")
        {
            response.set_raw_header("Location", location.to_owned());
            response.remove_header("Content-Type");
            response.set_sized_body(0, Cursor::new(""));
        }
        vary_by_cookie(response);
        let cookie = match answer.cookie {
            CookieChange::Set { token, max_age } => managed.cookie.carrying(&token, max_age),
            // A browser that sent no cookie has none to remove.
            CookieChange::Remove if managed.brought_cookie(request) => managed.cookie.removal(),
            CookieChange::Keep | CookieChange::Remove => {
                keep_private(response);
                return;
            }
        };
        set_cookie(response, &cookie);
        SentCookies::of(request).add(cookie);
    }
}

impl<T: SessionData> fmt::Debug for SessionFairing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionFairing")
            .field("name", &T::SCHEMA.name())
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
