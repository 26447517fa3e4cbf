//! Random requests on one session, in a random interleaving, leave what a simple model says.
//!
//! `PROPTEST_CASES=100000 PROPTEST_RNG_SEED=7 cargo test --test sessions model` tries other ones.

mod board;
mod program;
mod reference;
mod request;
mod schedule;
mod watched;

use std::cell::RefCell;
use std::mem;
use std::sync::{Arc, Mutex};

use proptest::test_runner::{Config, RngSeed, TestRunner};
use rocket_typed_session::SessionData;
use session_core::commit::Opened;
use session_core::engine::Engine;
use session_core::expiry::Expiry;
use session_core::store::Store;
use session_core::store::memory::MemoryStore;
use session_core::testing::ManualClock;

use self::board::Board;
use self::program::{Program, programs};
use self::reference::Reference;
use self::request::{Jar, Tab};
use self::schedule::{Actor, Turnstile, run};
use crate::app::{ABSOLUTE, IDLE, MINUTE};
use crate::support::redis::RedisServer;

/// Runs a program and checks each answer on the way, and in the end what is stored.
async fn check(program: &Program, store: Arc<dyn Store>, clock: Arc<ManualClock>) {
    let reference = Arc::new(Mutex::new(Reference::default()));
    let jar = RefCell::new(Jar::default());
    let tab = || Tab::new(&store, &clock, &reference, &jar);
    if let Some(setup) = &program.setup {
        let tab = tab();
        let turnstile = Arc::clone(&tab.turnstile);
        let setup = Actor::new(turnstile, async move { tab.request(setup).await });
        run(vec![setup], &[]).await;
    }
    if program.is_old {
        clock.advance(4 * MINUTE);
    }
    let actors = program.tabs.iter().map(|requests| {
        let tab = tab();
        let turnstile: Arc<Turnstile> = Arc::clone(&tab.turnstile);
        Actor::new(turnstile, async move {
            for request in requests {
                tab.request(request).await;
            }
        })
    });
    run(actors.collect(), &program.order).await;
    let reference = mem::take(&mut *reference.lock().unwrap());
    check_end(&store, clock, &reference, &jar.take()).await;
}

async fn check_end(
    store: &Arc<dyn Store>,
    clock: Arc<ManualClock>,
    reference: &Reference,
    jar: &Jar,
) {
    let engine = Engine::<Board>::new(Arc::clone(store), clock, Expiry::new(IDLE, ABSOLUTE));
    let mut open = 0;
    for token in &jar.issued {
        let known = &reference.sessions[&token.id()];
        match engine.open(token).await.unwrap() {
            Opened::Live(live) => {
                assert!(known.opens(token), "a token that is over opens a session");
                let stored = Board::SCHEMA.decode(&live.record.fields, engine.now()).data;
                assert_eq!(stored, known.data);
                open += 1;
            }
            _ => assert!(
                !known.opens(token),
                "a token that was issued last opens nothing"
            ),
        }
    }
    let alive = reference.sessions.values().filter(|known| known.is_alive);
    assert_eq!(open, alive.count(), "one token each");
}

fn config(cases: u32) -> Config {
    let default = Config::default();
    Config {
        cases: if default.cases == 256 {
            cases
        } else {
            default.cases
        },
        failure_persistence: None,
        max_shrink_iters: 20_000,
        rng_seed: match default.rng_seed {
            RngSeed::Random => RngSeed::Fixed(1),
            seed @ RngSeed::Fixed(_) => seed,
        },
        ..default
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

#[test]
fn every_interleaving_in_memory_leaves_what_the_model_says() {
    let runtime = runtime();
    let mut runner = TestRunner::new(config(3000));
    let outcome = runner.run(&programs(), |program| {
        let clock = Arc::new(ManualClock::new());
        let store = Arc::new(MemoryStore::with_clock(Arc::clone(&clock) as _));
        runtime.block_on(check(&program, store, clock));
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}\n{runner}"));
}

#[test]
fn every_interleaving_on_redis_leaves_what_the_model_says() {
    let runtime = runtime();
    let redis = RedisServer::start();
    let store = Arc::new(redis.store());
    let mut runner = TestRunner::new(config(300));
    let outcome = runner.run(&programs(), |program| {
        let clock = Arc::new(ManualClock::new());
        runtime.block_on(check(&program, Arc::clone(&store) as _, clock));
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}\n{runner}"));
}
