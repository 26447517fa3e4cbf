use super::StoreUnderTest;
use super::fixture::{LONG, Session, add, at_once, set};
use crate::clock::Timestamp;
use crate::record::Metadata;
use crate::store::{Created, Deleted, Key, Updated};

/// Otherwise, every bot that makes up a cookie gets a 503 and triggers an alarm.
pub async fn an_unknown_session_is_absent(store: &StoreUnderTest) {
    let clause =
        store.advised("a load must answer None if there is no session: no error, no record");
    clause.no_session().is_absent().await;
}

/// Otherwise, a session ends at the wrong time, or its token opens nothing.
pub async fn a_new_session_is_stored_as_it_was_handed_over(store: &StoreUnderTest) {
    let clause = store.advised(
        "a create must keep all metadata and all fields: use Metadata::pack or Record::to_bytes, do \
         not rebuild the metadata",
    );
    let mut session = clause.no_session();
    session.created = Metadata {
        authenticated_at: Some(Timestamp::from_millis(1_699_999_998_000)),
        rotated_at: Some(Timestamp::from_millis(1_699_999_999_000)),
        touched_at: session.created.created_at.plus(LONG / 7),
        idle_timeout: Some(LONG * 24),
        persistent: Some(true),
        ..session.created
    };
    session.begin(&[("a", "1"), ("b", "\"x\"")]).await;
    session.holds(&[("a", "1"), ("b", "\"x\"")]).await;
    session.is_described_by(&session.created).await;
}

/// Another type may use the same fields with other meanings
/// ([CVE-2022-39263](https://nvd.nist.gov/vuln/detail/CVE-2022-39263): only a part of a composite key was
/// checked).
pub async fn session_types_share_no_ids(store: &StoreUnderTest) {
    let clause = store.advised("a session is found by its whole key, name and id: use both");
    let session = clause.session(&[("a", "1")]).await;
    let other = Session {
        key: Key::new("conformance-of-others", session.key.id),
        ..session.clone()
    };
    other.is_absent().await;
    other.gone(&other.changing([("a", set("2"))])).await;
    other.delete().await;
    session.holds(&[("a", "1")]).await;
}

/// Otherwise, an id that repeats by chance or was guessed hands over or ends a session
/// ([tower-sessions#188](https://github.com/maxcountryman/tower-sessions/issues/188), two security releases).
pub async fn create_leaves_an_existing_session_alone(store: &StoreUnderTest) {
    let clause = store.advised(
        "a create must answer Refused if a session exists, and leave it alone: insert, do not \
         upsert",
    );
    let session = clause.session(&[("a", "mine")]).await;
    let created = session.of_the_same_id().create(&[("b", "theirs")]).await;
    session.require(
        created == Created::Refused,
        "a create over a session is Done",
    );
    session.holds(&[("a", "mine")]).await;
    session.is_described_by(&session.created).await;
}

/// Checking first and writing later is not enough.
pub async fn of_concurrent_creates_one_is_done(store: &StoreUnderTest) {
    let clause = store.advised(
        "of concurrent creates under one key exactly one is Done: check whether it exists in the same \
         atomic step as the write",
    );
    let first = clause.no_session();
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let all: Vec<_> = names.map(|name| (name, first.of_the_same_id())).into();
    let created = at_once(all.len(), |number| {
        let (name, session) = all[number].clone();
        async move { session.create(&[(name, "1")]).await }
    })
    .await;
    let done = |number: &usize| created[*number] == Created::Done;
    let winners: Vec<_> = (0..all.len()).filter(done).collect();
    first.require(
        winners.len() == 1,
        format_args!("{} are Done", winners.len()),
    );
    let (name, session) = &all[winners[0]];
    session.holds(&[(name, "1")]).await;
    session.is_described_by(&session.created).await;
}

/// A change, a touch, a rotation and a login all answer `Gone`.
pub async fn an_update_creates_nothing(store: &StoreUnderTest) {
    let clause = store.advised(
        "an update of a session that does not exist must answer Gone and store nothing: no upsert",
    );
    let session = clause.no_session();
    session.gone(&session.changing([("a", set("1"))])).await;
    session.gone(&session.touch()).await;
    session.gone(&session.rotation().0).await;
    session.gone(&session.login().0).await;
    session.is_absent().await;
}

/// The most important clause: a request under way during a logout must not bring the session back. It did in
/// [CVE-2025-46336](https://nvd.nist.gov/vuln/detail/CVE-2025-46336) of rack-session,
/// [connect-redis#328](https://github.com/tj/connect-redis/issues/328),
/// [express-session#632](https://github.com/expressjs/session/issues/632) and
/// [redistore#2](https://github.com/boj/redistore/issues/2).
pub async fn an_update_after_the_end_is_gone(store: &StoreUnderTest) {
    let clause = store.advised(AFTER_THE_END);
    let session = clause.session(&[("user", "1")]).await;
    session.delete().await;
    session.gone(&session.changing([("user", set("1"))])).await;
    session.gone(&session.login().0).await;
    session.is_absent().await;
}

/// A touch stores nothing, not even a single field for its time
/// ([spring-session#1111](https://github.com/spring-projects/spring-session/issues/1111)).
pub async fn a_touch_after_the_end_is_gone(store: &StoreUnderTest) {
    let clause = store.advised(AFTER_THE_END);
    let session = clause.session(&[("user", "1")]).await;
    session.delete().await;
    session.gone(&session.touch()).await;
    session.is_absent().await;
}

