//! What begins and ends a session, and what does not.

use super::StoreUnderTest;
use super::fixture::{LONG, Session, at_once, commit, set};
use crate::record::{Metadata, Record};
use crate::store::{Created, Key, Take, Taken, Updated};
use crate::token::Token;

/// Absent is a value: a token that nobody issued, or of a session that ended, costs one answer and
/// is no error.
pub async fn an_unknown_session_is_absent(store: &StoreUnderTest) {
    assert!(store.no_session().load().await.is_none());
}

/// All metadata and all fields come back as they were handed over.
pub async fn a_new_session_is_stored_as_it_was_handed_over(store: &StoreUnderTest) {
    let mut session = store.no_session();
    session.created = Metadata {
        epoch: 0x0102_0304,
        rotated_at: crate::clock::Timestamp::from_millis(1_699_999_999_000),
        identified: true,
        touched_at: session.created.created_at.plus(LONG / 7),
        lifetime: crate::expiry::Lifetime {
            idle_timeout: Some(LONG * 24),
            persistent: Some(true),
        },
        ..session.created
    };
    assert_eq!(
        session.create(&[("a", "1"), ("b", "\"x\"")]).await,
        Created::Done
    );
    session.holds(&[("a", "1"), ("b", "\"x\"")]).await;
    let stored = session.record().await.metadata;
    assert_eq!(stored.pack(), session.created.pack());
    assert!(stored.digest.matches(&session.created.digest));
}

/// A key is a name and an id: a session of one type must not open as another type's, which may mean
/// something else by the same fields
/// ([CVE-2022-39263](https://nvd.nist.gov/vuln/detail/CVE-2022-39263): only a part of a composite
/// key was looked at).
pub async fn session_types_share_no_ids(store: &StoreUnderTest) {
    let session = store.session(&[("a", "1")]).await;
    let other = Session {
        key: Key::new("conformance-of-others", session.key.id),
        ..session.clone()
    };
    assert!(other.load().await.is_none());
    other.gone(&other.changing([("a", set("2"))])).await;
    other.delete().await;
    session.holds(&[("a", "1")]).await;
}

/// An id that is taken, because a random source repeats itself or somebody guessed, must not hand
/// over or end somebody's session
/// ([tower-sessions#188](https://github.com/maxcountryman/tower-sessions/issues/188), two security
/// releases).
pub async fn create_leaves_an_existing_session_alone(store: &StoreUnderTest) {
    let session = store.session(&[("a", "mine")]).await;
    let other = with_another_digest(&session);
    assert_eq!(other.create(&[("b", "theirs")]).await, Created::Exists);
    session.holds(&[("a", "mine")]).await;
    let stored = session.record().await.metadata;
    assert!(stored.digest.matches(&session.created.digest));
}

/// The same where both come at once: looking first and writing later is not enough. Of the loser,
/// nothing is stored.
pub async fn of_concurrent_creates_one_is_done(store: &StoreUnderTest) {
    let first = store.no_session();
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let all: Vec<_> = names.map(|name| (name, with_another_digest(&first))).into();
    let created = at_once(all.len(), |number| {
        let (name, session) = all[number].clone();
        async move { session.create(&[(name, "1")]).await }
    })
    .await;
    let mut winners = all
        .iter()
        .zip(&created)
        .filter(|(_, created)| **created == Created::Done);
    let ((name, session), _) = winners.next().expect("one create is done");
    assert!(
        winners.next().is_none(),
        "exactly one create is done: {created:?}"
    );
    session.holds(&[(name, "1")]).await;
    let stored = session.record().await.metadata;
    assert!(stored.digest.matches(&session.created.digest));
}

/// Who did not hear the answer sends it again, and must hear that the session is stored: the cookie
/// is sent after that. By then another request may have changed the session, which must stay.
pub async fn a_create_that_is_sent_twice_is_done_once(store: &StoreUnderTest) {
    let session = store.session(&[("a", "1")]).await;
    assert_eq!(session.create(&[("a", "1")]).await, Created::Done);
    session.done(&session.changing([("a", set("2"))])).await;
    assert_eq!(session.create(&[("a", "1")]).await, Created::Done);
    session.holds(&[("a", "2")]).await;
}

/// A write to a session that does not exist says so, and leaves it so.
pub async fn an_update_creates_nothing(store: &StoreUnderTest) {
    let session = store.no_session();
    session.gone(&session.changing([("a", set("1"))])).await;
    session.gone(&session.touch()).await;
    session.gone(&session.rotation().0).await;
    assert!(session.load().await.is_none());
}

