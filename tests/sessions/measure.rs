//! What a commit costs in Redis, beside a minimal guarded write. It asserts sizes, not times:
//!
//! ```sh
//! cargo test --release --all-features --test sessions measure -- --ignored --nocapture
//! ```

use std::time::Duration;

use rocket::futures::future::join_all;
use rocket_typed_session::deadpool_redis::{self, Connection, Runtime, redis};
use rocket_typed_session::store::Store as _;
use session_core::fields::{Fields, Name};
use session_core::merge::{Change, Counter, CounterRange};
use session_core::record::{Metadata, Record};
use session_core::store::{Created, Key, Update, Updated};
use session_core::token::Token;

use crate::support::redis::RedisServer;

const HOUR: Duration = Duration::from_secs(3600);
const CALLS: usize = 1000;
const ROUNDS: usize = 21;

/// The least that a hand-made session must do: check, extend and count.
const MINIMAL: &str = "if redis.call('HGET', KEYS[1], '@') ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('HINCRBY', KEYS[1], 'views', 1)";

fn change(name: &str, by: usize) -> Change {
    match name {
        "views" => Change::Add {
            delta: 1,
            base: 0,
            counter: Counter::new(CounterRange::new(0, i64::MAX)),
        },
        _ => Change::Set(format!("\"{by:04}\"").into_bytes()),
    }
}

/// The server's time per EVALSHA since the last call.
fn microseconds(redis: &RedisServer) -> f64 {
    let info: String = redis.command(&["INFO", "commandstats"]);
    let line = info
        .lines()
        .find(|line| line.starts_with("cmdstat_evalsha:"))
        .unwrap();
    let text = line.split("usec_per_call=").nth(1).unwrap();
    let _: String = redis.command(&["CONFIG", "RESETSTAT"]);
    text.split(',').next().unwrap().parse().unwrap()
}

/// The bytes that the server has read since `CONFIG RESETSTAT`.
fn received(redis: &RedisServer) -> usize {
    let info: String = redis.command(&["INFO", "stats"]);
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("total_net_input_bytes:"));
    line.unwrap().trim().parse().unwrap()
}

/// Calls the minimal script as often as the update, in one pipeline.
async fn least_of(connection: &mut Connection, script: &str, key: &str, guard: &[u8]) {
    let mut pipe = redis::pipe();
    for _ in 0..CALLS {
        let command = pipe.cmd("EVALSHA").arg(script).arg(1).arg(key);
        command.arg(guard).arg(3_600_000).ignore();
    }
    let _: () = pipe.query_async(connection).await.unwrap();
}

#[tokio::test]
#[ignore = "a measurement"]
async fn a_commit_beside_a_minimal_guarded_script() {
    let redis = RedisServer::start();
    let store = redis.store();
    store.ping().await.unwrap();
    let token = Token::generate().unwrap();
    let key = Key::new("visit", token.id());
    let mut metadata = Metadata::created_now(store.now(), HOUR);
    metadata.digests = token.digests();
    let names = ["views", "user", "theme", "note", "lang", "city", "cart"];
    let fields: Fields = names
        .iter()
        .map(|name| {
            (
                Name::from(*name),
                if *name == "views" {
                    b"0".to_vec()
                } else {
                    b"\"0000\"".to_vec()
                },
            )
        })
        .collect();
    let record = Record::new(metadata, fields, store.now().plus(HOUR));
    assert_eq!(store.create(key, record).await.unwrap(), Created::Done);
    let stored = redis.keys().pop().unwrap();
    let memory = |key: &str| -> i64 { redis.command(&["MEMORY", "USAGE", key]) };
    let plain = memory(&stored);

    let minimal: String = redis.command(&["SCRIPT", "LOAD", MINIMAL]);
    let guard: Vec<u8> = redis.command(&["HGET", &stored, "@"]);
    let config = deadpool_redis::Config::from_url(redis.url());
    let pool = config.create_pool(Some(Runtime::Tokio1)).unwrap();
    let mut connection = pool.get().await.unwrap();
    for (what, name) in [("warm", "views"), ("+1", "views"), ("set", "note")] {
        let mut updates = Vec::new();
        for by in 0..CALLS {
            let mut update = Update::new(token.digests(), store.now().plus(HOUR));
            update.changes.insert(name.into(), change(name, by));
            updates.push(update);
        }
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let _: String = redis.command(&["CONFIG", "RESETSTAT"]);
            // All at once: a server that idles between commands measures how it wakes up.
            let sent = join_all(updates.iter().map(|update| store.update(key, update))).await;
            assert!(sent.iter().all(|sent| matches!(sent, Ok(Updated::Done(_)))));
            let bytes = received(&redis);
            let ours = microseconds(&redis);
            least_of(&mut connection, &minimal, &stored, &guard).await;
            let least = microseconds(&redis);
            rounds.push((ours / least, ours, least, bytes / CALLS));
        }
        rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (ratio, ours, least, bytes) = rounds[ROUNDS / 2];
        println!(
            "{what}: {ours:.2} µs, minimal {least:.2} µs, {ratio:.2} times; {bytes} bytes sent"
        );
    }
    let encoding: String = redis.command(&["OBJECT", "ENCODING", &stored]);
    println!(
        "{} bytes after {} commits, {plain} before",
        memory(&stored),
        3 * ROUNDS * CALLS
    );
    assert_eq!(encoding, "listpack");
    assert!(2 * memory(&stored) <= 3 * plain);
}
