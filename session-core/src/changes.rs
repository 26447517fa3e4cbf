//! What a request changed, field by field, and how that meets what others changed. All pure.

use crate::error::Error;
use crate::record::{Fields, Name};

/// How concurrent changes of one field merge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Rule {
    /// An integer: the difference is added to what is stored.
    Counter(CounterRange),
    /// The last writer wins.
    Last,
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

/// What happened to one stored field.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// A counter moved.
    Add {
        /// By how much.
        delta: i64,
        /// Where it starts when the store has no value for it.
        base: i64,
        /// What it must stay within.
        range: CounterRange,
    },
    /// It has this encoded value now.
    Set(Vec<u8>),
    /// It is absent now.
    Unset,
}

/// What happened to a session's stored fields: at most one [`Change`] for each.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changes(Vec<(Name, Change)>);

impl Changes {
    /// No change.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The changes, in the order in which they arose.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Change)> {
        self.0.iter().map(|(name, change)| (name, change))
    }

    /// What happened to the field of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Change> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, change)| change)
    }

    /// Says what happened to a field, in place of what was said before.
    pub fn insert(&mut self, name: Name, change: Change) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = change,
            None => self.0.push((name, change)),
        }
    }

    /// What turns `before` into `after` where the rule of a name is `rule(name)`.
    ///
    /// # Errors
    ///
    /// If a counter moved further than an `i64` can say.
    pub fn diff(
        before: &Fields,
        after: &Fields,
        rule: impl Fn(&str) -> Rule,
    ) -> Result<Self, Error> {
        let mut changes = Self::new();
        for (name, value) in after.iter() {
            let old = before.get(name);
            if old == Some(value) {
                continue;
            }
            let change = match (rule(name), old) {
                (Rule::Counter(range), Some(old)) => {
                    let (old, new) = (counter(name, old)?, counter(name, value)?);
                    let delta = new.checked_sub(old).ok_or_else(|| Error::overflow(name))?;
                    Change::Add {
                        delta,
                        base: old,
                        range,
                    }
                }
                (Rule::Counter(_) | Rule::Last, _) => Change::Set(value.to_vec()),
            };
            changes.0.push((name.clone(), change));
        }
        for (name, _) in before.iter() {
            if after.get(name).is_none() {
                changes.0.push((name.clone(), Change::Unset));
            }
        }
        Ok(changes)
    }

    /// Both: these changes first, then `later`.
    ///
    /// # Errors
    ///
    /// If a counter would leave its range; nothing is merged then.
    pub fn merge(&mut self, later: Self) -> Result<(), Error> {
        let mut merged = self.clone();
        for (name, change) in later.0 {
            merged.merge_one(name, change)?;
        }
        *self = merged;
        Ok(())
    }

    fn merge_one(&mut self, name: Name, change: Change) -> Result<(), Error> {
        let Change::Add { delta, base, range } = change else {
            self.insert(name, change);
            return Ok(());
        };
        let merged = match self.get(&name) {
            Some(Change::Add {
                delta: earlier,
                base,
                ..
            }) => {
                let delta = earlier.checked_add(delta);
                let delta = delta.ok_or_else(|| Error::overflow(&name))?;
                Change::Add {
                    delta,
                    base: *base,
                    range,
                }
            }
            Some(Change::Set(value)) => Change::Set(add(&name, Some(value), delta, base, range)?),
            Some(Change::Unset) => Change::Set(add(&name, None, delta, base, range)?),
            None => Change::Add { delta, base, range },
        };
        if matches!(merged, Change::Add { delta: 0, .. }) {
            self.0.retain(|(known, _)| *known != name);
        } else {
            self.insert(name, merged);
        }
        Ok(())
    }

    /// Applies the changes to what is stored, and tells the new values of counters that moved.
    ///
    /// # Errors
    ///
    /// If a counter would leave its range; nothing is applied then.
    pub fn apply(&self, fields: &mut Fields) -> Result<Fields, Error> {
        // Validate first, write last.
        let mut counters = Fields::new();
        for (name, change) in self.iter() {
            if let Change::Add { delta, base, range } = *change {
                let sum = add(name, fields.get(name), delta, base, range)?;
                counters.insert(name.clone(), sum);
            }
        }
        self.write(fields, &counters);
        Ok(counters)
    }

    /// Writes the changes over what is stored, where the counters that moved have these values now.
    pub(crate) fn write(&self, fields: &mut Fields, counters: &Fields) {
        for (name, change) in self.iter() {
            match change {
                Change::Add { .. } => {}
                Change::Set(value) => fields.insert(name.clone(), value.clone()),
                Change::Unset => fields.remove(name),
            }
        }
        for (name, value) in counters.iter() {
            fields.insert(name.clone(), value.to_vec());
        }
    }
}

