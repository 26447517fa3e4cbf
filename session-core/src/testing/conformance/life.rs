use std::time::Duration;

use super::StoreUnderTest;
use super::fixture::{Clause, Session, set};
use crate::merge::Change;
use crate::store::{Created, Update};

/// One second, because a store may count whole seconds.
const SHORT: Duration = Duration::from_secs(1);

/// Longer than `SHORT`, even rounded up.
const PASSED: Duration = Duration::from_millis(2100);

/// Until a record is removed, it counts as absent (tower-sessions 0.4.3 is a release for this alone).
pub async fn a_session_past_its_time_is_absent(store: &StoreUnderTest) {
    let clause = store.advised(
        "from remove_at on, a record must be as absent as a deleted one, whether it was removed or \
         not: ask Record::is_over in every verb, with the store's time",
    );
    let session = short_session(&clause).await;
    store.pass(PASSED).await;
    session.is_absent().await;
    session.gone(&session.changing([("a", set("2"))])).await;
    session.gone(&session.touch()).await;
    session.gone(&session.login().0).await;
    session.of_another_login().end().await;
    session.delete().await;
    session.is_absent().await;
}

/// An expired session does not block a new one, and leaves nothing in it.
pub async fn what_follows_a_session_past_its_time_begins_empty(store: &StoreUnderTest) {
    let clause = store.advised(
        "a create must be Done over a record that is past remove_at, and keep nothing of it",
    );
    let session = short_session(&clause).await;
    store.pass(PASSED).await;
    let next = session.of_the_same_id();
    next.begin(&[("b", "1")]).await;
    next.holds(&[("b", "1")]).await;
    next.is_described_by(&next.created).await;
}

/// Otherwise, a record that was slow to arrive is stored forever.
pub async fn a_create_past_its_time_stores_nothing(store: &StoreUnderTest) {
    let clause = store.advised(
        "a create with a remove_at that has passed must be Done, and its session absent: a time to \
         live of zero or less must not mean unlimited",
    );
    let session = clause.no_session();
    let created = session.create_for(Duration::ZERO, &[("a", "1")]).await;
    session.require(
        created == Created::Done,
        format_args!("it answers {created:?}"),
    );
    store.pass(Duration::from_millis(1)).await;
    session.is_absent().await;
    session.gone(&session.touch()).await;
}

/// This holds whether the update touches the session or not.
pub async fn an_update_extends_the_life(store: &StoreUnderTest) {
    let clause = store.advised(EXTEND);
    for touched_at in [session_touch(&clause), None] {
        let session = short_session(&clause).await;
        let update = Update {
            touched_at,
            ..session.changing([("a", set("2"))])
        };
        session.done(&update).await;
        store.pass(PASSED).await;
        session.holds(&[("a", "2")]).await;
    }
}

/// An active user who only reads is not logged out.
pub async fn a_touch_extends_the_life(store: &StoreUnderTest) {
    let clause = store.advised(EXTEND);
    let session = short_session(&clause).await;
    session.done(&session.touch()).await;
    store.pass(PASSED).await;
    session.holds(&[("a", "1")]).await;
}

const EXTEND: &str = "after an update the record must live at least ttl longer, counted from the \
                      store's time: use Update::apply_to, and set the store's own expiry by \
                      Record::remove_at";

/// Another request may have given the session a longer life, "remember me".
pub async fn no_call_shortens_the_life(store: &StoreUnderTest) {
    let clause = store.advised(
        "no call may shorten a record's life: remove_at is the later one of what it was and now + \
         ttl",
    );
    let session = clause.session(&[("a", "1"), ("code", "1")]).await;
    let (login, renewed) = session.login();
    for update in [
        session.touch(),
        session.changing([("a", set("2")), ("code", Change::Take { aliases: &[] })]),
        login,
    ] {
        for ttl in [SHORT, Duration::ZERO] {
            let update = Update {
                ttl,
                ..update.clone()
            };
            let updated = session.update(&update).await;
            let is_again = update.rotation.is_some() && ttl.is_zero();
            session.require(
                is_again || matches!(updated, crate::store::Updated::Done(_)),
                format_args!("it answers {updated:?}"),
            );
        }
    }
    store.pass(PASSED).await;
    renewed.holds(&[("a", "2")]).await;
}

/// A type may declare a longer life than a store can count.
pub async fn the_longest_life_is_no_overflow(store: &StoreUnderTest) {
    let clause = store.advised(
        "a remove_at or a ttl at the far end of time must be cut to what the store can count, not \
         wrap around",
    );
    let session = clause.no_session();
    let created = session.create_for(Duration::MAX, &[("a", "1")]).await;
    session.require(
        created == Created::Done,
        format_args!("a create answers {created:?}"),
    );
    store.pass(PASSED).await;
    session.holds(&[("a", "1")]).await;
    let session = clause.session(&[("a", "1")]).await;
    let update = Update {
        ttl: Duration::MAX,
        ..session.changing([("a", set("2"))])
    };
    session.done(&update).await;
    session.done(&session.touch()).await;
    store.pass(PASSED).await;
    session.holds(&[("a", "2")]).await;
}

fn session_touch(clause: &Clause<'_>) -> Option<crate::clock::Timestamp> {
    clause.no_session().touch().touched_at
}

async fn short_session(clause: &Clause<'_>) -> Session {
    let session = clause.no_session();
    let created = session.create_for(SHORT, &[("a", "1")]).await;
    session.require(
        created == Created::Done,
        format_args!("a create answers {created:?}"),
    );
    session
}
