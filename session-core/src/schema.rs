//! What a session type declares: the trait that `#[session]` implements, and its data.

use std::fmt;

use crate::changes::{Change, Changes, Expired};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::field::{Codec, Field, OnError};
use crate::options::Options;
use crate::record::{Fields, Name};
use crate::rule::{self, Counter, Rule};
use crate::store::{Expected, Wanted};

/// A declared session type. Implemented by `#[session]`, not by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a session",
    label = "no session type",
    note = "put `#[session]` on the struct: `#[session] struct {Self} {{ … }}`"
)]
pub trait SessionData: Sized + Send + Sync + 'static {
    /// Everything that was declared.
    const SCHEMA: &'static Schema<Self>;
}

/// Everything that a session type declares.
pub struct Schema<T: 'static> {
    name: &'static str,
    options: Options,
    fields: &'static [Field<T>],
    defaults: fn() -> T,
}

/// A session as it was read.
#[derive(Debug)]
#[non_exhaustive]
pub struct Decoded<T> {
    /// The data; what could not be read has its default.
    pub data: T,
    /// The fields that could not be read, and what that does.
    pub faults: Vec<(&'static str, OnError)>,
}

impl<T> Schema<T> {
    /// The session type `name` with these fields, which start as `defaults` says.
    #[must_use]
    pub const fn new(
        name: &'static str,
        options: Options,
        fields: &'static [Field<T>],
        defaults: fn() -> T,
    ) -> Self {
        Self {
            name,
            options,
            fields,
            defaults,
        }
    }

    /// The name under which its sessions are stored and configured.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The options declared on the struct.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) const fn fields(&self) -> &'static [Field<T>] {
        self.fields
    }

    /// A session in which nothing was stored yet.
    #[must_use]
    pub fn defaults(&self) -> T {
        (self.defaults)()
    }

