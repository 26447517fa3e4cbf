//! `counter`: differences add up.

use super::{Change, Overflow, parse};

/// The range of a counter, and its old names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counter {
    /// The range that it must stay within.
    pub range: CounterRange,
    /// Older builds' names. Their values are added.
    pub aliases: &'static [&'static str],
}

/// The values that a counter's type can hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CounterRange {
    /// The smallest.
    pub min: i64,
    /// The largest.
    pub max: i64,
}

impl CounterRange {
    /// From `min` to `max`, both included.
    #[must_use]
    pub const fn new(min: i64, max: i64) -> Self {
        Self { min, max }
    }
}

impl Counter {
    /// A counter of this range without old names.
    #[must_use]
    pub const fn new(range: CounterRange) -> Self {
        let aliases = &[];
        Self { range, aliases }
    }

    pub(super) fn difference(self, old: &[u8], value: &[u8]) -> Result<Change, Overflow> {
        let (base, new): (i64, i64) = (read(old)?, read(value)?);
        Ok(Change::Add {
            delta: new.checked_sub(base).ok_or(Overflow)?,
            base,
            counter: self,
        })
    }

    /// Its value after a move from the sum of the stored values, or from `base`.
    pub(super) fn moved<'s>(
        &self,
        name: &str,
        get: impl Fn(&str) -> Option<&'s [u8]>,
        delta: i64,
        base: i64,
    ) -> Result<Vec<u8>, Overflow> {
        let names = std::iter::once(name).chain(self.aliases.iter().copied());
        // Only the sum must fit, not what it passes through.
        let start = names
            .filter_map(get)
            .try_fold(None, |sum: Option<i128>, value| {
                Ok(Some(sum.unwrap_or(0) + i128::from(read(value)?)))
            })?;
        let end = start.unwrap_or(base.into()) + i128::from(delta);
        let end = i64::try_from(end).map_err(|_| Overflow)?;
        match (self.range.min..=self.range.max).contains(&end) {
            true => Ok(end.to_string().into_bytes()),
            false => Err(Overflow),
        }
    }
}

/// If two moves cancel out, there is no change.
pub(super) fn joined(
    delta: i64,
    more: i64,
    base: i64,
    counter: Counter,
) -> Result<Option<Change>, Overflow> {
    let delta = delta.checked_add(more).ok_or(Overflow)?;
    Ok((delta != 0).then_some(Change::Add {
        delta,
        base,
        counter,
    }))
}

fn read(encoded: &[u8]) -> Result<i64, Overflow> {
    parse(encoded).ok_or(Overflow)
}