const AFTER_THE_END: &str = "an update after a delete must answer Gone and store nothing: check \
                             existence and digests in the same atomic step as the write";

/// This holds whether an update happens before the end or is refused after it.
pub async fn an_end_is_final_in_any_race(store: &StoreUnderTest) {
    let clause = store.advised(
        "after a delete nothing brings the session back, whatever was under way: check existence and \
         digests in the same atomic step as the write",
    );
    for _ in 0..32 {
        let session = clause.session(&[("user", "1"), ("n", "0")]).await;
        at_once(8, |number| {
            let session = session.clone();
            async move {
                let update = match number {
                    0 => return session.delete().await,
                    1 => session.touch(),
                    2 => session.rotation().0,
                    _ => session.changing([("user", set("1")), ("n", add(1))]),
                };
                let updated = session.update(&update).await;
                session.require(
                    matches!(updated, Updated::Done(_) | Updated::Gone),
                    format_args!("an update beside a delete answers {updated:?}"),
                );
            }
        })
        .await;
        session.is_absent().await;
    }
}

/// The user need not know of the rotation, and a thief could rotate faster than anybody logs out.
pub async fn a_delete_ends_a_rotated_session(store: &StoreUnderTest) {
    let clause = store.advised(
        "a delete must end the session if its login half is the named one, whatever its verifier: \
         compare by Digests::login_matches",
    );
    let session = clause.session(&[("user", "1")]).await;
    let (rotation, rotated) = session.rotation();
    session.done(&rotation).await;
    session.end().await;
    session.is_absent().await;
    rotated.gone(&rotated.touch()).await;
}

/// An operator's delete names no login, for example.
pub async fn a_delete_without_a_login_ends_whichever(store: &StoreUnderTest) {
    let clause = store.advised(
        "a delete that names no login must end the session under its key, whatever its token",
    );
    let session = clause.session(&[("user", "1")]).await;
    let (login, renewed) = session.login();
    session.done(&login).await;
    session.delete().await;
    session.is_absent().await;
    renewed.gone(&renewed.touch()).await;
}

/// Otherwise, a thief who holds the anonymous cookie can log the user out, with a logout sent before the
/// login and done after it.
pub async fn a_delete_of_another_login_ends_nothing(store: &StoreUnderTest) {
    let clause = store.advised(ANOTHER_LOGIN);
    let session = clause.session(&[("user", "1")]).await;
    let (login, renewed) = session.login();
    session.done(&login).await;
    let stored = session.metadata().await;
    // Even if it knows the verifier.
    for stranger in [session.clone(), renewed.of_another_login()] {
        stranger.ended(&stranger.ending(), Deleted::Other).await;
        renewed.holds(&[("user", "1")]).await;
        renewed.is_described_by(&stored).await;
    }
    renewed.done(&renewed.changing([("user", set("2"))])).await;
    renewed.end().await;
    renewed.is_absent().await;
}

/// In every interleaving, either the login is refused or the delete.
pub async fn a_delete_against_a_login_is_done_before_or_refused(store: &StoreUnderTest) {
    let clause = store.advised(ANOTHER_LOGIN);
    for round in 0..32 {
        let session = clause.session(&[("user", "1")]).await;
        let (login, renewed) = session.login();
        // The login's place varies: the task spawned last may run first.
        let which = round % 4;
        let done = at_once(4, |number| {
            let (session, login) = (session.clone(), login.clone());
            async move {
                match number == which {
                    true => matches!(session.update(&login).await, Updated::Done(_)),
                    false => session.deleted(&session.ending()).await == Deleted::Done,
                }
            }
        })
        .await;
        let has_login = done[which];
        let mut ends = (0..4).filter(|number| *number != which);
        session.require(
            ends.all(|number| done[number] != has_login),
            format_args!("a login, the {which}th of these, and deletes beside it: Done? {done:?}"),
        );
        match has_login {
            true => renewed.holds(&[("user", "1")]).await,
            false => session.is_absent().await,
        }
    }
}

const ANOTHER_LOGIN: &str = "a delete that names a login must answer Other and change nothing if the \
                             session has another login half: compare by Digests::login_matches, in \
                             the same atomic step as the delete";

/// A delete whose answer was lost is sent again, and two logouts may meet.
pub async fn a_delete_of_nothing_is_no_error(store: &StoreUnderTest) {
    let clause = store.advised(
        "a delete must answer Done if there is nothing to delete, whatever login it names",
    );
    clause.no_session().delete().await;
    clause.no_session().end().await;
    let session = clause.session(&[("a", "1")]).await;
    session.delete().await;
    session.delete().await;
    session.end().await;
    session.is_absent().await;
}

/// Nobody else is logged out.
pub async fn a_delete_ends_one_session_only(store: &StoreUnderTest) {
    let clause = store.advised("a delete must end the session under its key, and no other");
    let session = clause.session(&[("a", "1")]).await;
    let other = clause.session(&[("a", "2")]).await;
    session.delete().await;
    other.holds(&[("a", "2")]).await;
}

/// Otherwise, something of one user remains for the next.
pub async fn what_follows_a_delete_begins_empty(store: &StoreUnderTest) {
    let clause = store.advised("a delete must remove everything that is kept under the key");
    let session = clause.session(&[("a", "1"), ("code", "secret")]).await;
    session.done(&session.changing([("b", set("1"))])).await;
    session.delete().await;
    let next = session.of_the_same_id();
    next.begin(&[("c", "1")]).await;
    next.holds(&[("c", "1")]).await;
    next.is_described_by(&next.created).await;
    session.gone(&session.touch()).await;
}