    /// What a load asks a store for.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        let is_map = |field: &Field<T>| matches!(field.codec, Codec::Entries(_));
        if self.fields.iter().any(is_map) {
            return Wanted::All;
        }
        let names = self.fields.iter().flat_map(|field| {
            let names = field.names().map(Name::from);
            names.chain(field.deadline_name())
        });
        let mut names: Vec<Name> = names.collect();
        names.sort_unstable();
        Wanted::Fields(names)
    }

    /// The session that these stored fields make at this instant.
    #[must_use]
    pub fn decode(&self, stored: &Fields, now: Timestamp) -> Decoded<T> {
        let mut data = self.defaults();
        let faults = self.decode_into(&mut data, stored, now);
        Decoded { data, faults }
    }

    /// Sets those fields of a session that are stored here, and tells which could not be read.
    pub fn decode_into(
        &self,
        data: &mut T,
        stored: &Fields,
        now: Timestamp,
    ) -> Vec<(&'static str, OnError)> {
        let mut faults = Vec::new();
        if stored.is_empty() {
            return faults;
        }
        for field in self.fields {
            if expired(field, stored, now).is_none() && !field.decode(data, stored) {
                faults.push((field.name, field.on_error));
            }
        }
        faults
    }

    /// All fields of a session, encoded. A `None` whose default is `None` is absent.
    ///
    /// # Errors
    ///
    /// If the `Serialize` of a field fails.
    pub fn encode(&self, data: &T) -> Result<Fields, Error> {
        let mut encoded = Vec::with_capacity(self.fields.len());
        // Made for the first `None`, and once for all of them.
        let mut defaults = None;
        for field in self.fields {
            let start = encoded.len();
            field.encode(data, &mut encoded)?;
            if is_null(&encoded[start..])
                && defaults_to_null(field, defaults.get_or_insert_with(self.defaults))
            {
                encoded.truncate(start);
            }
        }
        Ok(encoded.into_iter().collect())
    }

    /// What turns the session that was encoded as `before` into the one encoded as `after`, where
    /// `stored` is what the store held when it was read, and now is `now`.
    ///
    /// # Errors
    ///
    /// If a counter moved further than it can count.
    pub fn changes(
        &self,
        stored: &Fields,
        before: &Fields,
        after: &Fields,
        now: Timestamp,
    ) -> Result<Changes, Error> {
        let mut changes = Changes::diff(before, after, |name| self.rule(name, stored))?;
        if self.switches_user(stored, after) {
            self.begin_anew(&mut changes)?;
        } else {
            self.complete_groups(&mut changes, after);
        }
        if changes.is_empty() {
            return Ok(changes);
        }
        for field in self.fields {
            move_from_aliases(field, &mut changes);
            if let Some(name) = field.deadline_name() {
                set_deadline(field, name, &mut changes, now);
            }
            if let Some(expired) = expired(field, stored, now) {
                changes.expire(expired);
            }
        }
        Ok(changes)
    }

    /// Whether a value of the field `name` is stored at this instant.
    #[must_use]
    pub fn holds(&self, stored: &Fields, name: &str, now: Timestamp) -> bool {
        let field = self.fields.iter().find(|field| field.name == name);
        field.is_some_and(|field| {
            let mut names = field.names();
            names.any(|name| stored.get(name).is_some()) && expired(field, stored, now).is_none()
        })
    }

    /// What must still be stored for everything that was read to be unchanged.
    #[must_use]
    pub fn expected(&self, stored: &Fields) -> Expected {
        let mut expected = Expected::default();
        for field in self.fields {
            match field.codec {
                Codec::Entries(_) => {
                    let prefixes = field.names().map(|name| format!("{name}:"));
                    for prefix in prefixes {
                        let entries: Vec<_> = stored.with_prefix(&prefix).collect();
                        expected.counts.push((prefix.clone(), entries.len()));
                        expected
                            .fields
                            .extend(entries.into_iter().map(|(key, value)| {
                                (format!("{prefix}{key}").into(), Some(value.to_vec()))
                            }));
                    }
                }
                Codec::Value(_) => {
                    let names = field.names().map(Name::from).chain(field.deadline_name());
                    expected.fields.extend(names.map(|name| {
                        let value = stored.get(&name).map(<[u8]>::to_vec);
                        (name, value)
                    }));
                }
            }
        }
        expected
    }

    /// Whether these changes change who is logged in: `Some(true)` where somebody is after them.
    #[must_use]
    pub fn identity_change(&self, changes: &Changes) -> Option<bool> {
        let field = self.fields.iter().find(|field| field.is_identity)?;
        let change = changes.get(field.name)?;
        Some(*change != Change::Unset)
    }

    /// Whether one user's session becomes another user's, without a logout in between. Whoever is
    /// stored is somebody, readable or not.
    fn switches_user(&self, stored: &Fields, after: &Fields) -> bool {
        let identity = self.fields.iter().find(|field| field.is_identity);
        identity.is_some_and(|field| {
            let before = field.names().find_map(|name| stored.get(name));
            let after = after.get(field.name);
            before.is_some() && after.is_some() && before != after
        })
    }

    /// What this request did not write was the previous user's, whoever wrote it last: it is removed
    /// in the store, and what was added is added to nothing. Counters are set to where they begin,
    /// or another guard of this request, which has the previous user's, would go on from there.
    fn begin_anew(&self, changes: &mut Changes) -> Result<(), Error> {
        let defaults = self.encode(&self.defaults())?;
        let counters = self
            .fields
            .iter()
            .filter(|field| matches!(field.rule, Rule::Counter(_)));
        for Field { name, .. } in counters {
            let default = defaults.get(name);
            let begin = match changes.get(name) {
                Some(Change::Add { delta, counter, .. }) => {
                    Some(counter.moved(name, default, *delta, 0)?)
                }
                None => default.map(<[u8]>::to_vec),
                Some(_) => continue,
            };
            changes.insert((*name).into(), begin.map_or(Change::Unset, Change::Set));
        }
        changes.reset();
        Ok(())
    }

    /// If one field of a group changes, all of them are written, as this request has them.
    fn complete_groups(&self, changes: &mut Changes, after: &Fields) {
        let changed = |field: &&Field<T>| changes.get(field.name).is_some();
        let groups = self
            .fields
            .iter()
            .filter(changed)
            .filter_map(|field| field.group);
        let groups: Vec<_> = groups.collect();
        for field in self.fields {
            let grouped = field.group.is_some_and(|group| groups.contains(&group));
            if grouped && changes.get(field.name).is_none() {
                let value = after.get(field.name);
                let change = value.map_or(Change::Unset, |value| Change::Set(value.to_vec()));
                changes.insert(field.name.into(), change);
            }
        }
    }

    /// An integer that cannot be read is replaced: nothing can be added to it.
    fn rule(&self, name: &str, stored: &Fields) -> Rule {
        let Some(field) = self.fields.iter().find(|field| field.name == name) else {
            return Rule::Last;
        };
        let mut values = field.names().filter_map(|name| stored.get(name));
        match field.rule {
            Rule::Counter(Counter { range, .. }) if values.all(rule::is_integer) => {
                let aliases = field.aliases;
                Rule::Counter(Counter { range, aliases })
            }
            Rule::Max | Rule::Min if values.all(rule::is_integer) => field.rule,
            Rule::Counter(_) | Rule::Last | Rule::Max | Rule::Min => Rule::Last,
        }
    }
}

