//! Encrypted fields. Only the store sees them sealed: everything else works on plain values.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::time::Instant;

use super::Engine;
use crate::changes::Changes;
use crate::error::Error;
use crate::fields::Fields;
use crate::merge::Change;
use crate::plan::Live;
use crate::record::Record;
use crate::schema::SessionData;
use crate::seal::Keyring;
use crate::store::{Expected, Key, Update};

impl<T: SessionData> Engine<T> {
    /// Loads a record. Also returns its encrypted fields as stored; those that do not open are missing from
    /// the record.
    pub(super) async fn fetch(
        &self,
        key: Key,
        deadline: Instant,
    ) -> Result<Option<(Arc<Record>, Fields)>, Error> {
        let loading = self.store().load(key, &self.wanted);
        let record = self.call("load", key, deadline, loading).await?;
        Ok(record.map(|record| self.opened_record(key, record)))
    }

    /// Also returns the encrypted fields as stored.
    pub(super) fn opened_record(&self, key: Key, record: Arc<Record>) -> (Arc<Record>, Fields) {
        let sealed = Self::sealed_in(&record.fields);
        if sealed.is_empty() {
            return (record, sealed);
        }
        let mut opened = Record::clone(&record);
        opened.fields = self.opened(key, opened.fields, &Changes::new());
        (Arc::new(opened), sealed)
    }

    fn sealed_in(fields: &Fields) -> Fields {
        if T::SCHEMA.encrypted().next().is_none() {
            return Fields::new();
        }
        let sealed = fields
            .iter()
            .filter(|(name, _)| T::SCHEMA.is_encrypted(name));
        sealed.map(|(name, value)| (name.clone(), value)).collect()
    }

    /// Opens an answer to these changes. Leaves out fields that do not open.
    pub(super) fn opened(&self, key: Key, fields: Fields, changes: &Changes) -> Fields {
        if T::SCHEMA.encrypted().next().is_none() {
            return fields;
        }
        let opened = fields.iter().filter_map(|(name, value)| {
            let value = match T::SCHEMA.is_encrypted(name) {
                true => {
                    // A taken value may have been sealed under an older name.
                    let aliases = match changes.get(name) {
                        Some(Change::Take { aliases }) => *aliases,
                        _ => &[],
                    };
                    let mut names = aliases.iter().copied().chain([&**name]);
                    let keyring = self.keyring.as_ref()?;
                    let opened = names.find_map(|name| keyring.open(key, name, value));
                    Cow::from(opened?)
                }
                false => value.into(),
            };
            Some((name.clone(), value))
        });
        opened.collect()
    }

    pub(super) fn sealed_record(&self, key: Key, record: &Record) -> Result<Record, Error> {
        let mut record = record.clone();
        let plain = Self::sealed_in(&record.fields);
        let sealed = plain.iter().map(|(name, value)| {
            let sealed = self.ring()?.seal(key, name, value)?;
            Ok((name.clone(), sealed))
        });
        let sealed = sealed.collect::<Result<Vec<_>, Error>>()?;
        // All at once: each value gets longer, and there may be many.
        if !sealed.is_empty() {
            record.fields.extend(sealed);
        }
        Ok(record)
    }

    /// `None` if the type has no encrypted fields.
    pub(super) fn sealed_update(&self, key: Key, update: &Update) -> Result<Option<Update>, Error> {
        if T::SCHEMA.encrypted().next().is_none() {
            return Ok(None);
        }
        let mut sealed = update.clone();
        for (name, change) in update.changes.iter() {
            if let Change::Set(value) = change
                && T::SCHEMA.is_encrypted(name)
            {
                let value = self.ring()?.seal(key, name, value)?;
                sealed.changes.insert(name.clone(), Change::Set(value));
            }
        }
        Ok(Some(sealed))
    }

    /// Everything that a transaction read, as stored.
    pub(crate) fn expected(live: &Live) -> Expected {
        if live.sealed.is_empty() {
            return T::SCHEMA.expected(&live.record.fields);
        }
        let sealed = live.sealed.iter();
        let mut stored = live.record.fields.clone();
        stored.extend(sealed.map(|(name, value)| (name.clone(), value)));
        T::SCHEMA.expected(&stored)
    }

    fn ring(&self) -> Result<&Keyring, Error> {
        let keyring = self.keyring.as_ref();
        keyring.ok_or_else(|| Error::usage("the session type encrypts fields, but has no keys"))
    }
}
