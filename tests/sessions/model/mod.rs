//! Random requests on one session, randomly interleaved, leave what a simple model says.
//!
//! `PROPTEST_CASES=100000 PROPTEST_RNG_SEED=7 cargo test --test sessions model` tries others.

mod app;
mod board;
mod intent;
mod program;
mod reference;
mod request;
mod schedule;
mod watched;

use std::cell::RefCell;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use proptest::test_runner::{Config, RngSeed, TestRunner};
use rocket::http::Cookie;
use rocket::local::asynchronous::Client;
use rocket::routes;
use rocket_typed_session::SessionData;
use session_core::clock::{Clock, SystemClock, Timestamp};
use session_core::store::memory::MemoryStore;
use session_core::store::{Key, Store, Wanted};
use session_core::testing::ManualClock;
use session_core::token::Token;
use tokio::time::Instant;

use self::app::act;
use self::board::Board;
use self::program::{Program, Script, programs};
use self::request::Request;
use self::schedule::{Actor, begin_request, pass, run};
use self::watched::Watched;
use crate::app::MINUTE;
use crate::support::own::quiet;
use crate::support::redis::RedisServer;

/// Longer than a rotation's grace.
const LATER: Duration = Duration::from_secs(40);

struct Site {
    client: Client,
    store: Arc<Watched>,
    /// `None`: store and application use tokio's paused clock.
    clock: Option<Arc<ManualClock>>,
}

#[derive(Debug, Default)]
struct Jar {
    token: Option<Token>,
    issued: Vec<Token>,
}

/// Tokio's clock as a wall clock.
#[derive(Debug)]
struct Paused(Timestamp, Instant);

impl Clock for Paused {
    fn now(&self) -> Timestamp {
        self.0.plus(self.1.elapsed())
    }
}

impl Site {
    async fn launch(
        store: impl Store,
        clock: impl Clock + Clone,
        moved: Option<Arc<ManualClock>>,
    ) -> Self {
        let store = Arc::new(Watched::new(store, clock.clone()));
        let fairing = Board::fairing().store(Arc::clone(&store)).clock(clock);
        let rocket = quiet().attach(fairing).manage(Arc::clone(&store));
        let client = Client::untracked(rocket.mount("/", routes![act]))
            .await
            .unwrap();
        Self {
            client,
            store,
            clock: moved,
        }
    }

    async fn advance(&self, duration: Duration) {
        match &self.clock {
            Some(clock) => clock.advance(duration),
            None => tokio::time::advance(duration).await,
        }
    }

    async fn check(&self, program: &Program) {
        self.store.reset();
        let jar = RefCell::new(Jar::default());
        let waits = self.clock.is_some();
        let setup = Actor::new(self.request(&program.setup, &jar));
        run(vec![setup], &[], waits, async || {}).await;
        if program.is_old {
            self.advance(4 * MINUTE).await;
        }
        let jar = &jar;
        let actors = program.tabs.iter().map(|scripts| {
            Actor::new(async move {
                for script in scripts {
                    self.request(script, jar).await;
                }
            })
        });
        let delayed = async || self.store.do_delayed().await;
        run(actors.collect(), &program.order, waits, delayed).await;
        self.store.do_all_delayed().await;
        self.check_end().await;
    }

    async fn request(&self, script: &Script, jar: &RefCell<Jar>) {
        if script.is_later {
            pass().await;
            self.advance(LATER).await;
        }
        let token = {
            let jar = jar.borrow();
            let old = script
                .old_token
                .map(|index| index % jar.issued.len().max(1));
            let old = old.and_then(|index| jar.issued.get(index).cloned());
            old.or_else(|| jar.token.clone())
        };
        let number = {
            let requests = &mut self.store.reference().requests;
            let (verbs, fates) = (script.verbs.clone(), script.fates.clone());
            requests.push(Request::new(verbs, fates, token.as_ref()));
            requests.len() - 1
        };
        begin_request(number);
        let mut request = self.client.get("/");
        if let Some(token) = &token {
            request = request.cookie(Cookie::new("board", token.expose()));
        }
        let response = request.dispatch().await;
        let cookie = response.cookies().get("board");
        let cookie = cookie.map(|cookie| Token::parse(cookie.value().as_bytes()));
        let mut jar = jar.borrow_mut();
        if let Some(token) = &cookie {
            jar.token = token.clone();
            jar.issued.extend(token.clone());
        }
        self.store
            .reference()
            .ended(number, response.status(), cookie);
    }

    async fn check_end(&self) {
        let reference = mem::take(&mut *self.store.reference());
        for (id, known) in &reference.sessions {
            let key = Key::new(Board::SCHEMA.name(), *id);
            let record = self.store.inner.load(key, &Wanted::All).await.unwrap();
            assert_eq!(record.is_some(), known.is_alive);
            let Some(record) = record else { continue };
            assert!(record.metadata.digests.matches(&known.digests));
            let data = Board::SCHEMA.decode(&record.fields, Timestamp::default());
            assert_eq!(data.data, known.data);
        }
    }
}

fn check_all(cases: u32, is_lossy: bool, check: impl Fn(&Program)) {
    let default = Config::default();
    let is_default = default.cases == 256;
    let mut runner = TestRunner::new(Config {
        cases: if is_default { cases } else { default.cases },
        failure_persistence: None,
        max_shrink_iters: 20_000,
        rng_seed: match default.rng_seed {
            RngSeed::Random => RngSeed::Fixed(1),
            seed @ RngSeed::Fixed(_) => seed,
        },
        ..default
    });
    let outcome = runner.run(&programs(is_lossy), |program| {
        check(&program);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}\n{runner}"));
}

#[test]
fn every_interleaving_in_memory_leaves_what_the_model_says() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    let site = runtime.block_on(async {
        let clock = Arc::new(Paused(SystemClock.now(), Instant::now()));
        let store = MemoryStore::with_clock(Arc::clone(&clock) as _);
        Site::launch(store, clock, None).await
    });
    check_all(1000, true, |program| runtime.block_on(site.check(program)));
}

#[test]
fn every_interleaving_on_redis_leaves_what_the_model_says() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    let redis = RedisServer::start();
    let site = runtime.block_on(async {
        let (clock, store) = (Arc::new(ManualClock::new()), redis.store());
        // Hears the server's time.
        store.ping().await.unwrap();
        Site::launch(store, Arc::clone(&clock), Some(clock)).await
    });
    check_all(150, false, |program| runtime.block_on(site.check(program)));
}
