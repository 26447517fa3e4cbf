//! The fairing: at ignition it makes settings and store, at each response it commits.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use log::{error, warn};
use rocket::fairing::{self, Fairing, Info, Kind};
use rocket::http::{Cookie, Header};
use rocket::{Build, Config, Orbit, Request, Response, Rocket};
use session_core::clock::{Clock, SystemClock};
use session_core::commit::CookieChange;
use session_core::engine::Engine;
use session_core::schema::SessionData;
use session_core::store::Store;
use session_core::store::memory::MemoryStore;
#[cfg(feature = "redis")]
use session_core::store::redis::RedisStore;

use crate::catch::catch;
use crate::config::Settings;
#[cfg(feature = "redis")]
use crate::database::RedisPool;
use crate::error::Error;
use crate::session::Session;
use crate::sessions::{Registry, SentCookies, Sessions, answer};

/// The key of the database that sessions use by default.
const DATABASE: &str = "databases.sessions";

/// The fairing of the session type `T`: it opens, checks and stores every [`Session<T>`].
///
/// `T::fairing()` makes one; attach it as it is, or say first where sessions are stored. By default
/// that is Redis where `[default.databases.sessions]` is configured, and else the memory of this
/// process.
///
/// Attach it before fairings that look at the session's cookie in the response, and after those that
/// replace whole responses.
///
/// [`Session<T>`]: crate::Session
#[must_use = "attach it to the rocket"]
pub struct SessionFairing<T: SessionData> {
    clock: Arc<dyn Clock>,
    choice: Choice,
    data: PhantomData<fn() -> T>,
}

/// Where sessions are to be stored.
enum Choice {
    /// In Redis if the configuration names one, else in memory.
    Configured,
    #[cfg(feature = "redis")]
    Database(fn(&Rocket<Build>) -> Option<RedisPool>),
    Given(Arc<dyn Store>),
}

impl<T: SessionData> SessionFairing<T> {
    pub(crate) fn new() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            choice: Choice::Configured,
            data: PhantomData,
        }
    }

    /// Stores sessions in this store.
    ///
    /// ```rust
    /// # use rocket_typed_session::{MemoryStore, session};
    /// # #[session] struct Visit { views: u64 }
    /// let fairing = Visit::fairing().store(MemoryStore::new().capacity(10_000));
    /// # rocket::build().attach(fairing);
    /// ```
    pub fn store(self, store: impl Store) -> Self {
        let choice = Choice::Given(Arc::new(store));
        Self { choice, ..self }
    }

    /// Stores sessions in a Redis database of the application, sharing its pool. Attach the
    /// database's own fairing first. See [`RedisPool`] for an example.
    #[cfg(feature = "redis")]
    pub fn database<D>(self) -> Self
    where
        D: rocket_db_pools::Database<Pool = RedisPool>,
    {
        let choice = Choice::Database(|rocket| Some(RedisPool::clone(D::fetch(rocket)?)));
        Self { choice, ..self }
    }

    /// Takes the time from this clock: for tests that move it.
    pub fn clock(self, clock: impl Clock) -> Self {
        Self {
            clock: Arc::new(clock),
            ..self
        }
    }

    async fn sessions(&self, rocket: &Rocket<Build>) -> Result<Sessions<T>, String> {
        let name = T::SCHEMA.name();
        if rocket.state::<Sessions<T>>().is_some() {
            return Err("its fairing is attached twice; attach it once".into());
        }
        let settings = Settings::read(rocket.figment(), name, T::SCHEMA.options())?;
        if let Some(registry) = rocket.state::<Registry>() {
            registry.register::<T>(&settings.cookie.name)?;
        }
        #[cfg(feature = "testing")]
        if let Some(kit) = rocket.state::<crate::testing::TestKit>() {
            let engine = Engine::new(kit.store(), kit.clock(), settings.expiry);
            return Ok(Sessions::new(engine, settings.cookie));
        }
        let store = self.make_store(rocket, &settings).await?;
        let engine = Engine::new(store, Arc::clone(&self.clock), settings.expiry);
        Ok(Sessions::new(engine, settings.cookie))
    }

    async fn make_store(
        &self,
        rocket: &Rocket<Build>,
        settings: &Settings,
    ) -> Result<Arc<dyn Store>, String> {
        match &self.choice {
            Choice::Given(store) => Ok(Arc::clone(store)),
            #[cfg(feature = "redis")]
            Choice::Database(fetch) => {
                let pool = fetch(rocket);
                let pool =
                    pool.ok_or("attach the database's `init()` before the session's fairing")?;
                if pool.pool().status().max_size < 2 {
                    return Err(
                        "sessions keep one connection of the database for themselves; give \
                                it `max_connections = 2` or more"
                            .into(),
                    );
                }
                Ok(redis_store(&pool, settings).await)
            }
            #[cfg(feature = "redis")]
            Choice::Configured if rocket.figment().contains(DATABASE) => {
                let figment = rocket.figment().focus(DATABASE);
                let pool = crate::database::init(&figment, rocket.figment()).await;
                let pool = pool.map_err(|error| {
                    format!(
                        "`{DATABASE}`: {error}; it needs an `url` like \"redis://127.0.0.1:6379\""
                    )
                })?;
                Ok(redis_store(&pool, settings).await)
            }
            #[cfg(not(feature = "redis"))]
            Choice::Configured if rocket.figment().contains(DATABASE) => Err(format!(
                "`{DATABASE}` is configured, but rocket_typed_session was built without its \
                 feature `redis`; enable it"
            )),
            Choice::Configured => {
                if rocket.figment().profile() != Config::DEBUG_PROFILE {
                    warn!(
                        "session type {}: sessions are kept in the memory of this process, and end \
                         with it; configure `[default.{DATABASE}] url = \"redis://…\"`, or choose \
                         with `.store(MemoryStore::new())` to say that this is meant",
                        T::SCHEMA.name()
                    );
                }
                let store = MemoryStore::with_clock(Arc::clone(&self.clock));
                let capacity = settings.capacity.unwrap_or(MemoryStore::DEFAULT_CAPACITY);
                Ok(Arc::new(store.capacity(capacity)))
            }
        }
    }
}

