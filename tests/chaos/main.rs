//! Three processes of an application, browsers that move between them, and faults in Redis. The test checks
//! that no acknowledged change is lost, doubled or undone.
//!
//! With the tests, each fault happens once on each topology: one node, Sentinel, a cluster. By hand, the test
//! runs as long as you like and writes a report:
//!
//! ```text
//! cargo test --release --test chaos -- --seconds 60 --report docs/chaos.md
//! cargo test --release --test chaos -- --seconds 60 --topology sentinel --wait-replicas 1
//! ```
//!
//! Faults go to standard error, and the exit code is then 1.
#![expect(
    clippy::needless_pass_by_value,
    reason = "Rocket hands guards over by value"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so best by stopping there"
)]

mod app;
mod browser;
mod check;
mod faults;
mod figures;
mod fleet;
mod graves;
mod ledger;
mod options;
mod random;
mod report;
mod run;
#[path = "../sessions/support/mod.rs"]
#[allow(unused_imports, reason = "its own tests are left out here")]
mod support;
mod tally;
mod topology;
mod world;

use std::process::ExitCode;

use self::check::Verdict;
use self::options::Options;
use self::run::Run;
use self::topology::Kind;

fn main() -> ExitCode {
    let Some(options) = Options::read(std::env::args().skip(1)) else {
        return ExitCode::SUCCESS;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.unwrap();
    if let Some(serve) = &options.serve {
        runtime.block_on(app::run(serve));
        return ExitCode::SUCCESS;
    }
    let mut verdicts = Vec::new();
    for (kind, wait_replicas) in runs(&options) {
        let run = runtime.block_on(Run::of(kind, wait_replicas, &options));
        let verdict = Verdict::of(&run);
        eprintln!("chaos: {verdict}");
        verdicts.push((run, verdict));
    }
    if let Some(path) = &options.report {
        std::fs::write(path, report::write(&verdicts, &options)).unwrap();
    }
    match verdicts
        .iter()
        .all(|(_, verdict)| verdict.faults.is_empty())
    {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Short runs wait for no replica or for all of them; long ones also try the numbers between.
fn runs(options: &Options) -> Vec<(Kind, usize)> {
    let kinds = Kind::ALL.into_iter();
    let kinds = kinds.filter(|kind| options.only.is_none_or(|only| only == *kind));
    let runs = kinds.flat_map(|kind| {
        let all = kind.replicas();
        (0..=all)
            .filter(move |replicas| match options.wait_replicas {
                Some(wanted) => wanted == *replicas,
                None => options.seconds.is_some() || [0, all].contains(replicas),
            })
            .map(move |replicas| (kind, replicas))
    });
    runs.collect()
}
