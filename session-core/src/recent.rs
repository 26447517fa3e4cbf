//! Which commits a session has seen of late, so that one that is sent twice is done once.
//!
//! A client that did not hear an answer sends its commit again. Adding to a counter twice would be
//! too much, and setting a field again could undo what somebody else set in between.

use crate::clock::Timestamp;
use crate::error::Error;
use crate::random;
use crate::record::Fields;

/// Names one commit: two bytes of time in seconds, which wrap around, and six random ones.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CommitId([u8; Self::LEN]);

impl CommitId {
    /// The length of every name.
    pub const LEN: usize = 8;

    /// A new name for a commit that is made now.
    ///
    /// # Errors
    ///
    /// If the operating system has no randomness to give.
    pub fn generate(now: Timestamp) -> Result<Self, Error> {
        let mut bytes = [0; Self::LEN];
        random::fill(&mut bytes)?;
        let seconds = (now.as_millis() / 1000).to_be_bytes();
        bytes[..2].copy_from_slice(&seconds[6..]);
        Ok(Self(bytes))
    }

    /// The name as a store that outlives the process keeps it.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Reads what [`as_bytes`](Self::as_bytes) gave.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Clocks differ, so a commit may seem to come before one that came first: that is not long.
    fn is_long_after(self, other: Self) -> bool {
        let seconds = |id: Self| u16::from_be_bytes([id.0[0], id.0[1]]);
        let difference = seconds(self).wrapping_sub(seconds(other));
        (Recent::SECONDS + 1..1 << 15).contains(&difference)
    }
}

/// The commits that a session has seen of late, the last one last, and what each was answered.
///
/// Of a counter, that is not what is stored by now: who counts to draw a number must not be told the
/// one that somebody else drew in between.
#[derive(Clone, Debug, Default)]
pub struct Recent(Vec<(CommitId, Fields)>);

impl Recent {
    /// How many are remembered at most: more than requests are under way on one session at once.
    pub(crate) const CAPACITY: usize = 128;

    /// For how many seconds: longer than any client goes on to send a commit again.
    pub(crate) const SECONDS: u16 = 60;

    /// What this commit was answered: the values of the fields that merged. `None`: it was not seen.
    #[must_use]
    pub fn answer(&self, id: CommitId) -> Option<&Fields> {
        let found = self.0.iter().find(|(known, _)| *known == id);
        found.map(|(_, answer)| answer)
    }

    /// Remembers a commit and its answer, and forgets old ones.
    pub fn remember(&mut self, id: CommitId, answer: Fields) {
        self.0.retain(|(known, _)| !id.is_long_after(*known));
        if self.0.len() >= Self::CAPACITY {
            self.0.remove(0);
        }
        self.0.push((id, answer));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn old_commits_and_those_beyond_the_capacity_are_forgotten() {
        let start = Timestamp::from_millis(65_530_000);
        let id = |seconds| CommitId::generate(start.plus(Duration::from_secs(seconds))).unwrap();
        let mut recent = Recent::default();
        let first = id(0);
        let answer = Fields::from_iter([("n".into(), b"1".to_vec())]);
        recent.remember(first, answer.clone());
        recent.remember(id(60), Fields::new());
        assert_eq!(recent.answer(first), Some(&answer));
        recent.remember(id(61), Fields::new());
        assert_eq!(recent.answer(first), None);
        let (later, earlier) = (id(62), id(61));
        recent.remember(later, Fields::new());
        recent.remember(earlier, Fields::new());
        assert!(
            recent.answer(later).is_some(),
            "a clock that is behind makes nothing forgotten"
        );
        for _ in 0..2 * Recent::CAPACITY {
            recent.remember(id(61), Fields::new());
        }
        assert_eq!(recent.0.len(), Recent::CAPACITY);
    }
}
