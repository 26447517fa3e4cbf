//! What the browsers saw in a run, and the state of the servers meanwhile.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Fault {
    None,
    Rolling,
    Cut,
    Planned,
    Freeze,
    Kill,
}

/// A period with one fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) fault: Fault,
    /// The master that was hit, if there are several.
    pub(crate) shard: Option<usize>,
    pub(crate) from: Instant,
    /// When the fault began to act.
    pub(crate) hit: Option<Instant>,
    pub(crate) until: Option<Instant>,
    /// The replaced master may have been alone with acknowledged changes.
    pub(crate) replaces: bool,
}

/// A request for the data of an existing session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) sent: Instant,
    pub(crate) took: Duration,
    pub(crate) is_done: bool,
    pub(crate) shard: usize,
}

/// A fault, unless a failover explains it.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) what: What,
    /// The cause lies between these.
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
    /// No failover explains it.
    Never,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) conflicts: u64,
    pub(crate) cut: u64,
    pub(crate) logins: u64,
    pub(crate) logouts: u64,
    /// Old answers during a failover.
    pub(crate) old: u64,
    pub(crate) probes: u64,
    /// Requests that ran at SIGTERM and were answered.
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
    pub(crate) slowest: BTreeMap<&'static str, Duration>,
    /// When, and how long, this process was delayed.
    pub(crate) held_up: Vec<(Instant, Duration)>,
    /// In KiB, by process id.
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

    /// Whether no failover was under way since then.
    pub(crate) fn is_calm_since(&self, since: Instant) -> bool {
        let entries = self.entries();
        let mut weather = entries.weather.iter().rev();
        !weather.any(|weather| {
            weather.is_rough() && weather.until.is_none_or(|until| until + MARGIN >= since)
        })
    }

    pub(crate) async fn calm(&self) {
        while !self.is_calm_since(Instant::now()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// How long a failover has effects after all servers settle: a request may have begun before.
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
