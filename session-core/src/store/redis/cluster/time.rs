//! A cluster's time: the median of its nodes' clocks.
//!
//! All processes find the same time, give or take message delays. One wrong clock changes nothing.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::{Clock as _, SystemClock, Timestamp};

const COMPARED_EVERY: Duration = Duration::from_millis(100);

pub(super) struct ClusterTime {
    /// The start of this process's own time; `base` is the same by this machine's clock.
    began: Instant,
    base: u64,
    /// How long told times are in use.
    memory: Duration,
    state: Mutex<State>,
}

/// The microseconds from this process's own time to the cluster's.
#[derive(Debug, Default)]
struct State {
    ahead: i64,
    /// Whether anybody was told a time with `ahead`.
    is_told: bool,
    /// Earlier, larger offsets, and until when told times may use them.
    before: Vec<(i64, Instant)>,
    compared: Option<Instant>,
}

impl ClusterTime {
    pub(super) fn new(memory: Duration) -> Self {
        Self {
            began: Instant::now(),
            base: SystemClock.now().as_millis().saturating_mul(1000),
            memory,
            state: Mutex::default(),
        }
    }

    /// In microseconds. It never jumps.
    pub(super) fn local(&self) -> u64 {
        let passed = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.base.saturating_add(passed)
    }

    /// Now and then this asks `nodes` for their times.
    pub(super) fn now(&self, nodes: impl FnOnce() -> Vec<u64>) -> Timestamp {
        let ahead = self.state(nodes, true).0;
        Timestamp::from_millis(self.local().saturating_add_signed(ahead) / 1000)
    }

    /// How far a node's time, `there`, is ahead of the latest cluster time in use: a translated time is never
    /// too late.
    pub(super) fn ahead_of_it(&self, there: u64, nodes: impl FnOnce() -> Vec<u64>) -> i64 {
        let most = self.state(nodes, false).1;
        difference(there, self.local()).saturating_sub(most)
    }

    /// The offset now, and the largest in use.
    fn state(&self, nodes: impl FnOnce() -> Vec<u64>, tells: bool) -> (i64, i64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state
            .compared
            .is_none_or(|at| at.elapsed() >= COMPARED_EVERY)
        {
            state.compared = Some(Instant::now());
            let local = self.local();
            let nodes = nodes().into_iter().map(|node| difference(node, local));
            if let Some(ahead) = middle(nodes.collect()) {
                state.turn_to(ahead, Instant::now(), self.memory);
            }
        }
        state.is_told |= tells;
        (state.ahead, state.most())
    }
}

impl State {
    fn turn_to(&mut self, ahead: i64, now: Instant, memory: Duration) {
        if self.is_told && ahead != self.ahead {
            self.before.push((self.ahead, now + memory));
            self.is_told = false;
        }
        self.ahead = ahead;
        // The current offset outlasts any smaller one.
        let counts = |(before, until): &(i64, Instant)| *until > now && *before > ahead;
        self.before.retain(counts);
    }

    fn most(&self) -> i64 {
        let before = self.before.iter().map(|(ahead, _)| *ahead);
        before.fold(self.ahead, i64::max)
    }
}

fn difference(one: u64, other: u64) -> i64 {
    let difference = i128::from(one) - i128::from(other);
    i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
}

/// The median; of two, the lower.
fn middle(mut all: Vec<i64>) -> Option<i64> {
    all.sort_unstable();
    let at = all.len().checked_sub(1)? / 2;
    Some(all[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: Duration = Duration::from_secs(2);

    #[test]
    fn one_wrong_clock_among_three_changes_nothing() {
        assert_eq!(middle(vec![]), None);
        assert_eq!(middle(vec![7]), Some(7));
        assert_eq!(middle(vec![9, 7]), Some(7));
        assert_eq!(middle(vec![-1_000_000, 2, 1]), Some(1));
        assert_eq!(middle(vec![2, 9_000_000, 1]), Some(2));
        let time = ClusterTime::new(MEMORY);
        let local = time.local();
        let hour = 3_600_000_000;
        let now = time.now(|| vec![local + 5_000_000, local + 5_000_100, local + hour]);
        let ahead = now.since(Timestamp::from_millis(local / 1000));
        assert!((4990..6000).contains(&ahead.as_millis()), "{ahead:?}");
    }

    #[test]
    fn what_was_added_a_moment_ago_still_counts() {
        let mut state = State::default();
        let now = Instant::now();
        // Nobody was told the earlier offset.
        state.turn_to(-9000, now, MEMORY);
        assert_eq!(state.most(), -9000);
        state.turn_to(500, now, MEMORY);
        state.is_told = true;
        assert_eq!((state.ahead, state.most()), (500, 500));
        state.turn_to(-100, now + MEMORY / 2, MEMORY);
        assert_eq!((state.ahead, state.most()), (-100, 500));
        state.is_told = true;
        state.turn_to(-90, now + MEMORY, MEMORY);
        assert_eq!((state.ahead, state.most()), (-90, 500));
        state.turn_to(-90, now + MEMORY * 2, MEMORY);
        assert_eq!((state.ahead, state.most()), (-90, -90));
    }
}
