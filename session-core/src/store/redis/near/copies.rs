//! Which copies are kept, and how long they count. Pure.

use std::time::{Duration, Instant, SystemTime};

use super::{Key, Wanted};
use crate::token::SessionId;

/// How many copies compete for the same places.
const WAYS: usize = 8;

/// Each copy is the stored state of at most a given time ago.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Copies<R> {
    within: Duration,
    /// The connection's number. Answers over earlier ones say nothing about the copies.
    generation: u64,
    /// Invalidations from before this moment have been applied.
    vouched_at: Option<Moment>,
    /// When a reader last ignored a copy and asked the server.
    asked_at: Option<Instant>,
    uses: u64,
    sets: Box<[Set<R>]>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Set<R> {
    /// Counts what was forgotten.
    forgotten: u64,
    /// Until then, an unanswered write may take effect.
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

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Ticket {
    pub(crate) generation: u64,
    pub(crate) forgotten: u64,
    pub(crate) sent_at: Moment,
}

/// One clock stops while the machine sleeps, the other can be set.
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

    /// By the clock that shows more. `None` if either shows that `earlier` is yet to come.
    fn since(self, earlier: Self) -> Option<Duration> {
        let monotonic = self.monotonic.checked_duration_since(earlier.monotonic)?;
        let wall = self.wall.duration_since(earlier.wall).ok()?;
        Some(monotonic.max(wall))
    }
}

impl<R: Clone> Copies<R> {
    /// Each copy counts for `within` after the server last vouched for it.
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
        // Before the copies run out, one reader asks the server; the answer vouches for all.
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

    pub(crate) fn ticket(&mut self, key: Key, now: Moment) -> Ticket {
        Ticket {
            generation: self.generation,
            forgotten: self.set_of(key.id).forgotten,
            sent_at: now,
        }
    }

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

    pub(crate) fn forget(&mut self, id: SessionId) {
        let set = self.set_of(id);
        set.forgotten += 1;
        set.copies.retain(|copy| copy.key.id != id);
    }

    /// Until `timeout` has passed, an unanswered write may change this session, and loads give no copy.
    pub(crate) fn suspend(&mut self, id: SessionId, now: Moment, timeout: Duration) {
        self.forget(id);
        let until = Some(now.monotonic + timeout);
        let set = self.set_of(id);
        set.suspended_until = set.suspended_until.max(until);
    }

    /// The connection is new.
    pub(crate) fn forget_all(&mut self) {
        self.generation += 1;
        self.vouched_at = None;
        self.sets.iter_mut().for_each(|set| set.copies.clear());
    }

    fn set_of(&mut self, id: SessionId) -> &mut Set<R> {
        let set = id.spread() % self.sets.len();
        &mut self.sets[set]
    }
}

#[cfg(test)]
mod tests;
