//! What a request changed, field by field, and how that meets what others changed. All pure.

use std::cmp::Ordering;

use crate::error::Error;
use crate::record::{Fields, Name};
use crate::rule::{Counter, Rule, compare, counter as read_counter};

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
        /// How it counts.
        counter: Counter,
    },
    /// It is at least this integer now, unless the store has a larger one.
    Max(Vec<u8>),
    /// It is at most this integer now, unless the store has a smaller one.
    Min(Vec<u8>),
    /// It has this encoded value now.
    Set(Vec<u8>),
    /// It is absent now.
    Unset,
}

impl Change {
    /// Whether what is stored after it depends on what was stored before.
    #[must_use]
    pub fn merges(&self) -> bool {
        match self {
            Self::Add { .. } | Self::Max(_) | Self::Min(_) => true,
            Self::Set(_) | Self::Unset => false,
        }
    }
}

/// A field that was found past its own deadline. It is removed together with the changes, unless
/// another request gave it a new deadline in the meantime.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Expired {
    /// The field.
    pub name: Name,
    /// The stored field that holds its deadline.
    pub deadline_name: Name,
    /// The deadline that was found.
    pub deadline: Vec<u8>,
}

impl Expired {
    /// The field `name`, whose deadline is stored as `deadline` under `deadline_name`.
    #[must_use]
    pub const fn new(name: Name, deadline_name: Name, deadline: Vec<u8>) -> Self {
        Self {
            name,
            deadline_name,
            deadline,
        }
    }
}

/// What happened to a session's stored fields: at most one [`Change`] for each.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changes {
    clears: bool,
    changes: Vec<(Name, Change)>,
    expired: Vec<Expired>,
}

