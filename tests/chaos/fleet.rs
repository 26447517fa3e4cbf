use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::app::ACCOUNT;
use super::options::Serve;
use super::support::http::{Connection, Request, Response};
use super::support::program::Program;

pub(crate) const PROCESSES: usize = 3;

/// A slower request counts as unanswered.
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

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) sent: Instant,
    pub(crate) took: Duration,
    /// `None`: the connection closed or the request timed out.
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

    pub(crate) fn ids(&self) -> Vec<u32> {
        let ids =
            (0..PROCESSES).filter_map(|process| Some(self.place(process).program.as_ref()?.id()));
        ids.collect()
    }

    pub(crate) fn address(&self, process: usize) -> Option<SocketAddr> {
        self.place(process).address
    }

    /// If the process does not accept the request, the next one gets it.
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

    /// Sends SIGTERM. New requests go elsewhere.
    pub(crate) fn tell_to_end(&self, process: usize) {
        let mut place = self.place(process);
        place.program.as_ref().unwrap().signal("TERM");
        place.address = None;
    }

    /// Waits for the end of a process, and starts another. Returns how many requests the old one began and
    /// answered, and its log.
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

/// The resident memory of a process, in KiB.
pub(crate) fn resident(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let (_, rest) = status.split_once("VmRSS:")?;
    rest.split_whitespace().next()?.parse().ok()
}
