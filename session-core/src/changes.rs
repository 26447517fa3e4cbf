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

fn add(
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