impl Changes {
    /// No change.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            clears: false,
            changes: Vec::new(),
            expired: Vec::new(),
        }
    }

    /// Whether nothing changed. What is expired is no reason to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && !self.clears
    }

    /// Whether every field that is stored is removed before the changes are applied, those included
    /// that this request has not seen.
    #[must_use]
    pub fn clears(&self) -> bool {
        self.clears
    }

    /// Says that every stored field is removed first.
    pub fn clear(&mut self) {
        self.clears = true;
    }

    /// The changes, in the order in which they arose.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Change)> {
        self.changes.iter().map(|(name, change)| (name, change))
    }

    /// The fields that are removed before the changes are applied.
    #[must_use]
    pub fn expired(&self) -> &[Expired] {
        &self.expired
    }

    /// What happened to the field of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Change> {
        let found = self.changes.iter().find(|(known, _)| known == name);
        found.map(|(_, change)| change)
    }

    /// Says what happened to a field, in place of what was said before.
    pub fn insert(&mut self, name: Name, change: Change) {
        match self.changes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = change,
            None => self.changes.push((name, change)),
        }
    }

    /// Says that a field was found past its deadline.
    pub fn expire(&mut self, expired: Expired) {
        if !self.expired.contains(&expired) {
            self.expired.push(expired);
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
        let mut changes = Vec::new();
        for (name, value) in after.iter() {
            let old = before.get(name);
            if old != Some(value) {
                changes.push((name.clone(), change(name, rule(name), old, value)?));
            }
        }
        for (name, _) in before.iter() {
            if after.get(name).is_none() {
                changes.push((name.clone(), Change::Unset));
            }
        }
        Ok(Self {
            changes,
            ..Self::new()
        })
    }

    /// Both: these changes first, then `later`; which are all that is left where they clear.
    ///
    /// # Errors
    ///
    /// If a counter would leave its range; nothing is merged then.
    pub fn merge(&mut self, later: Self) -> Result<(), Error> {
        if later.clears {
            *self = later;
            return Ok(());
        }
        let mut merged = self.clone();
        for (name, change) in later.changes {
            merged.merge_one(name, change)?;
        }
        for expired in later.expired {
            merged.expire(expired);
        }
        *self = merged;
        Ok(())
    }

    fn merge_one(&mut self, name: Name, later: Change) -> Result<(), Error> {
        let merged = match (self.get(&name), later) {
            (_, later @ (Change::Set(_) | Change::Unset)) => later,
            (None, later) => later,
            (
                Some(Change::Add {
                    delta: earlier,
                    base,
                    ..
                }),
                Change::Add { delta, counter, .. },
            ) => {
                let delta = earlier.checked_add(delta);
                let delta = delta.ok_or_else(|| Error::overflow(&name))?;
                Change::Add {
                    delta,
                    base: *base,
                    counter,
                }
            }
            (Some(Change::Max(earlier)), Change::Max(later)) => {
                Change::Max(largest(earlier, later))
            }
            (Some(Change::Min(earlier)), Change::Min(later)) => {
                Change::Min(smallest(earlier, later))
            }
            // The earlier one says all of what is stored, so the later one can be done at once.
            (Some(earlier), later) => {
                let mut stored = Fields::new();
                if let Change::Set(value) | Change::Max(value) | Change::Min(value) = earlier {
                    stored.insert(name.clone(), value.clone());
                }
                let value = applied(&name, &later, &stored)?;
                value.map_or(Change::Unset, Change::Set)
            }
        };
        if matches!(merged, Change::Add { delta: 0, .. }) {
            self.changes.retain(|(known, _)| *known != name);
        } else {
            self.insert(name, merged);
        }
        Ok(())
    }

    /// Applies the changes to what is stored, and tells the new values of the fields that merged.
    ///
    /// # Errors
    ///
    /// If a counter would leave its range; nothing is applied then.
    pub fn apply(&self, fields: &mut Fields) -> Result<Fields, Error> {
        let mut after = fields.clone();
        self.remove_first(&mut after);
        let mut merged = Fields::new();
        for (name, change) in self.iter().filter(|(_, change)| change.merges()) {
            let value = applied(name, change, &after)?;
            merged.extend(value.map(|value| (name.clone(), value)));
        }
        self.write(&mut after, &merged);
        *fields = after;
        Ok(merged)
    }

    /// Writes the changes over what was stored, where the fields that merged have these values now.
    pub(crate) fn write(&self, fields: &mut Fields, merged: &Fields) {
        self.remove_first(fields);
        for (name, change) in self.iter() {
            match change {
                Change::Add { counter, .. } => {
                    counter
                        .aliases
                        .iter()
                        .for_each(|alias| fields.remove(alias));
                }
                Change::Max(_) | Change::Min(_) => {}
                Change::Set(value) => fields.insert(name.clone(), value.clone()),
                Change::Unset => fields.remove(name),
            }
        }
        fields.extend(
            merged
                .iter()
                .map(|(name, value)| (name.clone(), value.to_vec())),
        );
    }

    fn remove_first(&self, fields: &mut Fields) {
        if self.clears {
            *fields = Fields::new();
        }
        for Expired {
            name,
            deadline_name,
            deadline,
        } in &self.expired
        {
            if fields.get(deadline_name) == Some(deadline) {
                fields.remove(name);
                fields.remove(deadline_name);
            }
        }
    }
}

/// The change that turns a field's old value into another one.
fn change(name: &str, rule: Rule, old: Option<&[u8]>, value: &[u8]) -> Result<Change, Error> {
    let set = || Change::Set(value.to_vec());
    let Some(old) = old else {
        return Ok(set());
    };
    Ok(match (rule, compare(value, old)) {
        (Rule::Counter(counter), _) => {
            let (base, new) = (read_counter(name, old)?, read_counter(name, value)?);
            let delta = new.checked_sub(base).ok_or_else(|| Error::overflow(name))?;
            Change::Add {
                delta,
                base,
                counter,
            }
        }
        (Rule::Max, Some(Ordering::Greater)) => Change::Max(value.to_vec()),
        (Rule::Min, Some(Ordering::Less)) => Change::Min(value.to_vec()),
        // Against its rule: a reset, which is meant as it is.
        (Rule::Last | Rule::Max | Rule::Min, _) => set(),
    })
}

