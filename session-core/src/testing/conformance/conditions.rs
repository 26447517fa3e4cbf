//! Updates that are done only if what was read is still stored: transactions.

use super::StoreUnderTest;
use super::fixture::{Session, add, at_once, expecting, set};
use crate::store::{Expected, Update, Updated};

/// What is as it was read is no obstacle; nor is what is not named.
pub async fn what_is_as_expected_is_written(store: &StoreUnderTest) {
    let session = store
        .session(&[("a", "1"), ("b", "2"), ("c:x", "3"), ("c:y", "4")])
        .await;
    let mut expected = expecting(&[("a", Some("1")), ("absent", None)]);
    expected.counts = vec![("c:".into(), 2), ("d:".into(), 0)];
    let update = session.changing([("a", set("2")), ("n", add(1))]);
    let merged = session.done(&if_so(update, expected)).await;
    assert_eq!(merged.get("n"), Some(b"1".as_slice()));
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

/// Where a value was changed by another request, nothing is written.
pub async fn a_changed_field_is_a_conflict(store: &StoreUnderTest) {
    let session = store.session(&[("a", "1"), ("b", "1")]).await;
    conflict(&session, expecting(&[("b", Some("1")), ("a", Some("01"))])).await;
    conflict(&session, expecting(&[("a", Some(""))])).await;
}

/// Absent is not empty, and not anything else.
pub async fn a_field_that_came_or_went_is_a_conflict(store: &StoreUnderTest) {
    let session = store
        .session(&[("a", "1"), ("b", "1"), ("empty", "")])
        .await;
    conflict(&session, expecting(&[("a", None)])).await;
    conflict(&session, expecting(&[("empty", None)])).await;
    conflict(&session, expecting(&[("absent", Some(""))])).await;
}

/// An entry that another request added is a change of what was read, though no field that was read
/// has changed. The prefix is text, not a pattern.
pub async fn a_changed_number_of_entries_is_a_conflict(store: &StoreUnderTest) {
    let session = store
        .session(&[("a", "1"), ("b", "1"), ("c:x", "1"), ("c:y", "1")])
        .await;
    for (prefix, count) in [
        ("c:", 1),
        ("c:", 3),
        ("c:x", 0),
        ("*", 4),
        (".", 1),
        ("d:", 1),
    ] {
        let mut expected = Expected::default();
        expected.counts.push((prefix.into(), count));
        conflict(&session, expected).await;
    }
}

/// Compare and set in one step: of requests that read the same, one writes.
pub async fn of_concurrent_updates_that_expect_the_same_one_is_done(store: &StoreUnderTest) {
    let session = store.session(&[("a", "0")]).await;
    let updated = at_once(16, |number| {
        let session = session.clone();
        async move {
            let update = session.changing([("a", set(&format!("{}", number + 1))), ("n", add(1))]);
            let update = if_so(update, expecting(&[("a", Some("0"))]));
            session.update(&update).await.expect("update")
        }
    })
    .await;
    let done = updated
        .iter()
        .filter(|updated| **updated != Updated::Conflict);
    assert_eq!(done.count(), 1, "exactly one is done: {updated:?}");
    assert_eq!(session.fields().await.get("n"), Some(b"1".as_slice()));
}

fn if_so(update: Update, expected: Expected) -> Update {
    Update {
        expected: Some(expected),
        ..update
    }
}

/// Asserts that an update is refused for what it expects, and that nothing of it is written.
async fn conflict(session: &Session, expected: Expected) {
    let before = session.record().await;
    let mut update = session.changing([("a", set("new")), ("new", set("1")), ("n", add(1))]);
    update.rotation = session.rotation().0.rotation;
    let update = if_so(update, expected);
    let updated = session.update(&update).await.expect("update");
    assert_eq!(updated, Updated::Conflict, "{:?}", update.expected);
    let after = session.record().await;
    assert_eq!(after.fields, before.fields);
    assert_eq!(after.metadata.pack(), before.metadata.pack());
}
