use std::time::Duration;

use super::StoreUnderTest;
use super::fixture::{LONG, Session, add, set};
use crate::clock::Timestamp;
use crate::store::{Delete, Deleted, Store as _, Updated};

const MILLISECOND: Duration = Duration::from_millis(1);

/// Otherwise, a delayed update undoes what others did after its request had ended, and a delayed touch keeps
/// a session alive that should have expired.
pub async fn an_update_that_comes_late_writes_nothing(store: &StoreUnderTest) {
    let clause = store.advised(
        "an update done after not_after must answer Late with the store's time and write nothing: \
         compare with the store's clock in the same atomic step as the write",
    );
    let session = clause.session(&[("a", "1"), ("n", "1")]).await;
    store.pass(MILLISECOND * 2).await;
    let changing = session.changing([("a", set("2")), ("b", set("2")), ("n", add(1))]);
    for update in [changing, session.login().0, session.touch()] {
        for not_after in [before(session.store.now()), Timestamp::default()] {
            let mut update = update.clone();
            update.not_after = not_after;
            match session.update(&update).await {
                Updated::Late(now) => says_the_time(&session, now, not_after),
                other => session.require(false, format_args!("a late update answers {other:?}")),
            }
        }
    }
    session.holds(&[("a", "1"), ("n", "1")]).await;
    session.is_described_by(&session.created).await;
}

/// Otherwise, a delayed delete ends a session that somebody has since logged in to.
pub async fn a_delete_that_comes_late_ends_nothing(store: &StoreUnderTest) {
    let clause = store.advised(
        "a delete done after not_after must answer Late with the store's time and end nothing: \
         compare with the store's clock in the same atomic step as the delete",
    );
    let session = clause.session(&[("a", "1")]).await;
    store.pass(MILLISECOND * 2).await;
    for not_after in [before(session.store.now()), Timestamp::default()] {
        for login in [None, Some(session.digests)] {
            let deleted = session.deleted(&Delete::new(login, not_after)).await;
            is_late(&session, deleted, not_after);
        }
    }
    session.holds(&[("a", "1")]).await;
}

/// The caller then sends the same again, and learns what became of the session.
pub async fn a_late_delete_of_another_login_is_late(store: &StoreUnderTest) {
    let clause = store.advised(
        "a delete that is both late and of another login must answer Late: compare the time first",
    );
    let session = clause.session(&[("a", "1")]).await;
    let (login, renewed) = session.login();
    session.done(&login).await;
    store.pass(MILLISECOND * 2).await;
    let mut delete = session.ending();
    for not_after in [before(session.store.now()), Timestamp::default()] {
        delete.not_after = not_after;
        is_late(&session, session.deleted(&delete).await, not_after);
    }
    renewed.holds(&[("a", "1")]).await;
}

/// A store must not remember a Late answer.
pub async fn what_came_late_is_done_when_it_is_sent_anew(store: &StoreUnderTest) {
    let clause =
        store.advised("an update that was Late must be Done when it is sent again with more time");
    let session = clause.session(&[("n", "1")]).await;
    let mut update = session.changing([("n", add(1))]);
    let soon = std::mem::take(&mut update.not_after);
    let updated = session.update(&update).await;
    session.require(
        matches!(updated, Updated::Late(_)),
        format_args!("a late update answers {updated:?}"),
    );
    update.not_after = soon;
    session.done(&update).await;
    session.holds(&[("n", "2")]).await;
}

/// A store without a manual clock shows only that a far deadline is in time.
pub async fn the_last_instant_is_in_time(store: &StoreUnderTest) {
    let clause = store.advised(
        "an update or a delete at exactly not_after must still be done: it is late if \
         now > not_after",
    );
    let session = clause.session(&[("n", "1")]).await;
    let last = || match &store.clock {
        Some(_) => session.store.now(),
        None => session.soon(),
    };
    for not_after in [last(), Timestamp::from_millis(u64::MAX)] {
        let mut update = session.changing([("n", add(1))]);
        update.not_after = not_after;
        session.done(&update).await;
    }
    session.holds(&[("n", "3")]).await;
    session
        .ended(&Delete::new(None, last()), Deleted::Done)
        .await;
    session.is_absent().await;
}

/// Otherwise, deadlines never pass, or sessions expire on one machine and live on another.
pub async fn its_time_passes(store: &StoreUnderTest) {
    let clause = store.advised("now() must be the time of the store's own clock, and pass with it");
    let session = clause.session(&[]).await;
    for _ in 0..3 {
        let before = session.store.now();
        store.pass(Duration::from_millis(400)).await;
        session.record().await;
        let passed = session.store.now().since(before);
        session.require(
            passed >= Duration::from_millis(200) && passed < LONG,
            format_args!("of 400 ms, {passed:?} passed in the store"),
        );
    }
}

/// Otherwise, a call takes effect after its request has ended.
pub async fn its_time_is_never_ahead_of_what_it_judges_by(store: &StoreUnderTest) {
    let clause = store.advised(
        "now() must never be later than the time by which the store judges not_after and remove_at: \
         estimate a server's time from its last answer, and count from when that arrived",
    );
    let session = clause.session(&[("a", "1")]).await;
    for round in 0..20 {
        let now = session.store.now();
        let mut update = session.touch();
        update.not_after = before(now);
        let updated = session.update(&update).await;
        session.require(
            matches!(updated, Updated::Late(judged) if judged >= now),
            format_args!("a millisecond late by now(), at {now:?}, an update answers {updated:?}"),
        );
        let delete = Delete::new(None, before(session.store.now()));
        let deleted = session.deleted(&delete).await;
        session.require(
            matches!(deleted, Deleted::Late(judged) if judged >= now),
            format_args!("a millisecond late by now(), a delete answers {deleted:?}"),
        );
        store.pass(MILLISECOND * round).await;
    }
}

fn before(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.as_millis() - 1)
}

fn is_late(session: &Session, deleted: Deleted, not_after: Timestamp) {
    match deleted {
        Deleted::Late(now) => says_the_time(session, now, not_after),
        Deleted::Done | Deleted::Other => {
            session.require(false, format_args!("a late delete answers {deleted:?}"));
        }
    }
}

/// The engine corrects its own estimate with the answer's time.
fn says_the_time(session: &Session, said: Timestamp, not_after: Timestamp) {
    let now = session.store.now();
    session.require(
        said > not_after && said <= now.plus(MILLISECOND * 100) && now.since(said) < LONG / 60,
        format_args!("late after {not_after:?}, at about {now:?}: the answer says {said:?}"),
    );
}
