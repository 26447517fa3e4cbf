//! How concurrent changes of one field merge.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use crate::fields::Fields;

mod counter;
mod extreme;
mod take;

pub use self::counter::{Counter, CounterRange};
pub use self::extreme::Extreme;

/// How concurrent changes of one field merge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Rule {
    /// An integer: the difference is added to what is stored.
    Counter(Counter),
    /// An integer: the largest or smallest value stays.
    Extreme(Extreme),
    /// The last writer wins.
    Last,
}

/// What happened to one stored field.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// A counter moved.
    Add {
        /// By how much.
        delta: i64,
        /// Where it starts if nothing is stored.
        base: i64,
        /// Its range and its old names.
        counter: Counter,
    },
    /// It is this integer, unless the store has a more extreme one.
    Extreme(Extreme, Vec<u8>),
    /// It has this encoded value.
    Set(Vec<u8>),
    /// It is absent, and the update returns its value.
    Take {
        /// Names from older builds. They are read before the field's own name, and removed with it.
        aliases: &'static [&'static str],
    },
    /// It is absent.
    Unset,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Overflow;

impl Rule {
    pub(crate) fn difference(self, old: Option<&[u8]>, value: &[u8]) -> Result<Change, Overflow> {
        match (self, old) {
            (Self::Counter(counter), Some(old)) => counter.difference(old, value),
            (Self::Extreme(extreme), Some(old)) => Ok(extreme.difference(old, value)),
            (Self::Last, _) | (_, None) => Ok(Change::Set(value.to_vec())),
        }
    }

    /// Several names may store a value; the newest comes first.
    pub(crate) fn combined<'s>(self, values: &[&'s [u8]]) -> Option<Cow<'s, [u8]>> {
        let (&newest, older) = values.split_first()?;
        let integers =
            || -> Option<Vec<i128>> { values.iter().map(|value| parse(value)).collect() };
        let combined = match self {
            _ if older.is_empty() => None,
            Self::Counter(_) => integers().map(|integers| integers.iter().sum()),
            Self::Extreme(extreme) => integers().and_then(|integers| extreme.of(integers)),
            Self::Last => None,
        };
        Some(combined.map_or(Cow::Borrowed(newest), |value: i128| {
            Cow::Owned(value.to_string().into_bytes())
        }))
    }

    pub(crate) fn word(self) -> Option<&'static str> {
        match self {
            Self::Counter(_) => Some("counter"),
            Self::Extreme(extreme) => Some(extreme.word()),
            Self::Last => None,
        }
    }
}

impl Change {
    /// `None` if the changes cancel out.
    pub(crate) fn then(&self, later: Self) -> Result<Option<Self>, Overflow> {
        match (self, later) {
            (
                Self::Add { delta, base, .. },
                Self::Add {
                    delta: more,
                    counter,
                    ..
                },
            ) => counter::joined(*delta, more, *base, counter),
            (Self::Extreme(extreme, earlier), Self::Extreme(same, later)) if *extreme == same => {
                let value = match same.keeps(earlier, &later) {
                    true => earlier.clone(),
                    false => later,
                };
                Ok(Some(Self::Extreme(same, value)))
            }
            (_, later @ (Self::Set(_) | Self::Unset | Self::Take { .. })) => Ok(Some(later)),
            // This change determines the stored value, so apply the later one now.
            (earlier, later) => {
                let mut stored = Fields::new();
                if let Self::Set(value) | Self::Extreme(_, value) = earlier {
                    stored.insert("".into(), value);
                }
                let value = later.applied("", |name| stored.get(name))?;
                Ok(Some(value.map_or(Self::Unset, |value| {
                    Self::Set(value.into_owned())
                })))
            }
        }
    }

    /// The stored value after the change, if any; `get` reads the values from before.
    pub(crate) fn applied<'s>(
        &self,
        name: &str,
        get: impl Fn(&str) -> Option<&'s [u8]>,
    ) -> Result<Option<Cow<'_, [u8]>>, Overflow> {
        Ok(match self {
            Self::Add {
                delta,
                base,
                counter,
            } => Some(counter.moved(name, get, *delta, *base)?.into()),
            Self::Extreme(extreme, value) => Some(match get(name) {
                Some(stored) if extreme.keeps(stored, value) => stored.to_vec().into(),
                _ => value.into(),
            }),
            Self::Set(value) => Some(value.into()),
            Self::Take { .. } | Self::Unset => None,
        })
    }

    /// What an update returns; `after` is the stored value after the change.
    pub(crate) fn answer<'a, 's: 'a>(
        &self,
        name: &str,
        get: impl Fn(&str) -> Option<&'s [u8]>,
        after: Option<&'a [u8]>,
    ) -> Option<&'a [u8]> {
        match self {
            Self::Add { .. } | Self::Extreme(..) => after,
            Self::Take { aliases } => take::taken(name, aliases, get),
            Self::Set(_) | Self::Unset => None,
        }
    }

    /// Other names that it makes absent.
    pub(crate) fn removes(&self) -> &'static [&'static str] {
        match self {
            Self::Add { counter, .. } => counter.aliases,
            Self::Take { aliases } => aliases,
            Self::Extreme(..) | Self::Set(_) | Self::Unset => &[],
        }
    }
}

/// The values are private.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add { .. } => f.write_str("Add"),
            Self::Extreme(extreme, _) => write!(f, "{extreme:?}"),
            Self::Set(value) => write!(f, "Set({} bytes)", value.len()),
            Self::Take { .. } => f.write_str("Take"),
            Self::Unset => f.write_str("Unset"),
        }
    }
}

/// `None` if either is not an integer.
fn compare(a: &[u8], b: &[u8]) -> Option<Ordering> {
    let ((a_is_negative, a), (b_is_negative, b)) = (integer(a)?, integer(b)?);
    let by_size = a.len().cmp(&b.len()).then(a.cmp(b));
    Some(match (a_is_negative, b_is_negative) {
        (false, false) => by_size,
        (true, true) => by_size.reverse(),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    })
}

fn parse<N: std::str::FromStr>(encoded: &[u8]) -> Option<N> {
    integer(encoded)?;
    str::from_utf8(encoded).ok()?.parse().ok()
}

/// The sign and digits of an integer without `+`, leading zeros and white space.
fn integer(encoded: &[u8]) -> Option<(bool, &str)> {
    let text = str::from_utf8(encoded).ok()?;
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let is_canonical = match digits.as_bytes() {
        [b'0'] => !is_negative,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_canonical.then_some((is_negative, digits))
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
        assert_eq!(compare(b"-10", b"-9"), Some(Ordering::Less));
        assert_eq!(compare(&[b'9'; 40], &[b'9'; 39]), Some(Ordering::Greater));
        assert_eq!(compare(b"-0", b"9"), None);
        assert_eq!(compare(b"true", b"9"), None);
    }

    #[test]
    fn debug_shows_no_values() {
        let counter = Counter::new(CounterRange::new(0, 9));
        for change in [
            Change::Add {
                delta: 77,
                base: 77,
                counter,
            },
            Change::Extreme(Extreme::Max, b"77".to_vec()),
            Change::Set(b"77".to_vec()),
        ] {
            assert!(!format!("{change:?}").contains('7'), "{change:?}");
        }
    }
}
