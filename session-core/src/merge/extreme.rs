//! `max` and `min`: the largest, or the smallest, stays.

use std::cmp::Ordering;

use super::{Change, compare};

/// Which of two integers stays.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "every store decides for both")]
pub enum Extreme {
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

impl Extreme {
    fn wins(self) -> Ordering {
        match self {
            Self::Max => Ordering::Greater,
            Self::Min => Ordering::Less,
        }
    }

    /// A value against the rule is a reset, as is one that replaces a non-integer.
    pub(super) fn difference(self, old: &[u8], value: &[u8]) -> Change {
        match compare(value, old) {
            Some(order) if order == self.wins() => Change::Extreme(self, value.to_vec()),
            _ => Change::Set(value.to_vec()),
        }
    }

    /// A non-integer is replaced.
    pub(super) fn keeps(self, stored: &[u8], value: &[u8]) -> bool {
        compare(stored, value).is_some_and(|order| order == self.wins())
    }

    pub(super) fn of(self, integers: Vec<i128>) -> Option<i128> {
        match self {
            Self::Max => integers.into_iter().max(),
            Self::Min => integers.into_iter().min(),
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Max => "max",
            Self::Min => "min",
        }
    }
}
