//! What the requests did, as far as their answers tell.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Ledger {
    pub(crate) requests: u64,
    pub(crate) commits: u64,
    pub(crate) conflicts: u64,
    pub(crate) gone: u64,
    pub(crate) unknown: u64,
    /// By public id.
    pub(crate) sessions: BTreeMap<String, Entries>,
    /// The values that requests took: each may be taken once.
    pub(crate) taken: Vec<u64>,
    pub(crate) faults: Vec<String>,
}

/// The acknowledged and the uncertain changes of one session.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Entries {
    pub(crate) count: Span,
    /// Transactions that each raise the note by one.
    pub(crate) note: Span,
    pub(crate) best: Best,
    /// Assignments of the field where the last write wins.
    pub(crate) themes: BTreeMap<u64, Assignment>,
    /// For each theme, the latest start of a request that saw it.
    pub(crate) themes_seen: BTreeMap<u64, u64>,
    /// By the token that loaded it.
    pub(crate) tokens: BTreeMap<String, Use>,
    /// The possible values of each map entry. Each entry has one writer.
    pub(crate) marks: BTreeMap<String, BTreeSet<Option<u64>>>,
    /// The values that wait for one request to take them.
    pub(crate) put: BTreeSet<u64>,
    /// How often a request to take one was not answered.
    pub(crate) unheard_takes: usize,
    /// Whether a request was told that the session is stored.
    pub(crate) began: bool,
    /// The first answer that the session ended.
    pub(crate) ended_at: Option<u64>,
    /// Whether an end with unknown outcome was tried.
    pub(crate) may_have_ended: bool,
    /// The latest start of an acknowledged change.
    pub(crate) done: u64,
}

/// From acknowledged to tried.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Span {
    pub(crate) least: i64,
    pub(crate) most: i64,
}

/// The largest acknowledged, and all tried values.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Best {
    pub(crate) least: u64,
    pub(crate) tried: BTreeSet<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Assignment {
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) is_acknowledged: bool,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Use {
    /// The latest start of a commit with it.
    pub(crate) done: u64,
    /// The first answer that replaced it.
    pub(crate) replaced_at: Option<u64>,
}

impl Ledger {
    pub(crate) fn session(&mut self, id: &impl ToString) -> &mut Entries {
        self.sessions.entry(id.to_string()).or_default()
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.count(&other);
        self.taken.extend(other.taken);
        self.faults.extend(other.faults);
        for (id, entries) in other.sessions {
            self.session(&id).add(entries);
        }
    }

    pub(crate) fn count(&mut self, other: &Self) {
        self.requests += other.requests;
        self.commits += other.commits;
        self.conflicts += other.conflicts;
        self.gone += other.gone;
        self.unknown += other.unknown;
    }
}

impl Entries {
    fn add(&mut self, other: Self) {
        self.count.add(&other.count);
        self.note.add(&other.note);
        self.best.least = self.best.least.max(other.best.least);
        self.best.tried.extend(other.best.tried);
        self.themes.extend(other.themes);
        for (theme, seen) in other.themes_seen {
            self.saw(theme, seen);
        }
        for (token, other) in other.tokens {
            let used = self.tokens.entry(token).or_default();
            used.done = used.done.max(other.done);
            used.replaced_at = earlier(used.replaced_at, other.replaced_at);
        }
        self.marks.extend(other.marks);
        self.put.extend(other.put);
        self.unheard_takes += other.unheard_takes;
        self.began |= other.began;
        self.ended_at = earlier(self.ended_at, other.ended_at);
        self.may_have_ended |= other.may_have_ended;
        self.done = self.done.max(other.done);
    }
}

impl Entries {
    pub(crate) fn saw(&mut self, theme: u64, began: u64) {
        let seen = self.themes_seen.entry(theme).or_default();
        *seen = began.max(*seen);
    }
}

fn earlier(one: Option<u64>, another: Option<u64>) -> Option<u64> {
    one.into_iter().chain(another).min()
}

impl Span {
    fn add(&mut self, other: &Self) {
        self.least += other.least;
        self.most += other.most;
    }

    pub(crate) fn note(&mut self, difference: i64, is_acknowledged: bool) {
        self.most += difference;
        if is_acknowledged {
            self.least += difference;
        }
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests, {} commits done, {} of unknown outcome, {} conflicts, {} gone",
            self.requests, self.commits, self.unknown, self.conflicts, self.gone
        )
    }
}

/// The clock that all processes share.
pub(crate) fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_micros() as u64
}
