//! Many tasks in many processes act randomly on a few sessions, through the engine as requests do. The test
//! checks that no change is lost, doubled or undone.
//!
//! With the tests, it runs for five seconds, with four processes, on its own Redis. By hand, it runs as long
//! as you like, and checks each round:
//!
//! ```text
//! cargo test --release --test stress -- --seconds 600 --processes 8
//! cargo test --release --test stress -- --seconds 60 --redis redis://127.0.0.1:6379
//! cargo test --release --test stress -- --seconds 60 --memory
//! ```
//!
//! `--tasks N` counts for each process, `--sessions M` for all together. `--lose P` loses P percent of the
//! answers. `--seed X` repeats the choices, though not their order. Faults go to standard error, and the exit
//! code is then 1.
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

/// Limits the memory of a check.
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