pub(crate) fn add(
    name: &str,
    stored: Option<&[u8]>,
    delta: i64,
    base: i64,
    range: CounterRange,
) -> Result<Vec<u8>, Error> {
    let start = stored.map_or(Ok(base), |stored| counter(name, stored))?;
    let sum = start.checked_add(delta).filter(|&sum| range.contains(sum));
    let sum = sum.ok_or_else(|| Error::overflow(name))?;
    Ok(sum.to_string().into_bytes())
}

fn counter(name: &str, encoded: &[u8]) -> Result<i64, Error> {
    parse_counter(encoded).ok_or_else(|| Error::overflow(name))
}

/// The value of a counter as it is stored: a decimal integer of 64 bits.
pub(crate) fn parse_counter(encoded: &[u8]) -> Option<i64> {
    str::from_utf8(encoded).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANY: CounterRange = CounterRange::new(i64::MIN, i64::MAX);

    fn rule(name: &str) -> Rule {
        if name.starts_with('c') {
            Rule::Counter(ANY)
        } else {
            Rule::Last
        }
    }

    /// Three counters, which always have a value, and three other fields, which may be absent.
    fn fields() -> impl Strategy<Value = Fields> {
        let counters = proptest::array::uniform3(-1000_i64..1000);
        let others = proptest::array::uniform3(proptest::option::of("[a-c]{0,2}"));
        (counters, others).prop_map(|(counters, others)| {
            let counters = ["c0", "c1", "c2"]
                .into_iter()
                .zip(counters.map(|c| Some(c.to_string())));
            let others = ["o0", "o1", "o2"].into_iter().zip(others);
            let present = counters.chain(others);
            present
                .filter_map(|(name, value)| Some((name.into(), value?.into_bytes())))
                .collect()
        })
    }

    fn number(fields: &Fields, name: &str) -> i64 {
        parse_counter(fields.get(name).unwrap()).unwrap()
    }

    proptest! {
        #[test]
        fn a_difference_applied_makes_the_other(before in fields(), after in fields()) {
            let changes = Changes::diff(&before, &after, rule).unwrap();
            let mut applied = before.clone();
            changes.apply(&mut applied).unwrap();
            prop_assert_eq!(&applied, &after);
            prop_assert_eq!(changes.is_empty(), before == after);
        }

        #[test]
        fn merged_is_one_after_the_other(a in fields(), b in fields(), c in fields()) {
            let mut merged = Changes::diff(&a, &b, rule).unwrap();
            merged.merge(Changes::diff(&b, &c, rule).unwrap()).unwrap();
            let mut applied = a;
            merged.apply(&mut applied).unwrap();
            prop_assert_eq!(applied, c);
        }

        #[test]
        fn two_requests_lose_no_counter_and_no_other_field(
            base in fields(), mine in fields(), theirs in fields(),
        ) {
            let mut stored = base.clone();
            Changes::diff(&base, &mine, rule).unwrap().apply(&mut stored).unwrap();
            Changes::diff(&base, &theirs, rule).unwrap().apply(&mut stored).unwrap();
            for name in ["c0", "c1", "c2"] {
                let expected = number(&mine, name) + number(&theirs, name) - number(&base, name);
                prop_assert_eq!(number(&stored, name), expected);
            }
            for name in ["o0", "o1", "o2"] {
                let theirs_changed = theirs.get(name) != base.get(name);
                let last = if theirs_changed { &theirs } else { &mine };
                prop_assert_eq!(stored.get(name), last.get(name));
            }
        }
    }

    #[test]
    fn an_overflow_applies_nothing() {
        let range = CounterRange::new(0, 255);
        let mut changes = Changes::new();
        changes.insert("a".into(), Change::Set(b"1".to_vec()));
        changes.insert(
            "c".into(),
            Change::Add {
                delta: 2,
                base: 0,
                range,
            },
        );
        let mut fields = Fields::from_iter([("c".into(), b"254".to_vec())]);
        let untouched = fields.clone();
        assert!(changes.apply(&mut fields).unwrap_err().is_overflow());
        assert_eq!(fields, untouched);
    }

    #[test]
    fn a_counter_that_is_not_stored_starts_at_its_base() {
        let mut fields = Fields::new();
        let mut changes = Changes::new();
        changes.insert(
            "c".into(),
            Change::Add {
                delta: 2,
                base: 40,
                range: ANY,
            },
        );
        let counters = changes.apply(&mut fields).unwrap();
        assert_eq!(counters.get("c"), Some(b"42".as_slice()));
        assert_eq!(fields, counters);
    }

    #[test]
    fn forth_and_back_is_no_change() {
        let add = |delta| {
            let mut changes = Changes::new();
            changes.insert(
                "c".into(),
                Change::Add {
                    delta,
                    base: 0,
                    range: ANY,
                },
            );
            changes
        };
        let mut changes = add(3);
        changes.merge(add(-3)).unwrap();
        assert!(changes.is_empty());
    }
}