/// A take neither.
pub async fn a_take_creates_nothing(store: &StoreUnderTest) {
    let session = store.no_session();
    assert_eq!(session.take(&session.taking("a")).await, Taken::Gone);
    assert!(session.load().await.is_none());
}

/// The one that must hold: a request that was under way during a logout must not bring the session
/// back. It did in many a store:
/// [CVE-2025-46336](https://nvd.nist.gov/vuln/detail/CVE-2025-46336) of rack-session,
/// [connect-redis#328](https://github.com/tj/connect-redis/issues/328),
/// [express-session#632](https://github.com/expressjs/session/issues/632),
/// [redistore#2](https://github.com/boj/redistore/issues/2).
pub async fn an_update_after_the_end_is_gone(store: &StoreUnderTest) {
    let session = store.session(&[("user", "1")]).await;
    session.delete().await;
    session.gone(&session.changing([("user", set("1"))])).await;
    session.gone(&session.rotation().0).await;
    let taken = session.take(&session.taking("user")).await;
    assert_eq!(taken, Taken::Gone);
    assert!(session.load().await.is_none());
    assert_eq!(session.create(&[]).await, Created::Done, "the key is free");
    session.holds(&[]).await;
}

/// A touch neither: not even with one field that says when
/// ([spring-session#1111](https://github.com/spring-projects/spring-session/issues/1111)).
pub async fn a_touch_after_the_end_is_gone(store: &StoreUnderTest) {
    let session = store.session(&[("user", "1")]).await;
    session.delete().await;
    session.gone(&session.touch()).await;
    assert!(session.load().await.is_none());
}

/// The same in every interleaving: whether an update is done before the end or refused after it, at
/// last nothing is there.
pub async fn an_end_is_final_in_any_race(store: &StoreUnderTest) {
    for _ in 0..32 {
        let session = store.session(&[("user", "1"), ("n", "0")]).await;
        at_once(8, |number| {
            let session = session.clone();
            async move {
                let update = match number {
                    0 => return session.delete().await,
                    1 => session.touch(),
                    2 => session.rotation().0,
                    _ => session.changing([("user", set("1")), ("n", super::fixture::add(1))]),
                };
                let updated = session.update(&update).await.expect("update");
                assert!(matches!(updated, Updated::Done(_) | Updated::Gone));
            }
        })
        .await;
        assert!(session.load().await.is_none(), "a deleted session is back");
    }
}

/// A logout ends the session, also if another request is rotating its token.
pub async fn a_delete_ends_a_rotated_session(store: &StoreUnderTest) {
    let session = store.session(&[("user", "1")]).await;
    let (rotation, rotated) = session.rotation();
    session.done(&rotation).await;
    session.delete().await;
    assert!(session.load().await.is_none());
    rotated.gone(&rotated.touch()).await;
}

/// A delete whose answer was not heard is sent again, and two logouts may meet.
pub async fn a_delete_of_nothing_is_no_error(store: &StoreUnderTest) {
    store.no_session().delete().await;
    let session = store.session(&[("a", "1")]).await;
    session.delete().await;
    session.delete().await;
    assert!(session.load().await.is_none());
}

/// Nobody else is logged out.
pub async fn a_delete_ends_one_session_only(store: &StoreUnderTest) {
    let (session, other) = (
        store.session(&[("a", "1")]).await,
        store.session(&[("a", "2")]).await,
    );
    session.delete().await;
    other.holds(&[("a", "2")]).await;
}

/// What a store remembers of a session, its fields and the calls that it has done, ends with it.
pub async fn what_follows_a_delete_begins_empty(store: &StoreUnderTest) {
    let session = store.session(&[("a", "1"), ("code", "secret")]).await;
    let (update, id) = (session.changing([("b", set("1"))]), commit());
    let take = Take::new(id, session.epoch, "code".into(), &[]);
    session.done(&update).await;
    session.take(&take).await;
    session.delete().await;
    let next = with_another_digest(&session);
    assert_eq!(next.create(&[("c", "1")]).await, Created::Done);
    next.holds(&[("c", "1")]).await;
    assert_eq!(next.take(&take).await, Taken::Done(None));
    next.done(&update).await;
    next.holds(&[("b", "1"), ("c", "1")]).await;
}

/// Another session that happens to have the same id.
fn with_another_digest(session: &Session) -> Session {
    let token = Token::generate().expect("randomness");
    let created = Record::new(session.created, crate::record::Fields::new()).metadata;
    Session {
        created: Metadata {
            digest: token.digest(),
            ..created
        },
        ..session.clone()
    }
}
