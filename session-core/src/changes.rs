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
    changes: Vec<(Name, Change)>,
    expired: Vec<Expired>,
    resets: bool,
}

impl Changes {
    /// No change.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            changes: Vec::new(),
            expired: Vec::new(),
            resets: false,
        }
    }

    /// Whether nothing changed. What is expired is no reason to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
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

    /// Whether everything that is stored is removed before the changes are applied.
    #[must_use]
    pub fn resets(&self) -> bool {
        self.resets
    }

    /// Says that everything that is stored is removed first: it is somebody else's.
    pub fn reset(&mut self) {
        self.resets = true;
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

    /// Both: these changes first, then `later`.
    ///
    /// # Errors
    ///
    /// If a counter would leave its range; nothing is merged then.
    pub fn merge(&mut self, later: Self) -> Result<(), Error> {
        if later.resets {
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
        if self.resets {
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
mod tests;
