//! The three application processes, and the way to them.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::app::ACCOUNT;
use super::options::Serve;
use super::support::http::{Connection, Request, Response};
use super::support::program::Program;

/// How many processes there are.
pub(crate) const PROCESSES: usize = 3;

/// A request that takes longer than this has no answer.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Fleet {
    serve: Serve,
    places: Vec<Mutex<Place>>,
}

#[derive(Debug)]
struct Place {
    program: Option<Program>,
    address: Option<SocketAddr>,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) sent: Instant,
    pub(crate) took: Duration,
    /// `None`: the connection was closed, or it took too long.
    pub(crate) response: Option<Response>,
}

impl Fleet {
    pub(crate) fn start(serve: Serve) -> Self {
        let places = (0..PROCESSES).map(|_| {
            let program = start(&serve);
            let address = Some(program.address());
            let program = Some(program);
            Mutex::new(Place { program, address })
        });
        let places = places.collect();
        Self { serve, places }
    }

    fn place(&self, process: usize) -> MutexGuard<'_, Place> {
        let place = &self.places[process % PROCESSES];
        place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ids of the processes that run.
    pub(crate) fn ids(&self) -> Vec<u32> {
        let ids =
            (0..PROCESSES).filter_map(|process| Some(self.place(process).program.as_ref()?.id()));
        ids.collect()
    }

    pub(crate) fn address(&self, process: usize) -> Option<SocketAddr> {
        self.place(process).address
    }

    /// Sends a request to a process, or to the next one that accepts it.
    pub(crate) async fn send(&self, process: usize, request: &Request) -> Reply {
        for process in process.. {
            let Some(address) = self.address(process) else {
                continue;
            };
            let sent = Instant::now();
            let Ok(mut connection) = Connection::open(address).await else {
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            };
            let response = tokio::time::timeout(PATIENCE, connection.try_send(request)).await;
            return Reply {
                sent,
                took: sent.elapsed(),
                response: response.ok().flatten(),
            };
        }
        unreachable!("one of them accepts it")
    }

    /// Tells a process to end. Browsers go elsewhere from now on.
    pub(crate) fn tell_to_end(&self, process: usize) {
        let mut place = self.place(process);
        place.program.as_ref().unwrap().signal("TERM");
        place.address = None;
    }

    /// Waits for its end, and starts the next one. How many requests it began, how many it answered, and
    /// what it said.
    pub(crate) fn replace(&self, process: usize) -> (usize, usize, String) {
        let mut ended = self.place(process).program.take().unwrap();
        ended.wait_for_end();
        let log = ended.log();
        let account = account(&log);
        let program = start(&self.serve);
        let mut place = self.place(process);
        place.address = Some(program.address());
        place.program = Some(program);
        let (begun, answered) = account.unwrap_or_else(|| panic!("it did not end well:\n{log}"));
        (begun, answered, log)
    }
}

fn start(serve: &Serve) -> Program {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(serve.arguments());
    Program::run(command, None)
}

fn account(log: &str) -> Option<(usize, usize)> {
    let (_, account) = log.split_once(ACCOUNT)?;
    let mut numbers = account.split_whitespace();
    let mut number = || numbers.next()?.parse().ok();
    Some((number()?, number()?))
}

/// The memory of a process that is not swapped out, in KiB.
pub(crate) fn resident(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let (_, rest) = status.split_once("VmRSS:")?;
    rest.split_whitespace().next()?.parse().ok()
}
