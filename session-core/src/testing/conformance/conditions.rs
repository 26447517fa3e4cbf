//! Updates with expectations, as transactions have them.

use super::StoreUnderTest;
use super::fixture::{Session, add, at_once, expecting, readable, set};
use crate::store::{Expected, Update, Updated};

const COMPARE: &str = "an update must answer Conflict and write nothing if Update::expected differs from \
                       what is stored: ask Expected::is_met_by in the same atomic step as the write";

/// What is unchanged, or not named, does not block an update.
pub async fn what_is_as_expected_is_written(store: &StoreUnderTest) {
    let clause = store.advised(
        "an update must be Done if everything that it expects is stored: use Expected::is_met_by",
    );
    let session = clause
        .session(&[("a", "1"), ("b", "2"), ("c:x", "3"), ("c:y", "4")])
        .await;
    let mut expected = expecting(&[("a", Some("1")), ("absent", None)]);
    expected.counts = vec![("c:".into(), 2), ("d:".into(), 0)];
    let update = session.changing([("a", set("2")), ("n", add(1))]);
    session.done(&if_so(update, expected)).await;
    session
        .holds(&[
            ("a", "2"),
            ("b", "2"),
            ("c:x", "3"),
            ("c:y", "4"),
            ("n", "1"),
        ])
        .await;
    let nothing = Expected::default();
    session
        .done(&if_so(session.changing([("a", set("3"))]), nothing))
        .await;
}

/// Otherwise, a transaction books on a balance that no longer exists.
pub async fn a_changed_field_is_a_conflict(store: &StoreUnderTest) {
    let session = store
        .advised(COMPARE)
        .session(&[("a", "1"), ("b", "1")])
        .await;
    conflict(&session, expecting(&[("b", Some("1")), ("a", Some("01"))])).await;
    conflict(&session, expecting(&[("a", Some(""))])).await;
}

/// Absent differs from empty, and from any value.
pub async fn a_field_that_came_or_went_is_a_conflict(store: &StoreUnderTest) {
    let session = store
        .advised(COMPARE)
        .session(&[("a", "1"), ("b", "1"), ("empty", "")])
        .await;
    conflict(&session, expecting(&[("a", None)])).await;
    conflict(&session, expecting(&[("empty", None)])).await;
    conflict(&session, expecting(&[("absent", Some(""))])).await;
}

/// A new entry also changes what was read. The prefix is text, not a pattern.
pub async fn a_changed_number_of_entries_is_a_conflict(store: &StoreUnderTest) {
    let session = store
        .advised(COMPARE)
        .session(&[("a", "1"), ("b", "1"), ("c:x", "1"), ("c:y", "1")])
        .await;
    for (prefix, count) in [
        ("c:", 1),
        ("c:", 3),
        ("c:x", 0),
        ("d:", 1),
        ("x", 1),
        // What glob, Lua or SQL patterns would match.
        ("*", 4),
        (".", 4),
        (".", 5),
        ("%", 4),
        ("_", 2),
        ("_", 4),
    ] {
        let mut expected = Expected::default();
        expected.counts.push((prefix.into(), count));
        conflict(&session, expected).await;
    }
}

/// The store compares and writes in one step.
pub async fn of_concurrent_updates_that_expect_the_same_one_is_done(store: &StoreUnderTest) {
    let clause = store.advised(
        "of concurrent updates that expect the same value and change it, exactly one is Done: ask \
         Expected::is_met_by in the same atomic step as the write",
    );
    let session = clause.session(&[("a", "0")]).await;
    let updated = at_once(16, |number| {
        let session = session.clone();
        async move {
            let update = session.changing([("a", set(&format!("{}", number + 1))), ("n", add(1))]);
            let update = if_so(update, expecting(&[("a", Some("0"))]));
            session.update(&update).await
        }
    })
    .await;
    let done = updated.iter();
    let done = done
        .filter(|updated| **updated != Updated::Conflict)
        .count();
    session.require(
        done == 1,
        format_args!("{done} of 16 were no Conflict: {updated:?}"),
    );
    let stored = session.fields().await;
    session.require(
        stored.get("n") == Some(b"1"),
        format_args!("more than one was written: {:?}", readable(&stored)),
    );
}

/// A refused update leaves no trace.
pub async fn what_was_refused_is_done_when_it_is_possible(store: &StoreUnderTest) {
    let clause =
        store.advised("an update that was refused must be Done once nothing blocks it any more");
    let session = clause.session(&[("a", "1")]).await;
    let update = if_so(
        session.changing([("b", set("1"))]),
        expecting(&[("a", Some("2"))]),
    );
    session.refused(&update, Updated::Conflict).await;
    session.done(&session.changing([("a", set("2"))])).await;
    session.done(&update).await;
    session.holds(&[("a", "2"), ("b", "1")]).await;
}

fn if_so(update: Update, expected: Expected) -> Update {
    Update {
        expected: Some(expected),
        ..update
    }
}

async fn conflict(session: &Session, expected: Expected) {
    let before = session.record().await;
    let mut update = session.changing([("a", set("new")), ("new", set("1")), ("n", add(1))]);
    update.rotation = session.login().0.rotation;
    session
        .refused(&if_so(update, expected), Updated::Conflict)
        .await;
    let after = session.fields().await;
    session.require(
        readable(&after) == readable(&before.fields),
        format_args!("a Conflict wrote: {:?}", readable(&after)),
    );
    session.is_described_by(&before.metadata).await;
}
