//! What the browsers saw of one run, and when the servers were in what state.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is done to the servers and to the applications.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    Rolling,
    Cut,
    Planned,
    Freeze,
    Kill,
}

/// A time, and what was done in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) fault: Fault,
    /// Which master was hit, if it was one of several.
    pub(crate) shard: Option<usize>,
    pub(crate) from: Instant,
    /// When the fault had begun to act.
    pub(crate) hit: Option<Instant>,
    pub(crate) until: Option<Instant>,
    /// A master was replaced that may have been alone with what it acknowledged.
    pub(crate) replaces: bool,
}

/// A request for the data of a session that is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) sent: Instant,
    pub(crate) took: Duration,
    pub(crate) is_done: bool,
    pub(crate) shard: usize,
}

/// What must not be, unless a failover explains it.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) what: What,
    /// How it came to be lies between these.
    pub(crate) since: Instant,
    pub(crate) seen: Instant,
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum What {
    /// So many acknowledged changes.
    Lost(u64),
    LostSession,
    Resurrected,
    /// Nothing explains it.
    Never,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) conflicts: u64,
    /// The connection was closed without an answer.
    pub(crate) cut: u64,
    pub(crate) logins: u64,
    pub(crate) logouts: u64,
    /// Answers of the past, while servers changed places.
    pub(crate) old: u64,
    /// How often a token that had ended was tried.
    pub(crate) probes: u64,
    /// Requests that were in their handlers at SIGTERM, and answered.
    pub(crate) finished: u64,
    /// How often Rocket did not wait for such requests.
    pub(crate) hasty_ends: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Entries>);

#[derive(Debug, Default)]
pub(crate) struct Entries {
    pub(crate) counts: Counts,
    pub(crate) weather: Vec<Weather>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) findings: Vec<Finding>,
    /// The longest request of each kind.
    pub(crate) slowest: BTreeMap<&'static str, Duration>,
    /// When this process itself was held up, and for how long.
    pub(crate) held_up: Vec<(Instant, Duration)>,
    /// What each application's memory was, in KiB, by its process.
    pub(crate) memory: BTreeMap<u32, Vec<(Instant, u64)>>,
}

impl Ledger {
    pub(crate) fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, what: What, since: Instant, text: String) {
        let seen = Instant::now();
        let finding = Finding {
            what,
            since,
            seen,
            text,
        };
        self.entries().findings.push(finding);
    }

    /// Whether no master was being replaced since then.
    pub(crate) fn is_calm_since(&self, since: Instant) -> bool {
        let entries = self.entries();
        let mut weather = entries.weather.iter().rev();
        !weather.any(|weather| {
            weather.is_rough() && weather.until.is_none_or(|until| until + MARGIN >= since)
        })
    }

    /// Waits until no master is being replaced.
    pub(crate) async fn calm(&self) {
        while !self.is_calm_since(Instant::now()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// How long a failover has an effect after all has settled: a request may have begun before.
const MARGIN: Duration = Duration::from_millis(200);

impl Weather {
    /// Whether answers may be old.
    pub(crate) fn is_rough(&self) -> bool {
        self.replaces || matches!(self.fault, Fault::Planned | Fault::Freeze | Fault::Kill)
    }

    fn end(&self) -> Instant {
        self.until.unwrap_or_else(Instant::now)
    }

    pub(crate) fn has(&self, instant: Instant) -> bool {
        (self.from..=self.end()).contains(&instant)
    }

    pub(crate) fn overlaps(&self, since: Instant, until: Instant) -> bool {
        self.from <= until && since <= self.end() + MARGIN
    }
}
