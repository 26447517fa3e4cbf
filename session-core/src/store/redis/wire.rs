//! Encodes calls to a server, and decodes its answers.

use std::time::Duration;

use deadpool_redis::redis::{self, Cmd, FromRedisValue as _, Value};

use super::servers::Skew;
use super::{METADATA, error};
use crate::error::Error;
use crate::fields::{DEADLINE_PREFIX, Fields, Name, PARENT, Unsorted};
use crate::merge::{Change, Extreme};
use crate::record::{Metadata, pack_millis, pack_seconds};
use crate::store::{Update, Wanted};

/// 100 years. Redis refuses a time to live that overflows its clock.
const MAX_TTL: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

pub(super) fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.min(MAX_TTL).as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn load(key: &str, wanted: &Wanted) -> Cmd {
    match wanted {
        Wanted::All => redis::cmd("HGETALL").arg(key).take(),
        Wanted::Fields(names) => {
            let size: usize = names.iter().map(|name| name.len()).sum();
            let size = size + "HMGET".len() + key.len() + METADATA.len();
            let mut command = Cmd::with_capacity(names.len() + 3, size);
            command.arg("HMGET").arg(key).arg(METADATA);
            for name in &**names {
                command.arg(&**name);
            }
            command
        }
    }
}

pub(super) fn read(reply: Value, wanted: &Wanted) -> Result<(Option<Vec<u8>>, Fields), Error> {
    match wanted {
        Wanted::All => read_all(reply),
        Wanted::Fields(names) => read_some(names, reply),
    }
}

/// The reply of an HGETALL.
pub(super) fn read_all(reply: Value) -> Result<(Option<Vec<u8>>, Fields), Error> {
    if reply == Value::Nil {
        return Err(error::unexpected());
    }
    let pairs = Vec::<(Vec<u8>, Vec<u8>)>::from_redis_value(reply);
    let pairs = pairs.map_err(|_| error::unexpected())?;
    let mut metadata = None;
    let mut fields = Unsorted::with_capacity(pairs.len());
    for (name, value) in pairs {
        // A name that is not text is not one of ours.
        match String::from_utf8(name) {
            Ok(name) if name == METADATA => metadata = Some(value),
            Ok(name) if is_own(&name) => {}
            Ok(name) => fields.push(Name::from(name), &value),
            Err(_) => {}
        }
    }
    Ok((metadata, fields.sorted()))
}

/// Whether a hash field is the store's own, not the session's.
fn is_own(name: &str) -> bool {
    name.starts_with(METADATA) && !name.starts_with(DEADLINE_PREFIX) && name != PARENT
}

/// The reply of an HMGET.
fn read_some(names: &[Name], reply: Value) -> Result<(Option<Vec<u8>>, Fields), Error> {
    let Value::Array(values) = reply else {
        return Err(error::unexpected());
    };
    if values.len() != names.len() + 1 {
        return Err(error::unexpected());
    }
    let mut values = values.into_iter();
    let metadata = match values.next() {
        Some(Value::BulkString(metadata)) => Some(metadata),
        Some(Value::Nil) => None,
        _ => return Err(error::unexpected()),
    };
    let mut fields = Unsorted::with_capacity(names.len());
    for (name, value) in names.iter().zip(values) {
        match value {
            Value::BulkString(value) => fields.push(name.clone(), &value),
            Value::Nil => {}
            _ => return Err(error::unexpected()),
        }
    }
    Ok((metadata, fields.sorted()))
}

/// Reads the values that `update.lua` answers.
pub(super) fn answered(update: &Update, values: impl Iterator<Item = Value>) -> Fields {
    let changes = update.changes.iter();
    let names = changes.filter(|(_, change)| answers(change));
    let answered = names
        .zip(values)
        .filter_map(|((name, _), value)| match value {
            Value::BulkString(value) => Some((name.clone(), value)),
            _ => None,
        });
    answered.collect()
}

