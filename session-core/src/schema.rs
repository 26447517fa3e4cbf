//! What a session type declares.

use std::any::TypeId;
use std::fmt;

use crate::changes::{Changes, Expired};
use crate::clock::Timestamp;
use crate::error::{Error, described};
use crate::field::{Field, OnUnreadable};
use crate::fields::{Fields, Name, Unsorted};
use crate::merge::{Change, Counter, Rule};
use crate::options::Options;
use crate::store::Wanted;
use crate::update::Expected;
use crate::value::IdentityValue;

mod identity;

/// A declared session type. Implemented by `#[session]`, not by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a session",
    label = "no session type",
    note = "put `#[session]` on the struct: `#[session] struct {Self} {{ … }}`"
)]
pub trait SessionData: Default + Sized + Send + Sync + 'static {
    /// The type whose sessions these end with, or [`NoParent`].
    type Parent: SessionData;

    /// What the type declares.
    const SCHEMA: &'static Schema<Self>;

    /// Whether these sessions end with another type's.
    #[must_use]
    fn has_parent() -> bool {
        TypeId::of::<Self::Parent>() != TypeId::of::<NoParent>()
    }
}

/// The parent of a type that declares none.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct NoParent;

impl SessionData for NoParent {
    type Parent = Self;

    const SCHEMA: &'static Schema<Self> = &Schema::new("", Options::new(), &[]);
}

/// A session type that declares who is logged in. Implemented by `#[session]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` declares no identity",
    label = "nobody can log in to it",
    note = "mark an `Option` field: `#[session(identity)] user: Option<UserId>`"
)]
pub trait Identified: SessionData {
    /// The field that says who is logged in.
    type Identity: IdentityValue;

    /// That field.
    fn identity(&mut self) -> &mut Self::Identity;
}

/// What a session type declares.
pub struct Schema<T: 'static> {
    name: &'static str,
    options: Options<'static>,
    fields: &'static [Field<T>],
    defaults: fn() -> T,
}

/// A decoded session.
#[derive(Debug)]
#[non_exhaustive]
pub struct Decoded<T> {
    /// The data. Unreadable fields have their defaults.
    pub data: T,
    /// The unreadable names, and what to do about each.
    pub faults: Vec<(String, OnUnreadable)>,
}

impl<T> Schema<T> {
    /// The session type `name`. Its fields start as in its `Default`.
    #[must_use]
    pub const fn new(
        name: &'static str,
        options: Options<'static>,
        fields: &'static [Field<T>],
    ) -> Self
    where
        T: Default,
    {
        Self {
            name,
            options,
            fields,
            defaults: T::default,
        }
    }