fn is_null(encoded: &[(Name, Vec<u8>)]) -> bool {
    encoded.iter().any(|(_, value)| value == NULL)
}

fn defaults_to_null<T>(field: &Field<T>, defaults: &T) -> bool {
    let mut encoded = Vec::new();
    field.encode(defaults, &mut encoded).is_ok() && is_null(&encoded)
}

/// The field, if it was stored with a deadline that has passed.
fn expired<T>(field: &Field<T>, stored: &Fields, now: Timestamp) -> Option<Expired> {
    let deadline_name = field.deadline_name()?;
    let deadline = stored.get(&deadline_name)?;
    let millis = str::from_utf8(deadline).ok()?.parse().ok()?;
    let is_over = now >= Timestamp::from_millis(millis);
    is_over.then(|| Expired::new(field.name.into(), deadline_name, deadline.to_vec()))
}

/// A field that has a deadline gets it with each change, and loses it with its value.
fn set_deadline<T>(field: &Field<T>, name: Name, changes: &mut Changes, now: Timestamp) {
    let deadline = match (changes.get(field.name), field.ttl) {
        (None, _) | (_, None) => return,
        (Some(Change::Unset), Some(_)) => Change::Unset,
        (Some(_), Some(ttl)) => {
            let deadline = now.plus(ttl).as_millis().to_string();
            Change::Set(deadline.into_bytes())
        }
    };
    changes.insert(name, deadline);
}

/// A value that an older build stored under an old name moves to the present one with the first
/// change. So what is found under an old name is always newer than what is under the present one.
fn move_from_aliases<T>(field: &Field<T>, changes: &mut Changes) {
    let prefix = format!("{}:", field.name);
    // A counter takes along by itself what is under its old names.
    let moves = |change: &Change| !matches!(change, Change::Add { .. });
    let changed = changes.iter().filter(|(_, change)| moves(change));
    let changed: Vec<Name> = changed.map(|(name, _)| name.clone()).collect();
    for name in changed {
        let suffix = match field.codec {
            Codec::Entries(_) => name.strip_prefix(&prefix).map(|key| format!(":{key}")),
            Codec::Value(_) => (name == field.name).then(String::new),
        };
        let Some(suffix) = suffix else { continue };
        for alias in field.aliases {
            changes.insert(format!("{alias}{suffix}").into(), Change::Unset);
        }
    }
}

impl<T> fmt::Debug for Schema<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema")
            .field("name", &self.name)
            .field("options", &self.options)
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

const NULL: &[u8] = b"null";

#[cfg(test)]
mod tests;