/// What is stored of a field after a change; `None`: nothing.
fn applied(name: &str, change: &Change, stored: &Fields) -> Result<Option<Vec<u8>>, Error> {
    let old = stored.get(name);
    Ok(match change {
        Change::Add {
            delta,
            base,
            counter,
        } => {
            let values = counter.names(name).filter_map(|name| stored.get(name));
            Some(counter.moved(name, values, *delta, *base)?)
        }
        Change::Max(value) => Some(old.map_or(value.clone(), |old| largest(old, value.clone()))),
        Change::Min(value) => Some(old.map_or(value.clone(), |old| smallest(old, value.clone()))),
        Change::Set(value) => Some(value.clone()),
        Change::Unset => None,
    })
}

/// What is no integer is replaced.
fn largest(stored: &[u8], value: Vec<u8>) -> Vec<u8> {
    match compare(stored, &value) {
        Some(Ordering::Greater) => stored.to_vec(),
        _ => value,
    }
}

/// What is no integer is replaced.
fn smallest(stored: &[u8], value: Vec<u8>) -> Vec<u8> {
    match compare(stored, &value) {
        Some(Ordering::Less) => stored.to_vec(),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rule::CounterRange;

    const ANY: Counter = Counter::new(CounterRange::new(i64::MIN, i64::MAX));

    fn rule(name: &str) -> Rule {
        match name.as_bytes()[0] {
            b'c' => Rule::Counter(ANY),
            b'm' => Rule::Max,
            _ => Rule::Last,
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
        read_counter(name, fields.get(name).unwrap()).unwrap()
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
        let counter = Counter::new(CounterRange::new(0, 255));
        let mut changes = Changes::new();
        changes.insert("a".into(), Change::Set(b"1".to_vec()));
        changes.insert(
            "c".into(),
            Change::Add {
                delta: 2,
                base: 0,
                counter,
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
                counter: ANY,
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
                    counter: ANY,
                },
            );
            changes
        };
        let mut changes = add(3);
        changes.merge(add(-3)).unwrap();
        assert!(changes.is_empty());
    }

    #[test]
    fn the_largest_stays_and_a_reset_is_a_reset() {
        let field = |value: &str| Fields::from_iter([("m".into(), value.as_bytes().to_vec())]);
        let raised = Changes::diff(&field("5"), &field("9"), rule).unwrap();
        assert_eq!(raised.get("m"), Some(&Change::Max(b"9".to_vec())));
        let mut stored = field("10");
        raised.apply(&mut stored).unwrap();
        assert_eq!(stored, field("10"));
        let reset = Changes::diff(&field("5"), &field("0"), rule).unwrap();
        reset.apply(&mut stored).unwrap();
        assert_eq!(stored, field("0"));
        let mut both = reset;
        both.merge(raised).unwrap();
        both.apply(&mut stored).unwrap();
        assert_eq!(stored, field("9"));
    }

    #[test]
    fn clearing_removes_what_was_not_seen_and_what_was_said_before() {
        let mut cleared = Changes::new();
        cleared.clear();
        cleared.insert(
            "c".into(),
            Change::Add {
                delta: 1,
                base: 10,
                counter: ANY,
            },
        );
        let mut changes = Changes::new();
        changes.insert("o".into(), Change::Set(b"1".to_vec()));
        changes.merge(cleared).unwrap();
        let mut fields = Fields::from_iter(["c", "o", "p"].map(|n| (n.into(), b"5".to_vec())));
        changes.apply(&mut fields).unwrap();
        assert_eq!(fields, Fields::from_iter([("c".into(), b"11".to_vec())]));
    }

    #[test]
    fn an_expired_field_is_removed_unless_it_was_renewed() {
        let stored = |deadline: &str| {
            let deadline = ("@until:c".into(), deadline.as_bytes().to_vec());
            Fields::from_iter([("c".into(), b"5".to_vec()), deadline])
        };
        let mut changes = Changes::new();
        changes.expire(Expired::new("c".into(), "@until:c".into(), b"100".to_vec()));
        changes.insert(
            "c".into(),
            Change::Add {
                delta: 1,
                base: 0,
                counter: ANY,
            },
        );
        let mut fields = stored("100");
        changes.apply(&mut fields).unwrap();
        assert_eq!(fields, Fields::from_iter([("c".into(), b"1".to_vec())]));
        let mut renewed = stored("200");
        changes.apply(&mut renewed).unwrap();
        assert_eq!(renewed.get("c"), Some(b"6".as_slice()));
    }
}
