//! Who did not hear an answer sends the same update again, under the same id: it is done once.

use super::StoreUnderTest;
use super::fixture::{add, add_within, assert_overflow, at_once, expecting, max, readable, set};
use crate::rule::CounterRange;
use crate::store::{Update, Updated};

/// A view is not counted twice because a connection broke.
pub async fn an_update_that_is_sent_twice_is_done_once(store: &StoreUnderTest) {
    let session = store.session(&[("n", "40")]).await;
    let update = session.changing([("n", add(2)), ("a", set("1"))]);
    let answer = session.done(&update).await;
    assert_eq!(session.done(&update).await, answer);
    session.holds(&[("a", "1"), ("n", "42")]).await;
    let again = Update {
        id: super::fixture::commit(),
        ..update
    };
    session.done(&again).await;
    session.holds(&[("a", "1"), ("n", "44")]).await;
}

/// What others wrote in between stays, also where it is the same field, and also if by then the
/// token was rotated: the update was done before that, and its request must hear so.
pub async fn an_update_that_is_sent_again_later_undoes_nothing(store: &StoreUnderTest) {
    let session = store.session(&[("n", "0")]).await;
    let update = session.changing([("a", set("mine")), ("n", add(1))]);
    session.done(&update).await;
    for number in 0..super::fixture::MANY / 2 {
        let value = format!("theirs {number}");
        session
            .done(&session.changing([("a", set(&value)), ("n", add(10))]))
            .await;
    }
    session.done(&update).await;
    session.holds(&[("a", "theirs 31"), ("n", "321")]).await;
    let (rotation, rotated) = session.rotation();
    session.done(&rotation).await;
    session.done(&update).await;
    rotated.holds(&[("a", "theirs 31"), ("n", "321")]).await;
}

/// Who counts to draw a number gets one of its own, though its answer was lost and others have drawn
/// meanwhile.
pub async fn an_update_that_is_sent_again_answers_what_it_answered(store: &StoreUnderTest) {
    let session = store.session(&[("n", "0")]).await;
    let mine = session.changing([("n", add(1)), ("m", max("5"))]);
    let answer = session.done(&mine).await;
    let theirs = session.changing([("n", add(1)), ("m", max("7"))]);
    session.done(&theirs).await;
    assert_eq!(readable(&session.done(&mine).await), readable(&answer));
    session
        .done(&session.changing([("n", crate::changes::Change::Unset)]))
        .await;
    assert_eq!(readable(&session.done(&mine).await), readable(&answer));
    session.holds(&[("m", "7")]).await;
}

/// A login whose answer was lost must hear that it is done: the browser does not have its new token
/// yet, and the old one opens nothing any more.
pub async fn a_rotation_that_is_sent_twice_is_done_once(store: &StoreUnderTest) {
    let session = store.session(&[("a", "1")]).await;
    let (rotation, rotated) = session.rotation();
    session.done(&rotation).await;
    let metadata = session.record().await.metadata;
    session.done(&rotation).await;
    assert_eq!(session.record().await.metadata.pack(), metadata.pack());
    rotated.done(&rotated.changing([("a", set("2"))])).await;
    session.done(&rotation).await;
    rotated.holds(&[("a", "2")]).await;
}

/// The same where the one that was thought lost arrives together with the ones that replace it.
pub async fn an_update_sent_many_times_at_once_is_done_once(store: &StoreUnderTest) {
    let session = store.session(&[("n", "0")]).await;
    let update = session.changing([("n", add(1))]);
    let answers = at_once(16, |_| {
        let (session, update) = (session.clone(), update.clone());
        async move { session.done(&update).await }
    })
    .await;
    for answer in answers {
        assert_eq!(readable(&answer), [("n", "1".to_owned())]);
    }
    session.holds(&[("n", "1")]).await;
}

/// What was refused was not done: it may be possible now.
pub async fn an_update_that_was_refused_may_be_sent_again(store: &StoreUnderTest) {
    let session = store.session(&[("n", "127")]).await;
    let small = CounterRange::new(-128, 127);
    let counts = session.changing([("n", add_within(small, 1, 0))]);
    assert_overflow(session.update(&counts).await, "127 + 1 in an i8");
    let expects = Update {
        expected: Some(expecting(&[("n", Some("0"))])),
        ..session.changing([("a", set("1"))])
    };
    let updated = session.update(&expects).await.expect("update");
    assert_eq!(updated, Updated::Conflict);
    session.done(&session.changing([("n", set("0"))])).await;
    session.done(&expects).await;
    session.done(&counts).await;
    session.holds(&[("a", "1"), ("n", "1")]).await;
}
