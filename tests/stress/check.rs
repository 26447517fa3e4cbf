//! Compares what was done with what is stored.

use std::collections::BTreeSet;
use std::sync::Arc;

use rocket_typed_session::{SessionData, SessionId};
use session_core::clock::Timestamp;
use session_core::record::Record;
use session_core::store::{Key, Wanted};

use super::board::Board;
use super::ledger::{Entries, Ledger};
use super::world::World;

/// What must not be.
pub(crate) async fn check(ledger: &Ledger, world: &World) -> Vec<String> {
    let mut faults = Vec::new();
    for (id, entries) in &ledger.sessions {
        let key = Key::new(Board::SCHEMA.name(), SessionId::parse(id).unwrap());
        let record = world.store.load(key, &Wanted::All).await.unwrap();
        let mut found = check_session(entries, record.as_ref());
        check_epochs(entries, &mut found);
        faults.extend(
            found
                .into_iter()
                .map(|fault| format!("session {id}: {fault}")),
        );
    }
    let mut seen = BTreeSet::new();
    for value in &ledger.taken {
        if !seen.insert(value) {
            faults.push(format!("TAKEN TWICE: {value}"));
        }
    }
    let immortal = world.immortal().await.into_iter();
    faults.extend(immortal.map(|key| format!("NO TIME TO LIVE: {key}")));
    faults
}

fn check_session(entries: &Entries, record: Option<&Arc<Record>>) -> Vec<String> {
    let mut faults = Vec::new();
    match (entries.deleted_at, record) {
        (Some(_), None) => {}
        (Some(_), Some(_)) => faults.push("RESURRECTED: ended, but stored".into()),
        (None, None) => faults.push("LOST SESSION: not ended, but not stored".into()),
        (None, Some(record)) => {
            let stored = Board::SCHEMA
                .decode(&record.fields, Timestamp::default())
                .data;
            check_data(entries, &stored, &mut faults);
        }
    }
    faults
}

fn check_data(entries: &Entries, stored: &Board, faults: &mut Vec<String>) {
    let mut expect = |what: &str, expected: &dyn ToString, found: &dyn ToString| {
        let (expected, found) = (expected.to_string(), found.to_string());
        if expected != found {
            faults.push(format!("LOST UPDATE: {what} is {found}, not {expected}"));
        }
    };
    expect("the counter", &entries.count, &stored.count);
    expect("the largest", &entries.best, &stored.best);
    expect("the number of transactions", &entries.note, &stored.note);
    for (key, value) in &entries.marks {
        let text = |value: Option<u64>| value.map_or("absent".into(), |value| value.to_string());
        let found = stored.marks.get(key).copied();
        expect(&format!("entry {key}"), &text(*value), &text(found));
    }
    if stored.theme != 0 && !entries.themes.contains(&stored.theme) {
        faults.push(format!(
            "LOST UPDATE: {} is no one's last theme",
            stored.theme
        ));
    }
}

/// Nothing is done after an end, nor in an epoch after the rotation that ended it.
fn check_epochs(entries: &Entries, faults: &mut Vec<String>) {
    for (epoch, calls) in &entries.epochs {
        if entries
            .deleted_at
            .is_some_and(|deleted| calls.done > deleted)
        {
            faults.push(format!(
                "RESURRECTED: something was done in epoch {epoch} after its end"
            ));
        }
        if calls.rotated.len() > 1 {
            faults.push(format!(
                "STALE: epoch {epoch} was ended by {} rotations",
                calls.rotated.len()
            ));
        }
        if calls.rotated.iter().any(|rotated| calls.done > *rotated) {
            faults.push(format!(
                "STALE: something was done in epoch {epoch} after its rotation"
            ));
        }
    }
}
