//! One declared field.

use std::fmt;
use std::time::Duration;

use crate::error::Error;
use crate::fields::{DEADLINE_PREFIX, Fields, Name, Unsorted};
use crate::merge::{Counter, Extreme, Rule};
use crate::value::{CounterValue, OnceValue, OrderedValue};

pub mod codec;

use self::codec::Codec;

/// A declared field of the session type `T`.
pub struct Field<T: 'static> {
    pub(crate) name: &'static str,
    pub(crate) type_name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) rule: Rule,
    pub(crate) keep: bool,
    pub(crate) ttl: Option<Duration>,
    pub(crate) max_size: usize,
    pub(crate) on_unreadable: OnUnreadable,
    pub(crate) is_identity: bool,
    pub(crate) is_once: bool,
    pub(crate) is_encrypted: bool,
    codec: &'static dyn Codec<T>,
}

/// What to do with a stored value that does not parse.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "generated code names each")]
pub enum OnUnreadable {
    /// The field gets its default. The stored value stays until the field is written.
    Default,
    /// The session counts as absent.
    DropSession,
    /// The request fails.
    Error,
}

impl<T> Field<T> {
    /// The default limit: 64 KiB.
    const MAX_SIZE: usize = 64 << 10;

    /// A field under `name`, or entries under `name`, `:` and their key. The last writer wins.
    #[must_use]
    pub const fn new(
        name: &'static str,
        type_name: &'static str,
        codec: &'static dyn Codec<T>,
    ) -> Self {
        Self {
            name,
            type_name,
            aliases: &[],
            rule: Rule::Last,
            keep: false,
            ttl: None,
            max_size: Self::MAX_SIZE,
            on_unreadable: OnUnreadable::Default,
            is_identity: false,
            is_once: false,
            is_encrypted: false,
            codec,
        }
    }

    /// Older builds' names, which are read first.
    #[must_use]
    pub const fn aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// Makes it a counter: differences add up.
    #[must_use]
    pub const fn counter<V: CounterValue>(self) -> Self {
        self.merging(Rule::Counter(Counter::new(V::RANGE)))
    }

    /// Keeps the largest value.
    #[must_use]
    pub const fn max<V: OrderedValue>(self) -> Self {
        self.merging(Rule::Extreme(Extreme::Max))
    }

    /// Keeps the smallest value.
    #[must_use]
    pub const fn min<V: OrderedValue>(self) -> Self {
        self.merging(Rule::Extreme(Extreme::Min))
    }

    const fn merging(self, rule: Rule) -> Self {
        Self { rule, ..self }
    }

    /// The field says who is logged in.
    #[must_use]
    pub const fn identity(self) -> Self {
        Self {
            is_identity: true,
            ..self
        }
    }

    /// Only one request can take the value.
    #[must_use]
    pub const fn once<V: OnceValue>(self) -> Self {
        Self {
            is_once: true,
            ..self
        }
    }

    /// The field is stored encrypted.
    #[must_use]
    pub const fn encrypted(self) -> Self {
        Self {
            is_encrypted: true,
            ..self
        }
    }

    /// The field survives a change of user.
    #[must_use]
    pub const fn keep(self) -> Self {
        Self { keep: true, ..self }
    }

    /// Sets the limit in bytes; for a map, of each entry.
    #[must_use]
    pub const fn max_size(self, max_size: usize) -> Self {
        Self { max_size, ..self }
    }

    /// Sets a deadline, from the last change.
    #[must_use]
    pub const fn ttl(self, ttl: Duration) -> Self {
        Self {
            ttl: Some(ttl),
            ..self
        }
    }

    /// Sets what to do with an unreadable value.
    #[must_use]
    pub const fn on_unreadable(self, on_unreadable: OnUnreadable) -> Self {
        Self {
            on_unreadable,
            ..self
        }
    }

