//! What was done, as far as whoever did it was told: enough to say what must be stored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// What one task, one process, or all of them did.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Ledger {
    pub(crate) requests: u64,
    pub(crate) commits: u64,
    pub(crate) conflicts: u64,
    pub(crate) gone: u64,
    pub(crate) repeated: u64,
    /// By the public half of their tokens.
    pub(crate) sessions: BTreeMap<String, Entries>,
    /// The values that were obtained from fields of which one request obtains the value.
    pub(crate) taken: Vec<u64>,
}

/// What was done to one session.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Entries {
    /// What was added to the counter.
    pub(crate) count: i64,
    /// The largest value that was set.
    pub(crate) best: u64,
    /// How many transactions raised the note by one.
    pub(crate) note: u64,
    /// What each writer wrote last: of these one was the last of all.
    pub(crate) themes: BTreeSet<u64>,
    /// The entries of the map. Each key has one writer.
    pub(crate) marks: BTreeMap<String, Option<u64>>,
    /// When the first call that ended it was answered.
    pub(crate) deleted_at: Option<u64>,
    /// When the last call that was done had begun, and by whom the token of that epoch was rotated.
    pub(crate) epochs: BTreeMap<u32, Epoch>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Epoch {
    /// When the last call that was done in this epoch had begun.
    pub(crate) done: u64,
    /// When the rotations that ended it were answered.
    pub(crate) rotated: Vec<u64>,
}

impl Ledger {
    pub(crate) fn session(&mut self, id: &impl ToString) -> &mut Entries {
        self.sessions.entry(id.to_string()).or_default()
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.count(&other);
        self.taken.extend(other.taken);
        for (id, entries) in other.sessions {
            self.session(&id).add(entries);
        }
    }

    /// Adds the numbers alone.
    pub(crate) fn count(&mut self, other: &Self) {
        self.requests += other.requests;
        self.commits += other.commits;
        self.conflicts += other.conflicts;
        self.gone += other.gone;
        self.repeated += other.repeated;
    }
}

impl Entries {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.best = self.best.max(other.best);
        self.note += other.note;
        self.themes.extend(other.themes);
        self.marks.extend(other.marks);
        self.deleted_at = match (self.deleted_at, other.deleted_at) {
            (Some(one), Some(another)) => Some(one.min(another)),
            (one, another) => one.or(another),
        };
        for (epoch, other) in other.epochs {
            let epoch = self.epochs.entry(epoch).or_default();
            epoch.done = epoch.done.max(other.done);
            epoch.rotated.extend(other.rotated);
        }
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests, {} commits done, {} sent again, {} conflicts, {} gone",
            self.requests, self.commits, self.repeated, self.conflicts, self.gone
        )
    }
}

/// The clock that all processes share, in microseconds.
pub(crate) fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_micros() as u64
}
