//! How concurrent changes of one field merge, and the arithmetic of it.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::error::Error;

/// How concurrent changes of one field merge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Rule {
    /// An integer: the difference is added to what is stored.
    Counter(Counter),
    /// The last writer wins.
    Last,
    /// An integer: the largest that anybody set stays.
    Max,
    /// An integer: the smallest that anybody set stays.
    Min,
}

/// How a counter counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counter {
    /// What it must stay within.
    pub range: CounterRange,
    /// The old names under which older builds may go on counting: what is found there is added.
    pub aliases: &'static [&'static str],
}

impl Counter {
    /// A counter of this range that has no old names.
    #[must_use]
    pub const fn new(range: CounterRange) -> Self {
        let aliases = &[];
        Self { range, aliases }
    }

    /// All names under which it may be stored.
    pub(crate) fn names<'n>(&self, name: &'n str) -> impl Iterator<Item = &'n str> {
        std::iter::once(name).chain(self.aliases.iter().copied())
    }

    /// What it is after it moved by `delta` from the sum of what is stored, or from `base`.
    pub(crate) fn moved<'s>(
        &self,
        name: &str,
        stored: impl IntoIterator<Item = &'s [u8]>,
        delta: i64,
        base: i64,
    ) -> Result<Vec<u8>, Error> {
        let start = stored
            .into_iter()
            .try_fold(None, |sum: Option<i64>, value| {
                let sum = sum.unwrap_or(0).checked_add(counter(name, value)?);
                sum.map(Some).ok_or_else(|| Error::overflow(name))
            })?;
        let end = start.unwrap_or(base).checked_add(delta);
        let end = end.filter(|&end| self.range.contains(end));
        let end = end.ok_or_else(|| Error::overflow(name))?;
        Ok(end.to_string().into_bytes())
    }
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

    fn contains(self, value: i64) -> bool {
        (self.min..=self.max).contains(&value)
    }
}

/// The value of a counter as it is stored: a decimal integer of 64 bits.
pub(crate) fn counter(name: &str, encoded: &[u8]) -> Result<i64, Error> {
    parse(encoded).ok_or_else(|| Error::overflow(name))
}

/// What a field is of which several names hold a value, the newest first.
pub(crate) fn combined<'s>(rule: Rule, values: &[&'s [u8]]) -> Option<Cow<'s, [u8]>> {
    let &newest = values.first()?;
    let integers: Option<Vec<i128>> = values.iter().map(|value| parse(value)).collect();
    let combined = match (rule, integers) {
        (_, _) if values.len() == 1 => None,
        (Rule::Counter(_), Some(integers)) => Some(integers.iter().sum::<i128>()),
        (Rule::Max, Some(integers)) => integers.into_iter().max(),
        (Rule::Min, Some(integers)) => integers.into_iter().min(),
        (_, _) => None,
    };
    Some(combined.map_or(Cow::Borrowed(newest), |value| {
        Cow::Owned(value.to_string().into_bytes())
    }))
}

/// How one encoded integer compares to another; `None` where one of them is none.
pub(crate) fn compare(a: &[u8], b: &[u8]) -> Option<Ordering> {
    let (a, b): (i128, i128) = (parse(a)?, parse(b)?);
    Some(a.cmp(&b))
}

/// Whether this is an integer as integers are encoded.
pub(crate) fn is_integer(encoded: &[u8]) -> bool {
    parse::<i128>(encoded).is_some()
}

/// Reads an integer as it is encoded: no sign but `-`, no leading zeros, no white space.
fn parse<N: std::str::FromStr>(encoded: &[u8]) -> Option<N> {
    let text = str::from_utf8(encoded).ok()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = match digits.as_bytes() {
        [b'0'] => digits == text,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_integers_as_they_are_encoded_are_read() {
        for text in [
            "0",
            "1",
            "-1",
            "9223372036854775807",
            "-9223372036854775808",
        ] {
            assert!(parse::<i64>(text.as_bytes()).is_some(), "{text}");
        }
        for text in [
            "",
            "-",
            "-0",
            "+1",
            "01",
            " 1",
            "1 ",
            "1.0",
            "1e3",
            "9223372036854775808",
        ] {
            assert!(parse::<i64>(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn integers_beyond_64_bits_with_a_sign_compare() {
        assert_eq!(
            compare(b"18446744073709551615", b"9"),
            Some(Ordering::Greater)
        );
        assert_eq!(compare(b"-10", b"9"), Some(Ordering::Less));
        assert_eq!(compare(b"true", b"9"), None);
    }
}
