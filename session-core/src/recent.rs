//! Which commits a session has seen of late, so that one that is sent twice is done once.
//!
//! A client that did not hear an answer sends its commit again. Adding to a counter twice would be
//! too much, and setting a field again could undo what somebody else set in between.

use crate::clock::Timestamp;
use crate::error::Error;
use crate::random;

/// Names one commit: two bytes of time in seconds, which wrap around, and six random ones.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CommitId([u8; Self::LEN]);

impl CommitId {
    pub(crate) const LEN: usize = 8;

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

    #[cfg(feature = "redis")]
    pub(crate) const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    fn seconds(self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }
}

/// The commits that a session has seen of late, the last one last.
#[derive(Clone, Debug, Default)]
pub struct Recent(Vec<CommitId>);

impl Recent {
    /// How many are remembered at most: as many requests may be under way on one session at once.
    pub(crate) const CAPACITY: usize = 64;

    /// For how many seconds: longer than any client goes on to send a commit again.
    pub(crate) const SECONDS: u16 = 60;

    /// Whether this commit was seen.
    #[must_use]
    pub fn contains(&self, id: CommitId) -> bool {
        self.0.contains(&id)
    }

    /// Remembers a commit, and forgets old ones. One that was named later and came earlier is not
    /// old: commits overtake each other, and clocks differ.
    pub fn remember(&mut self, id: CommitId) {
        self.0.retain(|known| {
            let age = id.seconds().wrapping_sub(known.seconds());
            age.min(age.wrapping_neg()) <= Self::SECONDS
        });
        if self.0.len() >= Self::CAPACITY {
            self.0.remove(0);
        }
        self.0.push(id);
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
        recent.remember(first);
        recent.remember(id(60));
        assert!(recent.contains(first));
        recent.remember(id(61));
        assert!(!recent.contains(first));
        let overtaking = id(66);
        recent.remember(overtaking);
        recent.remember(id(65));
        assert!(recent.contains(overtaking));
        for _ in 0..2 * Recent::CAPACITY {
            recent.remember(id(61));
        }
        assert_eq!(recent.0.len(), Recent::CAPACITY);
    }
}
