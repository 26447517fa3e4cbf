//! Which copies are kept, how long they count, and what invalidates them. Pure.

use std::time::{Duration, Instant, SystemTime};

use super::{Key, Wanted};
use crate::token::SessionId;

/// How many copies compete for the same places.
const WAYS: usize = 8;

/// Copies of records `R`. Each was the stored state no longer than a given time ago.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Copies<R> {
    within: Duration,
    /// The connection's number. An answer over an earlier connection says nothing about the current copies.
    generation: u64,
    /// All invalidations from before this moment have been applied.
    vouched_at: Option<Moment>,
    /// When a reader last asked the server although there was a copy.
    asked_at: Option<Instant>,
    /// The number of times that copies were used.
    uses: u64,
    sets: Box<[Set<R>]>,
}

/// The copies that share places with a session's copy.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Set<R> {
    /// Counts each time that something was forgotten.
    forgotten: u64,
    /// Until then, an unanswered write may still take effect.
    suspended_until: Option<Instant>,
    copies: Vec<Copied<R>>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Copied<R> {
    key: Key,
    /// The fields that it has.
    wanted: Wanted,
    record: R,
    used: u64,
}

/// The state when a load was sent.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Ticket {
    pub(crate) generation: u64,
    pub(crate) forgotten: u64,
    pub(crate) sent_at: Moment,
}

/// An instant by two clocks: one stops while the machine sleeps, the other can be set.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Moment {
    pub(crate) monotonic: Instant,
    pub(crate) wall: SystemTime,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self {
            monotonic: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// The time since an earlier moment, by the clock that shows more. `None` if either clock shows that it
    /// is yet to come.
    fn since(self, earlier: Self) -> Option<Duration> {
        let monotonic = self.monotonic.checked_duration_since(earlier.monotonic)?;
        let wall = self.wall.duration_since(earlier.wall).ok()?;
        Some(monotonic.max(wall))
    }
}

impl<R: Clone> Copies<R> {
    /// Room for about `capacity` copies. Each counts as long as the server vouches for it, and `within`
    /// longer.
    pub(crate) fn new(within: Duration, capacity: usize) -> Self {
        let set = Set {
            forgotten: 0,
            suspended_until: None,
            copies: Vec::new(),
        };
        Self {
            within,
            generation: 0,
            vouched_at: None,
            asked_at: None,
            uses: 0,
            sets: vec![set; capacity.div_ceil(WAYS)].into(),
        }
    }

    /// A copy that counts now, with at least the wanted fields.
    pub(crate) fn get(&mut self, key: Key, wanted: &Wanted, now: Moment) -> Option<R> {
        let age = now.since(self.vouched_at?)?;
        let (within, asked_at, uses) = (self.within, self.asked_at, self.uses + 1);
        let copies = &mut self.set_of(key.id).copies;
        let copy = copies
            .iter_mut()
            .find(|copy| copy.key == key && copy.wanted.covers(wanted))?;
        if age >= within {
            return None;
        }
        // Before the copies run out, one reader asks the server; the answer vouches for all copies.
        let is_asked = asked_at.is_some_and(|at| now.monotonic < at + within / 4);
        if age >= within / 2 && !is_asked {
            self.asked_at = Some(now.monotonic);
            return None;
        }
        copy.used = uses;
        let record = copy.record.clone();
        self.uses = uses;
        Some(record)
    }

    /// Announces a load.
    pub(crate) fn ticket(&mut self, key: Key, now: Moment) -> Ticket {
        Ticket {
            generation: self.generation,
            forgotten: self.set_of(key.id).forgotten,
            sent_at: now,
        }
    }

    /// Takes the answer of a load. `None`: there is nothing to keep.
    pub(crate) fn answered(
        &mut self,
        key: Key,
        wanted: &Wanted,
        ticket: Ticket,
        record: Option<R>,
    ) {
        if ticket.generation != self.generation {
            return;
        }
        let is_newest = |at: Moment| ticket.sent_at.monotonic >= at.monotonic;
        if self.vouched_at.is_none_or(is_newest) {
            self.vouched_at = Some(ticket.sent_at);
        }
        let used = self.uses;
        let set = self.set_of(key.id);
        // The answer may be older than something forgotten since, or than an unanswered write.
        let sent_at = ticket.sent_at.monotonic;
        if ticket.forgotten != set.forgotten || set.suspended_until.is_some_and(|at| sent_at < at) {
            return;
        }
        let copies = &mut set.copies;
        copies.retain(|copy| copy.key != key);
        let Some(record) = record else {
            return;
        };
        if copies.len() >= WAYS {
            let oldest = copies.iter().enumerate().min_by_key(|(_, copy)| copy.used);
            let oldest = oldest.map_or(0, |(index, _)| index);
            copies.swap_remove(oldest);
        }
        copies.push(Copied {
            key,
            wanted: wanted.clone(),
            record,
            used,
        });
    }

    /// Forgets a session that was written.
    pub(crate) fn forget(&mut self, id: SessionId) {
        let set = self.set_of(id);
        set.forgotten += 1;
        set.copies.retain(|copy| copy.key.id != id);
    }

    /// Forgets a session that a write may still change until `timeout` has passed. Loads sent before then
    /// give no copy.
    pub(crate) fn suspend(&mut self, id: SessionId, now: Moment, timeout: Duration) {
        self.forget(id);
        let until = Some(now.monotonic + timeout);
        let set = self.set_of(id);
        set.suspended_until = set.suspended_until.max(until);
    }

    /// Forgets everything, because the connection is new.
    pub(crate) fn forget_all(&mut self) {
        self.generation += 1;
        self.vouched_at = None;
        self.sets.iter_mut().for_each(|set| set.copies.clear());
    }

    /// Ids are random, so they spread evenly without a hash.
    fn set_of(&mut self, id: SessionId) -> &mut Set<R> {
        let set = id.spread() % self.sets.len();
        &mut self.sets[set]
    }
}

#[cfg(test)]
mod tests;
