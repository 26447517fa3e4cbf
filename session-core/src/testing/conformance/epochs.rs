//! Rotations of the token: whoever came with the old one is late.

use std::time::Duration;

use super::StoreUnderTest;
use super::fixture::{START, Session, add, at_once, set};
use crate::record::Metadata;
use crate::store::Updated;

/// A request that loaded another epoch holds a token that opens nothing any more: what it wrote
/// would be the anonymous visitor's in the session of who logged in meanwhile.
pub async fn an_update_of_another_epoch_is_gone(store: &StoreUnderTest) {
    let session = store.session(&[("a", "1")]).await;
    for epoch in [
        session.epoch.wrapping_sub(1),
        session.epoch + 1,
        u32::MAX / 2,
    ] {
        let other = Session {
            epoch,
            ..session.clone()
        };
        other.gone(&other.changing([("a", set("2"))])).await;
        other.gone(&other.rotation().0).await;
    }
    session.holds(&[("a", "1")]).await;
    assert_eq!(
        session.record().await.metadata.pack(),
        session.created.pack()
    );
}

/// A stolen token that was rotated away must not keep the session alive.
pub async fn a_touch_of_another_epoch_is_gone(store: &StoreUnderTest) {
    let session = store.session(&[("a", "1")]).await;
    let other = Session {
        epoch: session.epoch + 1,
        ..session.clone()
    };
    let mut touch = other.touch();
    touch.touched_at = START.plus(Duration::from_secs(60));
    other.gone(&touch).await;
    assert_eq!(session.record().await.metadata.touched_at, START);
}

/// A rotation keeps the data and the id, and is one step with what else the request wrote. Where it
/// is a delete and a save, a failure between them ends the session, and the new id may be somebody's
/// ([tower-sessions#180](https://github.com/maxcountryman/tower-sessions/issues/180)); where it is a
/// state that the next write replaces, it is forgotten
/// ([actix-extras#244](https://github.com/actix/actix-extras/issues/244)).
pub async fn a_rotation_changes_the_token_and_nothing_else(store: &StoreUnderTest) {
    let session = store.session(&[("a", "1"), ("b", "1")]).await;
    let (mut update, rotated) = session.rotation();
    update.changes = session.changing([("b", set("2"))]).changes;
    session.done(&update).await;
    session.holds(&[("a", "1"), ("b", "2")]).await;
    let rotation = update.rotation.expect("a rotation");
    let expected = Metadata {
        digest: rotation.digest,
        epoch: rotated.epoch,
        rotated_at: rotation.at,
        identified: true,
        ..session.created
    };
    assert_eq!(session.record().await.metadata.pack(), expected.pack());
}

/// After a rotation, an update of the epoch before it is refused, and one of the new epoch is done.
pub async fn a_rotation_refuses_those_who_came_before(store: &StoreUnderTest) {
    let session = store.session(&[("a", "1")]).await;
    let late = session.changing([("a", set("late"))]);
    let (rotation, rotated) = session.rotation();
    session.done(&rotation).await;
    session.gone(&late).await;
    session.gone(&session.touch()).await;
    rotated.holds(&[("a", "1")]).await;
    rotated.done(&rotated.changing([("a", set("2"))])).await;
    rotated.holds(&[("a", "2")]).await;
}

/// Two parallel requests that both rotate would each hand out a token, of which one opens nothing:
/// one of them must know. Where nobody counts epochs, parallel requests log a user out
/// ([express-session#923](https://github.com/expressjs/session/issues/923)).
pub async fn of_concurrent_rotations_one_is_done(store: &StoreUnderTest) {
    let session = store.session(&[("a", "1")]).await;
    let digests: Vec<_> = at_once(8, |_| {
        let session = session.clone();
        async move {
            let (update, _) = session.rotation();
            match session.update(&update).await.expect("update") {
                Updated::Done(_) => update.rotation.map(|rotation| rotation.digest),
                refused => {
                    assert_eq!(refused, Updated::Gone);
                    None
                }
            }
        }
    })
    .await;
    let done: Vec<_> = digests.into_iter().flatten().collect();
    assert_eq!(done.len(), 1, "exactly one rotation is done");
    let stored = session.record().await.metadata;
    assert!(stored.digest.matches(&done[0]));
    assert_eq!(stored.epoch, session.epoch + 1);
}

/// In every interleaving, an update against a rotation is done before it, and kept, or refused
/// after it, and leaves nothing.
pub async fn an_update_against_a_rotation_is_done_before_or_refused(store: &StoreUnderTest) {
    for _ in 0..16 {
        let session = store.session(&[("n", "0")]).await;
        let done = at_once(8, |number| {
            let session = session.clone();
            async move {
                let update = match number {
                    0 => session.rotation().0,
                    _ => session.changing([("n", add(1))]),
                };
                let updated = session.update(&update).await.expect("update");
                matches!(updated, Updated::Done(_))
            }
        })
        .await;
        assert!(done[0], "nobody refuses the rotation");
        let kept = done[1..].iter().filter(|done| **done).count().to_string();
        session.holds(&[("n", &kept)]).await;
        assert_eq!(session.record().await.metadata.epoch, session.epoch + 1);
    }
}