    /// The newest value first: each change removes the old names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.aliases.iter().copied().chain([self.name])
    }

    /// The field's own name, an older one, an entry's or its deadline's.
    pub(crate) fn owns(&self, stored: &str) -> bool {
        let is_of = |name: &str| {
            let rest = stored.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        };
        let mut names = self.names();
        names.any(is_of) || self.deadline_name().is_some_and(|name| name == stored)
    }

    /// Whether a value has this name, in this build or an older one.
    pub(crate) fn stores(&self, stored: &str) -> bool {
        let mut names = self.names();
        names.any(
            |name| match (stored.strip_prefix(name), self.is_entries()) {
                (Some(rest), true) => rest.starts_with(':'),
                (Some(rest), false) => rest.is_empty(),
                (None, _) => false,
            },
        )
    }

    pub(crate) fn deadline_name(&self) -> Option<Name> {
        self.ttl?;
        Some(format!("{DEADLINE_PREFIX}{}", self.name).into())
    }

    pub(crate) fn is_entries(&self) -> bool {
        self.codec.is_entries()
    }

    /// Only entries have keys.
    fn stored_name(&self, key: &str) -> Name {
        match self.is_entries() {
            true => format!("{}:{key}", self.name).into(),
            false => self.name.into(),
        }
    }

    pub(crate) fn encode(&self, data: &T, fields: &mut Unsorted) -> Result<(), Error> {
        let encoded = self.codec.encode(self.name, data, fields);
        encoded.map_err(|error| Error::encode(self.name, error))
    }

    pub(crate) fn encoded(&self, data: &T) -> Result<Fields, Error> {
        let mut fields = Unsorted::default();
        self.encode(data, &mut fields)?;
        Ok(fields.sorted())
    }

    /// Sets the field if it is stored. Reports unreadable names.
    pub(crate) fn decode(
        &self,
        data: &mut T,
        stored: &Fields,
        faults: &mut Vec<(String, OnUnreadable)>,
    ) {
        if !self.is_entries() {
            let is_read = match self.aliases {
                [] => stored
                    .get(self.name)
                    .map(|value| self.codec.decode(data, "", value)),
                _ => {
                    let values: Vec<_> = self.names().filter_map(|name| stored.get(name)).collect();
                    let value = self.rule.combined(&values);
                    value.map(|value| self.codec.decode(data, "", &value))
                }
            };
            if is_read == Some(false) {
                faults.push((self.name.to_owned(), self.on_unreadable));
            }
            return;
        }
        // The newest last, so its entries win.
        for name in std::iter::once(&self.name).chain(self.aliases) {
            for (key, value) in stored.with_prefix(&format!("{name}:")) {
                if !self.codec.decode(data, key, value) {
                    faults.push((format!("{name}:{key}"), self.on_unreadable));
                }
            }
        }
    }

    pub(crate) fn is_same(&self, data: &T, encoded: Option<&[u8]>) -> bool {
        encoded.is_some_and(|bytes| self.codec.is_same(data, bytes))
    }

    /// Reads back only what `written` gives, but looks for `null` everywhere: a value that encodes to `null`
    /// may look unchanged.
    pub(crate) fn check_storable<'w>(
        &self,
        data: &T,
        written: impl Fn(&str) -> Option<&'w [u8]>,
    ) -> Result<(), Error> {
        let written = |key: &str| written(&self.stored_name(key));
        let checked = self.codec.check(data, &written);
        checked.map_err(|reason| Error::unstorable(self.name, reason))
    }
}

impl<T> fmt::Debug for Field<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Field")
            .field("name", &self.name)
            .field("type_name", &self.type_name)
            .field("aliases", &self.aliases)
            .field("rule", &self.rule)
            .field("keep", &self.keep)
            .field("ttl", &self.ttl)
            .field("max_size", &self.max_size)
            .field("on_unreadable", &self.on_unreadable)
            .field("is_identity", &self.is_identity)
            .field("is_once", &self.is_once)
            .field("is_encrypted", &self.is_encrypted)
            .finish_non_exhaustive()
    }
}
