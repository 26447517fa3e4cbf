//! Many tasks in many processes do random things to a handful of sessions, through the engine as
//! requests do; then it is checked that nothing was lost, doubled or brought back.
//!
//! With the tests it runs for five seconds, with four processes, on a Redis of its own. By hand it
//! runs for as long as one likes, in rounds of which each is checked:
//!
//! ```text
//! cargo test --release --test stress -- --seconds 600 --processes 8
//! cargo test --release --test stress -- --seconds 60 --redis redis://127.0.0.1:6379
//! cargo test --release --test stress -- --seconds 60 --memory
//! ```
//!
//! `--tasks N` and `--sessions M` are for each process and for all; `--lose P` is how many percent of
//! the answers are lost, so that nobody knows what was done; `--seed X` makes the same choices again,
//! though not in the same order. What it finds goes to standard error, and it exits with 1.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so best by stopping there"
)]

#[path = "../sessions/model/board.rs"]
mod board;
mod check;
mod ledger;
mod options;
#[path = "../sessions/support/mod.rs"]
#[allow(unused_imports, reason = "its own tests are left out here")]
mod support;
mod worker;
mod world;

use std::io::Write as _;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::ledger::Ledger;
use self::options::Options;
use self::support::redis::RedisServer;
use self::world::World;

/// How long a round takes at most: what a check has to hold in memory is what happened in one.
const ROUND: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let Some(mut options) = Options::read(std::env::args().skip(1)) else {
        return ExitCode::SUCCESS;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.unwrap();
    if options.worker.is_some() {
        let ledger = runtime.block_on(worker::run(&Arc::new(World::of(&options)), &options));
        serde_json::to_writer(std::io::stdout(), &ledger).unwrap();
        return ExitCode::SUCCESS;
    }
    let mut server = None;
    if !options.memory && options.redis.is_none() {
        let server = server.insert(RedisServer::start());
        options.redis = Some(server.url());
    }
    eprintln!("stress: {options}");
    let began = Instant::now();
    let end = began + Duration::from_secs(options.seconds);
    let mut total = Ledger::default();
    for round in 0.. {
        let left = end.saturating_duration_since(Instant::now());
        if left < Duration::from_millis(500) {
            break;
        }
        options.begin_round(round, left.min(ROUND));
        let world = Arc::new(World::of(&options));
        let ledger = match options.memory {
            true => runtime.block_on(worker::run(&world, &options)),
            false => run_processes(&options),
        };
        let faults = runtime.block_on(check::check(&ledger, &world));
        total.count(&ledger);
        if !faults.is_empty() {
            eprintln!(
                "stress: FAILED in round {round}, after {:.1?}",
                began.elapsed()
            );
            faults
                .iter()
                .take(20)
                .for_each(|fault| eprintln!("  {fault}"));
            eprintln!("  {} faults; {total}", faults.len());
            return ExitCode::FAILURE;
        }
    }
    eprintln!("stress: nothing found; {total}");
    ExitCode::SUCCESS
}

/// Starts the processes of one round, waits for them, and adds up what they did.
fn run_processes(options: &Options) -> Ledger {
    let program = std::env::current_exe().unwrap();
    let processes = (0..options.processes).map(|number| {
        let mut command = Command::new(&program);
        command.args(options.of_worker(number));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.spawn().unwrap()
    });
    let mut total = Ledger::default();
    for process in processes.collect::<Vec<_>>() {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "a process of the test failed");
        total.add(serde_json::from_slice(&output.stdout).unwrap());
    }
    let _ = std::io::stderr().flush();
    total
}