    /// The type's name in the store and the configuration.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The declared options.
    #[must_use]
    pub const fn options(&self) -> &Options<'static> {
        &self.options
    }

    pub(crate) const fn fields(&self) -> &'static [Field<T>] {
        self.fields
    }

    /// A session without stored data.
    #[must_use]
    pub fn defaults(&self) -> T {
        (self.defaults)()
    }

    /// What a load asks for.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        if self.fields.iter().any(Field::is_entries) {
            return Wanted::All;
        }
        let names = self.fields.iter().flat_map(|field| {
            let names = field.names().map(Name::from);
            names.chain(field.deadline_name())
        });
        let mut names: Vec<Name> = names.collect();
        names.sort_unstable();
        Wanted::Fields(names.into())
    }

    /// Decodes stored fields; `now` matters for a `ttl`.
    #[must_use]
    pub fn decode(&self, stored: &Fields, now: Timestamp) -> Decoded<T> {
        let mut data = self.defaults();
        let faults = self.decode_into(&mut data, stored, now);
        Decoded { data, faults }
    }

    /// Sets the stored fields. Returns the unreadable ones.
    pub fn decode_into(
        &self,
        data: &mut T,
        stored: &Fields,
        now: Timestamp,
    ) -> Vec<(String, OnUnreadable)> {
        let mut faults = Vec::new();
        if stored.is_empty() {
            return faults;
        }
        for field in self.fields {
            if expired(field, stored, now).is_none() {
                field.decode(data, stored, &mut faults);
            }
        }
        faults
    }

    /// Encodes all fields. Leaves out a `None` whose default is `None`.
    pub fn encode(&self, data: &T) -> Result<Fields, Error> {
        let mut encoded = Unsorted::with_capacity(self.fields.len());
        let mut defaults = None;
        for field in self.fields {
            let start = encoded.len();
            field.encode(data, &mut encoded)?;
            if has_null(encoded.values_from(start))
                && defaults_to_null(field, defaults.get_or_insert_with(self.defaults))
            {
                encoded.truncate(start);
            }
        }
        Ok(encoded.sorted())
    }

    /// `stored` is what the request loaded.
    pub(crate) fn changes(
        &self,
        stored: &Fields,
        before: &Fields,
        after: &Fields,
        now: Timestamp,
    ) -> Result<Changes, Error> {
        let mut changes = Changes::diff(before, after, |name| self.rule(name, stored))?;
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

    pub(crate) fn check_sizes(&self, changes: &Changes) -> Result<(), Error> {
        for field in self.fields {
            for (name, change) in changes.iter().filter(|(name, _)| field.owns(name)) {
                if let Change::Set(value) = change
                    && value.len() > field.max_size
                {
                    let what = described(name);
                    return Err(Error::too_large(&what, value.len(), field.max_size));
                }
            }
        }
        Ok(())
    }

    /// A new session's fields: what the request wrote, and the other's marked `keep`.
    pub(crate) fn begin(&self, other: &Fields, changes: &Changes) -> Result<Fields, Error> {
        let mut fields = self.kept(other);
        let defaults = self.encode(&self.defaults())?;
        let mut changes = changes.clone();
        for field in self.fields {
            if let Some(Change::Add {
                delta,
                base: read,
                counter,
            }) = changes.get(field.name)
            {
                let (delta, read, counter) = (*delta, *read, *counter);
                let base = defaults.get(field.name).map(str::from_utf8);
                let base = base.and_then(|base| base.ok()?.parse().ok()).unwrap_or(0);
                let change = match field.keep {
                    true => Change::Add {
                        delta,
                        base,
                        counter,
                    },
                    // Back at its default: the next user must not learn its old value.
                    false if read.saturating_add(delta) == base => Change::Unset,
                    // A logout must not fail because of a counter.
                    false => {
                        let value = base.saturating_add(delta);
                        let value = value.clamp(counter.range.min, counter.range.max);
                        Change::Set(value.to_string().into_bytes())
                    }
                };
                changes.insert(field.name.into(), change);
            }
        }
        let applied = changes.apply(&mut fields);
        applied.map_err(|name| Error::overflow(&name))?;
        Ok(fields)
    }

    pub(crate) fn kept(&self, fields: &Fields) -> Fields {
        let keep = self.fields.iter().filter(|field| field.keep);
        let kept = keep.flat_map(|field| fields.iter().filter(|(name, _)| field.owns(name)));
        kept.map(|(name, value)| (name.clone(), value)).collect()
    }

    /// Takes a `once` field and its deadline.
    pub(crate) fn taking(&self, name: &str) -> Result<Changes, Error> {
        let field = self.fields.iter().find(|field| field.name == name);
        let field = field.ok_or_else(|| Error::usage("no field of this name is stored"))?;
        let mut changes = Changes::new();
        let aliases = field.aliases;
        changes.insert(field.name.into(), Change::Take { aliases });
        if let Some(deadline) = field.deadline_name() {
            changes.insert(deadline, Change::Unset);
        }
        Ok(changes)
    }

    /// The names of the encrypted fields.
    pub fn encrypted(&self) -> impl Iterator<Item = &'static str> {
        let encrypted = self.fields.iter().filter(|field| field.is_encrypted);
        encrypted.map(|field| field.name)
    }

    pub(crate) fn is_encrypted(&self, name: &str) -> bool {
        let mut encrypted = self.fields.iter().filter(|field| field.is_encrypted);
        encrypted.any(|field| field.stores(name))
    }

    /// Sealed fields that did not open.
    pub(crate) fn unopened(
        &self,
        sealed: &Fields,
        opened: &Fields,
        now: Timestamp,
    ) -> Vec<(String, OnUnreadable)> {
        let names = sealed.iter().map(|(name, _)| name);
        let names = names.filter(|name| opened.get(name).is_none());
        let faults = names.filter_map(|name| {
            let mut fields = self.fields.iter();
            let field = fields.find(|field| field.stores(name))?;
            let is_over = expired(field, opened, now).is_some();
            (!is_over).then(|| (name.to_string(), field.on_unreadable))
        });
        faults.collect()
    }

    /// Whether the field is stored and not past its deadline.
    #[must_use]
    pub fn holds(&self, stored: &Fields, name: &str, now: Timestamp) -> bool {
        let field = self.fields.iter().find(|field| field.name == name);
        field.is_some_and(|field| {
            let mut names = field.names();
            names.any(|name| stored.get(name).is_some()) && expired(field, stored, now).is_none()
        })
    }

    /// What a transaction must find unchanged: all that it read.
    #[must_use]
    pub fn expected(&self, stored: &Fields) -> Expected {
        let mut expected = Expected::default();
        for field in self.fields {
            if field.is_entries() {
                for prefix in field.names().map(|name| format!("{name}:")) {
                    let entries: Vec<_> = stored.with_prefix(&prefix).collect();
                    expected.counts.push((prefix.clone(), entries.len()));
                    let entries = entries.into_iter().map(|(key, value)| {
                        (format!("{prefix}{key}").into(), Some(value.to_vec()))
                    });
                    expected.fields.extend(entries);
                }
            } else {
                let names = field.names().map(Name::from).chain(field.deadline_name());
                expected.fields.extend(names.map(|name| {
                    let value = stored.get(&name).map(<[u8]>::to_vec);
                    (name, value)
                }));
            }
        }
        expected
    }

    /// An unreadable value can only be replaced.
    fn rule(&self, name: &str, stored: &Fields) -> Rule {
        let Some(field) = self.fields.iter().find(|field| field.name == name) else {
            return Rule::Last;
        };
        let mut faults = Vec::new();
        if field.rule != Rule::Last {
            field.decode(&mut self.defaults(), stored, &mut faults);
        }
        match field.rule {
            _ if !faults.is_empty() => Rule::Last,
            Rule::Counter(Counter { range, .. }) => {
                let aliases = field.aliases;
                Rule::Counter(Counter { range, aliases })
            }
            rule => rule,
        }
    }
}