#[cfg(feature = "redis")]
async fn redis_store(pool: &RedisPool, settings: &Settings) -> Arc<dyn Store> {
    let mut store = RedisStore::new(pool.pool().clone(), pool.address());
    if let Some(prefix) = &settings.prefix {
        store = store.prefix(prefix);
    }
    if let Some(timeout) = settings.timeout {
        store = store.timeout(timeout);
    }
    if let Err(error) = store.ping().await {
        error!(
            "Redis at {} does not answer: {error}. Requests that need their session are answered \
             503 until it does",
            pool.address()
        );
    }
    Arc::new(store)
}

#[rocket::async_trait]
impl<T: SessionData> Fairing for SessionFairing<T> {
    fn info(&self) -> Info {
        Info {
            name: std::any::type_name::<Session<T>>(),
            kind: Kind::Ignite | Kind::Liftoff | Kind::Response,
        }
    }

    async fn on_ignite(&self, mut rocket: Rocket<Build>) -> fairing::Result {
        if rocket.state::<Registry>().is_none() {
            rocket = rocket.manage(Registry::default());
        }
        match self.sessions(&rocket).await {
            Ok(sessions) => Ok(rocket.manage(sessions)),
            Err(fault) => {
                error!("session type {}: {fault}", T::SCHEMA.name());
                Err(rocket)
            }
        }
    }

    async fn on_liftoff(&self, rocket: &Rocket<Orbit>) {
        let Some(sessions) = rocket.state::<Sessions<T>>() else {
            return;
        };
        let expiry = sessions.engine.expiry();
        let cookie = &sessions.cookie;
        // As Rocket's own words at launch: in a release build too, where others are off.
        warn!(
            target: "rocket::launch",
            "Session {}: {}; cookie `{}`{}; ends after {} idle, {} at most",
            T::SCHEMA.name(),
            sessions.engine.describe_store(),
            cookie.name,
            if cookie.secure { "" } else { ", not `Secure`" },
            humantime::format_duration(expiry.idle_timeout),
            humantime::format_duration(expiry.absolute_timeout),
        );
        if !cookie.secure && rocket.config().profile != Config::DEBUG_PROFILE {
            warn!(
                "Session {}: its cookie is not `Secure`, so whoever listens on the network can \
                 take over sessions",
                T::SCHEMA.name()
            );
        }
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let Some(sessions) = request.rocket().state::<Sessions<T>>() else {
            return;
        };
        let Some(slot) = answer::<T>(request) else {
            return;
        };
        let failed = response.status().class().is_server_error();
        let answer = slot.answer(failed).await;
        let sent = SentCookies::of(request);
        if let Err(error) = answer.result {
            error!("session type {}: not stored: {error}", T::SCHEMA.name());
            *response = catch(request, Error::from(error).status()).await;
            // What other session types have stored is stored.
            for cookie in sent.all() {
                set_cookie(response, &cookie);
            }
        }
        vary_by_cookie(response);
        let cookie = match answer.cookie {
            CookieChange::Keep => return,
            CookieChange::Remove => sessions.cookie.removal(),
            CookieChange::Set { token, max_age } => sessions.cookie.carrying(&token, max_age),
        };
        set_cookie(response, &cookie);
        sent.add(cookie);
    }
}

fn set_cookie(response: &mut Response<'_>, cookie: &Cookie<'static>) {
    response.adjoin_header(Header::from(cookie));
    // Whoever gets a copy of this response from a cache gets somebody else's session.
    if !response.headers().contains("Cache-Control") {
        response.set_raw_header("Cache-Control", "no-store");
    }
}

/// A response that depends on the session is another one for another cookie (CVE-2023-30861).
fn vary_by_cookie(response: &mut Response<'_>) {
    let varies = response.headers().get("Vary").any(|value| {
        let mut names = value.split(',').map(str::trim);
        names.any(|name| name == "*" || name.eq_ignore_ascii_case("cookie"))
    });
    if !varies {
        response.adjoin_raw_header("Vary", "Cookie");
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
