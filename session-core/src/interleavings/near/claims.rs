use super::super::explore::{Claim, broken};
use super::cache::{CopiesNumber, Now, What};
use super::server::Link;
use super::tests::Mutant;
use super::{SET_BY, State, Version, World};

pub(super) const STALE: Claim = "no copy shows what was overwritten too long ago";
pub(super) const OWN: Claim = "no copy misses an own write whose caller has heard";
pub(super) const MISSING: Claim = "a copy has all wanted fields";
pub(super) const TORN: Claim = "a copy shows what was stored once";
pub(super) const DEAF: Claim = "when nothing is under way, a load makes a copy";

impl World {
    /// A request may ask for a copy at any moment.
    pub(super) fn check(&self, state: &State) -> Result<(), Claim> {
        let now = self.now(state);
        let mut has_hit = false;
        let whats = [What::Whole, What::Part];
        for what in &whats[..1 + usize::from(self.bounds.part > 0)] {
            if let Some(shown) = self.shown(state.copies, *what, now) {
                has_hit = true;
                self.judge(state, shown, *what)?;
            }
        }
        self.hits.set(self.hits.get() + usize::from(has_hit));
        self.check_deaf(state)
    }

    fn shown(&self, copies: CopiesNumber, what: What, now: Now) -> Option<Version> {
        let ahead = match self.is(Mutant::SetBackIsNotNoticed) {
            true => SET_BY,
            false => 0,
        };
        let mut walls = now.wall..=now.wall + ahead;
        walls.find_map(|wall| self.cache.get(copies, what, Now { wall, ..now }))
    }

    /// Checks that a record loaded now would be kept as a copy.
    fn check_deaf(&self, state: &State) -> Result<(), Claim> {
        let link = state.current.map(|link| &state.links[link]);
        let is_quiet =
            |link: &Link| link.is_open && link.requests.is_empty() && link.replies.is_empty();
        let is_suspended = state.now.monotonic < state.suspended_until;
        if !link.is_some_and(is_quiet) || is_suspended || state.server.is_emptied {
            return Ok(());
        }
        let (mut copies, now) = (state.copies, self.now(state));
        let ticket = self.cache.ticket(&mut copies, What::Whole, now);
        let record = Some(state.server.version);
        self.cache
            .answered(&mut copies, What::Whole, ticket, record);
        match self.cache.get(copies, What::Whole, now) == record {
            true => Ok(()),
            false => broken(self.watched, DEAF),
        }
    }

    fn judge(&self, state: &State, shown: Version, what: What) -> Result<(), Claim> {
        let number = shown.number();
        let past = state.server.past.get(number);
        let Some(past) = past.filter(|past| past.own == shown.own) else {
            return broken(self.watched, TORN);
        };
        if what == What::Whole && !shown.is_whole {
            broken(self.watched, MISSING)?;
        }
        if number < state.heard {
            broken(self.watched, OWN)?;
        }
        let within = self.bounds.within;
        match past.overwritten.is_some_and(|ticks| ticks >= within) {
            true => broken(self.watched, STALE),
            false => Ok(()),
        }
    }
}
