//! Measures each server and writes the results. `benches/run` builds the servers and calls this.

mod ahead;
mod chart;
mod faults;
mod goals;
mod growth;
mod http;
mod instructions;
mod lag;
mod late;
mod load;
mod machine;
mod memory;
mod process;
mod profile;
mod proxy;
mod redis;
mod report;
mod results;
mod server;
mod spread;
mod tables;
mod truth;
mod watch;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use load::Pace;
use results::Results;
use server::{Kind, Route, Server};

pub(crate) const CONNECTIONS: [usize; 3] = [1, 32, 256];
pub(crate) const MOST: usize = 32;

struct Plan {
    rounds: usize,
    pace: Pace,
}

impl Plan {
    const FULL: Self = Self::new(5, 50, 200);
    const QUICK: Self = Self::new(2, 50, 100);

    const fn new(rounds: usize, warm_up: u64, measured: u64) -> Self {
        let pace = Pace {
            warm_up: Duration::from_millis(warm_up),
            measured: Duration::from_millis(measured),
        };
        Self { rounds, pace }
    }
}

/// `load PROGRAMS DOCS [--quick]`: the folder of the servers, and the folder for the text. `--late` only
/// measures how late one process sees another's writes, and shows it.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [programs, docs, rest @ ..] = &arguments[..] else {
        return Err("usage: load PROGRAMS DOCS [--quick | --late]".into());
    };
    let (plan, only_late) = match rest {
        [] => (Plan::FULL, false),
        [quick] if quick == "--quick" => (Plan::QUICK, false),
        [late] if late == "--late" => (Plan::FULL, true),
        _ => return Err("the only options are --quick and --late".into()),
    };
    let programs = PathBuf::from(programs);

    let mut results = Results::default();
    for kind in server::ALL {
        let kinds = if starts(kind, &programs).await {
            &mut results.kinds
        } else {
            &mut results.left_out
        };
        kinds.push(kind);
    }
    // First: a read that is too old ends the run.
    if results.kinds.contains(&server::OURS) {
        results.late = Some(lag::measure(&programs, plan.rounds).await?);
    }
    if only_late {
        println!("{}\n{}", late::lag(&results), late::faults(&results));
        return Ok(());
    }
    for kind in results.kinds.clone() {
        measure_alone(kind, &programs, &mut results).await?;
    }
    measure_together(&plan, &programs, &mut results).await?;
    results.growth = growth::measure(&results.kinds, &programs, plan.rounds, plan.pace).await?;
    report::write(&results, plan.rounds, plan.pace.measured, Path::new(docs))
}

async fn starts(kind: Kind, programs: &Path) -> bool {
    if !kind.path(programs).exists() {
        return false;
    }
    let started = Server::start(kind, programs).await;
    if let Err(error) = &started {
        eprintln!("{} is left out: {error}", kind.name);
    }
    started.is_ok()
}

/// Figures that do not depend on what else runs.
async fn measure_alone(
    kind: Kind,
    programs: &Path,
    results: &mut Results,
) -> Result<(), Box<dyn Error>> {
    eprintln!("{}: lost updates, logout, memory, instructions", kind.name);
    if kind.has_sessions {
        results.truths.push(truth::truth(kind, programs).await?);
        results.memories.push(memory::memory(kind, programs).await?);
    }
    if kind.is_rust {
        let counting = programs.join("count");
        let costs = instructions::costs(kind, programs, &counting, programs).await?;
        results.costs.extend(costs);
    }
    Ok(())
}

/// The servers take turns, so anything that slows the machine down affects all of them.
async fn measure_together(
    plan: &Plan,
    programs: &Path,
    results: &mut Results,
) -> Result<(), Box<dyn Error>> {
    let rust = results.kinds.iter().filter(|kind| kind.is_rust);
    let with_mimalloc = rust.map(|kind| kind.with_mimalloc());
    let kinds: Vec<Kind> = results.kinds.iter().copied().chain(with_mimalloc).collect();
    let mut servers = start_all(&kinds, programs).await?;
    for round in 1..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        // No server is always first.
        servers.rotate_left(1);
        for (connections, route) in columns() {
            for (server, cookies) in &mut servers {
                let kind = server.kind;
                if route.is_of(kind) && (connections == MOST || !kind.has_mimalloc) {
                    let cookies = &cookies[..connections];
                    let sample =
                        load::sample(server, route, connections, cookies, plan.pace).await?;
                    results.add(kind, route, connections, sample);
                }
            }
        }
    }
    Ok(())
}

/// Most figures use `MOST` connections, so a round measures these three times.
fn columns() -> impl Iterator<Item = (usize, Route)> {
    let of = |connections| Route::ALL.map(|route| (connections, route));
    [MOST]
        .into_iter()
        .chain(CONNECTIONS)
        .chain([MOST])
        .flat_map(of)
}

async fn start_all(
    kinds: &[Kind],
    programs: &Path,
) -> Result<Vec<(Server, Vec<String>)>, Box<dyn Error>> {
    let most = CONNECTIONS.into_iter().max().unwrap_or_default();
    let mut servers = Vec::new();
    for kind in kinds {
        let server = Server::start(*kind, programs).await?;
        let cookies = server.log_in(most).await?;
        servers.push((server, cookies));
    }
    Ok(servers)
}
