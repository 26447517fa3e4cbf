use std::time::Duration;

use super::StoreUnderTest;
use super::fixture::{START, Session, add, at_once, set};
use crate::record::Metadata;
use crate::store::Updated;

const COMPARE: &str = "an update with other digests than the record's must answer Gone and write \
                       nothing: compare both halves in the same atomic step as the write, as \
                       Update::apply_to does";

/// Otherwise, an anonymous visitor's data gets into the session of a user who logged in meanwhile. Both
/// halves count: a rotation replaces only the second, a login both.
pub async fn an_update_with_other_digests_is_gone(store: &StoreUnderTest) {
    let clause = store.advised(COMPARE);
    let session = clause.session(&[("a", "1")]).await;
    for other in others(&session) {
        other.gone(&other.changing([("a", set("2"))])).await;
        other.gone(&other.rotation().0).await;
        other.gone(&other.login().0).await;
    }
    session.holds(&[("a", "1")]).await;
    session.is_described_by(&session.created).await;
}

/// Otherwise, a stolen token that was rotated away keeps the session alive.
pub async fn a_touch_with_other_digests_is_gone(store: &StoreUnderTest) {
    let clause = store.advised(COMPARE);
    let session = clause.session(&[("a", "1")]).await;
    for other in others(&session) {
        let mut touch = other.touch();
        touch.touched_at = Some(START.plus(Duration::from_secs(60)));
        other.gone(&touch).await;
    }
    session.is_described_by(&session.created).await;
}

/// Otherwise, a code goes to a request whose token no longer opens anything.
pub async fn a_take_with_other_digests_is_gone(store: &StoreUnderTest) {
    let clause = store.advised(COMPARE);
    let session = clause.session(&[("code", "secret")]).await;
    for other in others(&session) {
        other.gone(&other.changing([("code", TAKE)])).await;
    }
    session.holds(&[("code", "secret")]).await;
}

const TAKE: crate::merge::Change = crate::merge::Change::Take { aliases: &[] };

/// If a rotation is a delete and a save, a failure between them ends the session, and the new id may be
/// somebody else's ([tower-sessions#180](https://github.com/maxcountryman/tower-sessions/issues/180)). If it
/// is a state that the next write replaces, it gets lost
/// ([actix-extras#244](https://github.com/actix/actix-extras/issues/244)).
pub async fn a_rotation_changes_the_token_and_nothing_else(store: &StoreUnderTest) {
    let clause = store.advised(
        "a rotation must replace both digests and set rotated_at, in one step with the changes, and \
         change nothing else: use Update::metadata_after",
    );
    let session = clause.session(&[("a", "1"), ("b", "1")]).await;
    let (mut update, rotated) = session.rotation();
    update.changes = session.changing([("b", set("2"))]).changes;
    session.done(&update).await;
    session.holds(&[("a", "1"), ("b", "2")]).await;
    let expected = Metadata {
        digests: rotated.digests,
        rotated_at: Some(START.plus(Duration::from_secs(7))),
        ..session.created.clone()
    };
    session.is_described_by(&expected).await;
}

/// The login's time decides whether the user must log in again before sensitive actions. A rotation proves
/// nothing.
pub async fn only_a_login_says_when_somebody_logged_in(store: &StoreUnderTest) {
    let clause = store.advised(
        "authenticated_at must be set by a rotation that is a login, and by nothing else: use \
         Update::metadata_after",
    );
    let session = clause.session(&[]).await;
    let authenticated_at = async |session: &Session, wanted| {
        let stored = session.metadata().await.authenticated_at;
        session.require(
            stored == wanted,
            format_args!("authenticated_at should be {wanted:?}, and is {stored:?}"),
        );
    };
    let (rotation, rotated) = session.rotation();
    session.done(&rotation).await;
    authenticated_at(&rotated, None).await;
    let (login, renewed) = rotated.login();
    rotated.done(&login).await;
    let at = Some(START.plus(Duration::from_secs(7)));
    authenticated_at(&renewed, at).await;
    let (rotation, rotated) = renewed.rotation();
    renewed.done(&rotation).await;
    rotated.done(&rotated.changing([("a", set("1"))])).await;
    authenticated_at(&rotated, at).await;
}

/// So does a login. An update from after it is done.
pub async fn a_rotation_refuses_those_who_came_before(store: &StoreUnderTest) {
    let clause = store.advised(COMPARE);
    for is_login in [false, true] {
        let session = clause.session(&[("a", "1")]).await;
        let late = session.changing([("a", set("late"))]);
        let (rotation, rotated) = match is_login {
            true => session.login(),
            false => session.rotation(),
        };
        session.done(&rotation).await;
        session.gone(&late).await;
        session.gone(&session.touch()).await;
        session.gone(&rotation).await;
        rotated.holds(&[("a", "1")]).await;
        rotated.done(&rotated.changing([("a", set("2"))])).await;
        rotated.holds(&[("a", "2")]).await;
    }
}

/// Otherwise, parallel requests log a user out: each hands out a token, and all but one open nothing
/// ([express-session#923](https://github.com/expressjs/session/issues/923)).
pub async fn of_concurrent_rotations_one_is_done(store: &StoreUnderTest) {
    let clause = store.advised(
        "of concurrent rotations exactly one is Done, all others are Gone: compare the digests in the \
         same atomic step as the write",
    );
    let session = clause.session(&[("a", "1")]).await;
    let rotated = at_once(8, |number| {
        let session = session.clone();
        async move {
            let (update, rotated) = match number % 2 {
                0 => session.rotation(),
                _ => session.login(),
            };
            let updated = session.update(&update).await;
            session.require(
                matches!(updated, Updated::Done(_) | Updated::Gone),
                format_args!("a rotation beside others answers {updated:?}"),
            );
            matches!(updated, Updated::Done(_)).then_some(rotated)
        }
    })
    .await;
    let done: Vec<_> = rotated.into_iter().flatten().collect();
    session.require(done.len() == 1, format_args!("{} are Done", done.len()));
    let stored = session.metadata().await.digests;
    session.require(
        stored.matches(&done[0].digests),
        "the stored digests are not those of the rotation that was Done",
    );
}

/// This holds in every interleaving.
pub async fn an_update_against_a_rotation_is_done_before_or_refused(store: &StoreUnderTest) {
    let clause = store.advised(
        "an update beside a rotation is Done and kept, or Gone without a trace: read, compare and \
         write in one atomic step",
    );
    for _ in 0..16 {
        let session = clause.session(&[("n", "0")]).await;
        let (rotation, rotated) = session.rotation();
        let done = at_once(8, |number| {
            let (session, rotation) = (session.clone(), rotation.clone());
            async move {
                let updated = match number {
                    0 => session.update(&rotation).await,
                    _ => session.update(&session.changing([("n", add(1))])).await,
                };
                matches!(updated, Updated::Done(_))
            }
        })
        .await;
        session.require(done[0], "the only rotation was refused");
        let kept = done[1..].iter().filter(|done| **done).count().to_string();
        session.holds(&[("n", &kept)]).await;
        let stored = session.metadata().await.digests;
        session.require(stored.matches(&rotated.digests), "the rotation was undone");
    }
}

/// With another verifier, another login half, or both.
fn others(session: &Session) -> [Session; 3] {
    [
        session.rotation().1,
        session.of_another_login(),
        session.login().1,
    ]
}
