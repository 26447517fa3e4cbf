//! The time of a cluster, of which every node has a clock of its own: the one in the middle.
//!
//! All processes come to the same one, within what messages take, and a node whose clock is wrong
//! changes nothing about when sessions are over.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::{Clock as _, SystemClock, Timestamp};

/// How often the clocks are compared.
const COMPARED_EVERY: Duration = Duration::from_millis(100);

pub(super) struct ClusterTime {
    /// When this began, by a clock that nobody sets, and by this machine's.
    began: Instant,
    base: u64,
    /// For so long, what was said by an earlier comparison may still count.
    memory: Duration,
    state: Mutex<State>,
}

/// What is to be added to this process' own time, in microseconds.
#[derive(Debug, Default)]
struct State {
    ahead: i64,
    /// Whether anybody was told a time to which this was added.
    is_told: bool,
    /// What was added before, if it is more, and until when somebody may still use what it led to.
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

    /// This process' own time in microseconds, which never jumps.
    pub(super) fn local(&self) -> u64 {
        let passed = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.base.saturating_add(passed)
    }

    /// The cluster's time. `nodes` is asked now and then: the times of all nodes that are known.
    pub(super) fn now(&self, nodes: impl FnOnce() -> Vec<u64>) -> Timestamp {
        let ahead = self.state(nodes, true).0;
        Timestamp::from_millis(self.local().saturating_add_signed(ahead) / 1000)
    }

    /// How much a node's time, `there`, is ahead of the cluster's: of the latest that anybody may have
    /// been told a moment ago, so that a time that is translated is not too late.
    pub(super) fn ahead_of_it(&self, there: u64, nodes: impl FnOnce() -> Vec<u64>) -> i64 {
        let most = self.state(nodes, false).1;
        difference(there, self.local()).saturating_sub(most)
    }

    /// What is to be added now, and the most that was added a moment ago.
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
        // What is added now counts for longer than what was added before and is less.
        let counts = |(before, until): &(i64, Instant)| *until > now && *before > ahead;
        self.before.retain(counts);
    }

    /// The most that was added a moment ago.
    fn most(&self) -> i64 {
        let before = self.before.iter().map(|(ahead, _)| *ahead);
        before.fold(self.ahead, i64::max)
    }
}

fn difference(one: u64, other: u64) -> i64 {
    let difference = i128::from(one) - i128::from(other);
    i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
}

/// The one in the middle; of two, the earlier one.
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

    /// So a time that was told by the earlier comparison is not translated into one that is too late.
    #[test]
    fn what_was_added_a_moment_ago_still_counts() {
        let mut state = State::default();
        let now = Instant::now();
        // Nobody was told a time of before.
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
