//! A request on a session in memory, without Rocket. `plan`, which decides what to commit, is private:
//! `RequestSession::answer` without a change measures it.

use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use rocket_typed_session::SessionData;
use session_core::changes::Changes;
use session_core::engine::Engine;
use session_core::expiry::Lifetime;
use session_core::merge::Change;
use session_core::plan::CookieChange;
use session_core::request::{Candidates, RequestSession};
use session_core::store::memory::MemoryStore;
use session_core::token::Token;
use tokio::runtime::Builder;

use crate::sessions::{Visit, visit};

pub(crate) fn bench(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    let hour = Duration::from_secs(3600);
    let store = Arc::new(MemoryStore::new());
    let engine = Arc::new(Engine::new(store, Lifetime::new(hour, hour)));
    let token = runtime.block_on(begin(&engine));
    let mut set = Changes::new();
    set.insert("last_page".into(), Change::Set(b"\"/\"".to_vec()));

    let mut group = criterion.benchmark_group("RequestSession");
    group.bench_function("new", |bencher| {
        bencher.iter(|| RequestSession::new(Arc::clone(&engine), false));
    });
    let mut both = |name, changes: &Changes| {
        group.bench_function(name, |bencher| {
            let request = || request(&engine, Some(&token), changes.clone());
            bencher.to_async(&runtime).iter(request);
        });
    };
    both("open and answer, nothing changed", &Changes::new());
    both("open and answer, one field changed", &set);
    group.finish();
    drop(runtime);
}

async fn begin(engine: &Arc<Engine<Visit>>) -> Token {
    let fields = Visit::SCHEMA.encode(&visit()).expect("it is encoded");
    let mut changes = Changes::new();
    for (name, value) in fields.iter() {
        changes.insert(name.clone(), Change::Set(value.to_vec()));
    }
    match request(engine, None, changes).await {
        CookieChange::Set { token, .. } => token,
        CookieChange::Keep | CookieChange::Remove => panic!("no session began"),
    }
}

async fn request(
    engine: &Arc<Engine<Visit>>,
    token: Option<&Token>,
    changes: Changes,
) -> CookieChange {
    let request = RequestSession::new(Arc::clone(engine), false);
    let candidates = || Candidates {
        tokens: token.into_iter().cloned().collect(),
        tampered: false,
    };
    request.open(candidates).await.expect("it opens");
    request.hand_over(changes, 0).expect("it takes changes");
    let answer = request.answer(false).await;
    answer.result.expect("it is committed");
    answer.cookie
}