fn has_null<'v>(mut values: impl Iterator<Item = &'v [u8]>) -> bool {
    values.any(|value| value == NULL)
}

fn defaults_to_null<T>(field: &Field<T>, defaults: &T) -> bool {
    let encoded = field.encoded(defaults);
    encoded.is_ok_and(|fields| has_null(fields.iter().map(|(_, value)| value)))
}

fn expired<T>(field: &Field<T>, stored: &Fields, now: Timestamp) -> Option<Expired> {
    let deadline_name = field.deadline_name()?;
    let deadline = stored.get(&deadline_name)?;
    let millis = str::from_utf8(deadline).ok()?.parse().ok()?;
    let is_over = now >= Timestamp::from_millis(millis);
    is_over.then(|| Expired::new(field.name.into(), deadline_name, deadline.to_vec()))
}

/// Each change sets the deadline, and a removal removes it.
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

/// A change also removes the old names, so a value under one of them is always newer.
fn move_from_aliases<T>(field: &Field<T>, changes: &mut Changes) {
    if field.aliases.is_empty() {
        return;
    }
    let changed = changes.iter().filter_map(|(name, change)| match change {
        // A counter already adds its old names.
        Change::Add { .. } => None,
        _ => Some(name.strip_prefix(field.name)?.to_owned()),
    });
    let suffixes = changed.filter(|suffix| match field.is_entries() {
        true => suffix.starts_with(':'),
        false => suffix.is_empty(),
    });
    for suffix in suffixes.collect::<Vec<_>>() {
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
