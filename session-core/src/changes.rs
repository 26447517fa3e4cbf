//! What a request changed, field by field, and how that merges with other changes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use crate::error::Error;
use crate::fields::{Fields, Name, Unsorted};
use crate::merge::{Change, Overflow, Rule};

/// A field that a load found past its deadline. The next commit with changes removes it, unless another
/// request has renewed it.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct Expired {
    /// The field.
    pub name: Name,
    /// The name that stores its deadline.
    pub deadline_name: Name,
    /// The deadline that the load found.
    pub deadline: Vec<u8>,
}

impl Expired {
    /// The field `name`, whose `deadline` is stored under `deadline_name`.
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
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Changes {
    changes: BTreeMap<Name, Change>,
    expired: Vec<Expired>,
}

impl Changes {
    /// No change.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            changes: BTreeMap::new(),
            expired: Vec::new(),
        }
    }

    /// Whether nothing changed. Expired fields alone are no reason to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The changes, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Change)> {
        self.changes.iter()
    }

    /// The fields to remove before the changes apply.
    #[must_use]
    pub fn expired(&self) -> &[Expired] {
        &self.expired
    }

    /// What happened to the field of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Change> {
        self.changes.get(name)
    }

    /// Records what happened to a field. Replaces an earlier record.
    pub fn insert(&mut self, name: Name, change: Change) {
        self.changes.insert(name, change);
    }

    pub(crate) fn forget(&mut self, name: &str) {
        self.changes.remove(name);
    }

    /// Records that a load found a field past its deadline.
    pub fn expire(&mut self, expired: Expired) {
        if !self.expired.contains(&expired) {
            self.expired.push(expired);
        }
    }

    /// `rule` gives the merge rule of a name.
    pub(crate) fn diff(
        before: &Fields,
        after: &Fields,
        rule: impl Fn(&str) -> Rule,
    ) -> Result<Self, Error> {
        let mut changes = Self::new();
        // Both are sorted by name.
        let mut before = before.iter().peekable();
        for (name, value) in after.iter() {
            while let Some((gone, _)) = before.next_if(|(old, _)| *old < name) {
                changes.insert(gone.clone(), Change::Unset);
            }
            let old = before.next_if(|(old, _)| *old == name);
            let old = old.map(|(_, old)| old);
            if old != Some(value) {
                let change = rule(name).difference(old, value);
                let change = change.map_err(|Overflow| Error::overflow(name))?;
                changes.insert(name.clone(), change);
            }
        }
        for (gone, _) in before {
            changes.insert(gone.clone(), Change::Unset);
        }
        Ok(changes)
    }

    /// Adds later changes to these.
    ///
    /// # Errors
    ///
    /// If a counter would leave its range. Then nothing is merged.
    pub fn merge(&mut self, later: Self) -> Result<(), Error> {
        if self.changes.is_empty() && self.expired.is_empty() {
            *self = later;
            return Ok(());
        }
        let mut merged = Vec::with_capacity(later.changes.len());
        for (name, change) in later.changes {
            let change = match self.changes.get(&name) {
                None => Some(change),
                Some(earlier) => {
                    let both = earlier.then(change);
                    both.map_err(|Overflow| Error::overflow(&name))?
                }
            };
            merged.push((name, change));
        }
        for (name, change) in merged {
            match change {
                Some(change) => self.changes.insert(name, change),
                None => self.changes.remove(&name),
            };
        }
        later
            .expired
            .into_iter()
            .for_each(|expired| self.expire(expired));
        Ok(())
    }

    /// Applies the changes to what is stored. Returns the new values of merged fields, and the taken values.
    ///
    /// # Errors
    ///
    /// The name of a counter that would leave its range. Then nothing is applied.
    pub fn apply(&self, fields: &mut Fields) -> Result<Fields, Name> {
        let mut absent = self.expired_in(fields);
        let get = |name: &str| fields.get(name).filter(|_| !absent.contains(&name));
        let mut written = Vec::with_capacity(self.changes.len());
        let mut answer = Unsorted::default();
        let mut removed = Vec::new();
        for (name, change) in &self.changes {
            let after = change.applied(name, get);
            let after = after.map_err(|Overflow| name.clone())?;
            if let Some(value) = change.answer(name, get, after.as_deref()) {
                answer.push(name.clone(), value);
            }
            removed.extend_from_slice(change.removes());
            match after {
                Some(value) => written.push((name, value)),
                None => removed.push(name),
            }
        }
        absent.append(&mut removed);
        fields.edit(absent, written);
        Ok(answer.sorted())
    }

    pub(crate) fn sets(&self) -> Fields {
        let sets = self
            .changes
            .iter()
            .filter_map(|(name, change)| match change {
                Change::Set(value) => Some((name.clone(), value)),
                _ => None,
            });
        sets.collect()
    }

    /// Applies the changes to what a request loaded, using the store's answer.
    pub(crate) fn overlay(&self, fields: &mut Fields, answer: &Fields) {
        let mut removed = self.expired_in(fields);
        let mut written = Vec::with_capacity(self.changes.len());
        for (name, change) in &self.changes {
            removed.extend_from_slice(change.removes());
            match (change, answer.get(name)) {
                (Change::Set(value), _) => written.push((name, Cow::from(value))),
                (Change::Take { .. } | Change::Unset, _) | (_, None) => removed.push(name),
                (_, Some(value)) => written.push((name, Cow::from(value))),
            }
        }
        fields.edit(removed, written);
    }

    /// Those that nobody has renewed, and their deadlines.
    fn expired_in(&self, fields: &Fields) -> Vec<&str> {
        let gone = self.expired.iter().filter(|expired| {
            fields.get(&expired.deadline_name) == Some(expired.deadline.as_slice())
        });
        gone.flat_map(|expired| [&*expired.name, &*expired.deadline_name])
            .collect()
    }
}

/// The values are private.
impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.changes).finish()
    }
}

impl fmt::Debug for Expired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expired({})", self.name)
    }
}

#[cfg(test)]
mod tests;