/// Whether `update.lua` answers a value for this change.
fn answers(change: &Change) -> bool {
    match change {
        Change::Add { .. } | Change::Extreme(..) | Change::Take { .. } => true,
        Change::Set(_) | Change::Unset => false,
    }
}

/// Writes the arguments of `update.lua`.
pub(super) fn write_update(call: &mut Cmd, update: &Update, skew: Skew) {
    call.arg(&update.loaded.to_bytes());
    call.arg(skew.there(update.not_after).as_millis());
    let mut reads = Vec::with_capacity(8);
    reads.push(METADATA);
    if let Some(expected) = &update.expected {
        reads.extend(expected.fields.iter().map(|(name, _)| &**name));
    }
    let expired = update.changes.expired().iter();
    reads.extend(expired.map(|expired| &*expired.deadline_name));
    for (name, change) in update.changes.iter() {
        match change {
            Change::Take { aliases } => reads.extend_from_slice(aliases),
            Change::Set(_) | Change::Unset => continue,
            Change::Add { .. } | Change::Extreme(..) => {}
        }
        reads.push(name);
        if let Change::Add { counter, .. } = change {
            reads.extend_from_slice(counter.aliases);
        }
    }
    call.arg(reads.len()).arg(&reads);
    if let Some(lifetime) = &update.loaded_lifetime {
        call.arg("c").arg(Metadata::LIFETIME).arg(lifetime);
    }
    if let Some(expected) = &update.expected {
        for (_, value) in &expected.fields {
            match value {
                Some(value) => call.arg("=").arg(value),
                None => call.arg("0"),
            };
        }
        for (prefix, count) in &expected.counts {
            call.arg("#").arg(prefix).arg(count);
        }
    }
    for expired in update.changes.expired() {
        call.arg("x").arg(&expired.deadline).arg(&*expired.name);
    }
    for (name, change) in update.changes.iter() {
        match change {
            Change::Add {
                delta,
                base,
                counter,
            } => {
                call.arg("+").arg(delta).arg(base);
                call.arg(counter.range.min).arg(counter.range.max);
                call.arg(counter.aliases.len())
            }
            Change::Extreme(Extreme::Max, value) => call.arg(">").arg(value),
            Change::Extreme(Extreme::Min, value) => call.arg("<").arg(value),
            Change::Set(value) => call.arg("s").arg(&**name).arg(value),
            Change::Take { aliases } => call.arg("k").arg(aliases.len()),
            Change::Unset => call.arg("u").arg(&**name),
        };
    }
    write_metadata(call, update);
}

fn write_metadata(call: &mut Cmd, update: &Update) {
    if update.ends {
        call.arg("e");
        return;
    }
    let mut replace = |offset: usize, bytes: &[u8]| {
        call.arg("m").arg(offset).arg(bytes);
    };
    if let Some(rotation) = update.rotation {
        replace(Metadata::DIGESTS, &rotation.digests.to_bytes());
        let at = pack_seconds(Some(rotation.at));
        replace(Metadata::ROTATED, &at);
        if rotation.is_login {
            replace(Metadata::AUTHENTICATED, &at);
        }
    }
    if let (Some(deadline), Some(_)) = (update.absolute_deadline, update.lifetime) {
        replace(Metadata::ABSOLUTE, &pack_millis(deadline));
    }
    if let Some(lifetime) = &update.lifetime {
        let mut metadata = Metadata::default();
        metadata.set_lifetime(lifetime);
        replace(Metadata::LIFETIME, &metadata.pack_lifetime());
    }
    if let (Some(deadline), None) = (update.absolute_deadline, update.lifetime) {
        call.arg("M")
            .arg(Metadata::ABSOLUTE)
            .arg(&pack_millis(deadline))
            .arg(deadline.as_millis());
    }
    if update.touched_at.is_some() || !update.ttl.is_zero() {
        // Zero is never later than the stored time.
        let touched_at = update.touched_at.unwrap_or_default();
        call.arg("t")
            .arg(Metadata::TOUCHED)
            .arg(&pack_millis(touched_at));
        call.arg(touched_at.as_millis()).arg(millis(update.ttl));
    }
}
