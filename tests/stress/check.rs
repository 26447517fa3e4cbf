use std::collections::BTreeSet;

use rocket_typed_session::{SessionData, SessionId};
use session_core::clock::Timestamp;
use session_core::store::{Key, Wanted};

use super::board::Board;
use super::ledger::{Assignment, Entries, Ledger};
use super::world::World;

pub(crate) async fn check(ledger: &Ledger, world: &World) -> Vec<String> {
    let mut faults = ledger.faults.clone();
    let taken: BTreeSet<u64> = ledger.taken.iter().copied().collect();
    if taken.len() < ledger.taken.len() {
        let times = ledger.taken.len() - taken.len();
        faults.push(format!("TAKEN TWICE: {times} values"));
    }
    for (id, entries) in &ledger.sessions {
        let key = Key::new(Board::SCHEMA.name(), SessionId::parse(id).unwrap());
        let record = world.inner.load(key, &Wanted::All).await.unwrap();
        let stored = record.map(|record| {
            let decoded = Board::SCHEMA.decode(&record.fields, Timestamp::default());
            decoded.data
        });
        let found = check_session(entries, stored.as_ref(), &taken);
        faults.extend(
            found
                .into_iter()
                .map(|fault| format!("session {id}: {fault}")),
        );
    }
    let immortal = world.immortal().await.into_iter();
    faults.extend(immortal.map(|key| format!("NO TIME TO LIVE: {key}")));
    faults
}

fn check_session(entries: &Entries, stored: Option<&Board>, taken: &BTreeSet<u64>) -> Vec<String> {
    let mut faults = Vec::new();
    if entries
        .ended_at
        .is_some_and(|ended_at| entries.done > ended_at)
    {
        faults.push("RESURRECTED: something was done after its end".into());
    }
    for used in entries.tokens.values() {
        if used.replaced_at.is_some_and(|at| used.done > at) {
            faults.push("STALE: something was done with a token after it was replaced".into());
        }
    }
    match (entries.ended_at, stored) {
        (Some(_), Some(_)) => faults.push("RESURRECTED: ended, but stored".into()),
        (None, None) if entries.began && !entries.may_have_ended => {
            faults.push("LOST SESSION: not ended, but not stored".into());
        }
        (Some(_) | None, None) => {}
        (None, Some(stored)) => check_data(entries, stored, taken, &mut faults),
    }
    faults
}

fn check_data(entries: &Entries, stored: &Board, taken: &BTreeSet<u64>, faults: &mut Vec<String>) {
    for (what, span, found) in [
        ("the counter", &entries.count, stored.count),
        (
            "the number of transactions",
            &entries.note,
            stored.note as i64,
        ),
    ] {
        let (least, most) = (span.least, span.most);
        if found < least {
            faults.push(format!(
                "LOST UPDATE: {what} is {found}, not {least} to {most}"
            ));
        }
        if found > most {
            faults.push(format!(
                "DONE TWICE: {what} is {found}, not {least} to {most}"
            ));
        }
    }
    let is_known = stored.best == 0 || entries.best.tried.contains(&stored.best);
    if stored.best < entries.best.least || !is_known {
        faults.push(format!("LOST UPDATE: the largest is {}", stored.best));
    }
    for (key, may_be) in &entries.marks {
        let found = stored.marks.get(key).copied();
        if !may_be.contains(&found) {
            faults.push(format!(
                "LOST UPDATE: entry {key} is {found:?}, not one of {may_be:?}"
            ));
        }
    }
    check_theme(entries, stored.theme, faults);
    let is_there = |value: &&u64| taken.contains(value) || stored.flash == Some(**value);
    let lost = entries.put.iter().filter(|value| !is_there(value)).count();
    if lost > entries.unheard_takes {
        let unheard = entries.unheard_takes;
        faults.push(format!(
            "NEVER TAKEN: {lost} values, and {unheard} answers were lost"
        ));
    }
}

/// A theme that is stored or seen must be the last one assigned, or its request must overlap the last one's.
fn check_theme(entries: &Entries, stored: u64, faults: &mut Vec<String>) {
    let acknowledged = entries
        .themes
        .values()
        .filter(|theme| theme.is_acknowledged);
    let acknowledged: Vec<_> = acknowledged.collect();
    let seen = entries.themes_seen.iter().map(|(theme, at)| (*theme, *at));
    for (theme, seen_at) in seen.chain([(stored, u64::MAX)]) {
        let Some(assigned) = entries.themes.get(&theme) else {
            if theme != 0 {
                faults.push(format!(
                    "LOST UPDATE: the theme is {theme}, which nobody set"
                ));
            }
            continue;
        };
        let is_between = |last: &&&Assignment| last.began > assigned.ended && last.ended < seen_at;
        if let Some(last) = acknowledged.iter().find(is_between) {
            let late = last.began - assigned.ended;
            faults.push(format!(
                "UNDONE: the theme is that of a request that had ended {late} µs before another \
                 one began that was acknowledged"
            ));
        }
    }
}
