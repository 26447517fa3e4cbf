//! Values that exactly one request obtains: a code, a ticket, a message.

use super::StoreUnderTest;
use super::fixture::{MANY, Session, at_once, commit, set};
use crate::store::{Take, Taken};

/// The value is the caller's, and nobody else's any more; the rest of the session stays.
pub async fn a_take_answers_the_value_and_removes_it(store: &StoreUnderTest) {
    let session = store.session(&[("a", "1"), ("code", "secret")]).await;
    assert_eq!(
        session.take(&session.taking("code")).await,
        obtained("secret")
    );
    session.holds(&[("a", "1")]).await;
    assert_eq!(
        session.record().await.metadata.pack(),
        session.created.pack()
    );
    assert_eq!(
        session.take(&session.taking("code")).await,
        Taken::Done(None)
    );
    session
        .done(&session.changing([("code", set("new"))]))
        .await;
    assert_eq!(session.take(&session.taking("code")).await, obtained("new"));
}

/// A code that works twice is worth twice: reading it first and removing it later is not enough.
pub async fn of_concurrent_takes_one_obtains_the_value(store: &StoreUnderTest) {
    let session = store.session(&[("code", "secret")]).await;
    let taken = at_once(MANY, |_| {
        let session = session.clone();
        async move { session.take(&session.taking("code")).await }
    })
    .await;
    let winners = taken.iter().filter(|taken| **taken == obtained("secret"));
    assert_eq!(winners.count(), 1, "exactly one obtains it");
    let losers = taken.iter().filter(|taken| **taken == Taken::Done(None));
    assert_eq!(
        losers.count(),
        MANY - 1,
        "all others hear that there is none"
    );
}

/// That there is none is an answer, and one that ends nothing.
pub async fn a_take_of_nothing_is_done_without_a_value(store: &StoreUnderTest) {
    let session = store.session(&[("a", "1"), ("empty", "")]).await;
    assert_eq!(
        session.take(&session.taking("code")).await,
        Taken::Done(None)
    );
    assert_eq!(session.take(&session.taking("empty")).await, obtained(""));
    session.holds(&[("a", "1")]).await;
}

/// Who did not hear the answer calls again, under the same id, and obtains what is its own: else
/// nobody would. Also if the token was rotated by then.
pub async fn a_take_that_is_sent_twice_answers_the_same(store: &StoreUnderTest) {
    let session = store.session(&[("code", "secret"), ("other", "2")]).await;
    let take = session.taking("code");
    assert_eq!(session.take(&take).await, obtained("secret"));
    assert_eq!(session.take(&take).await, obtained("secret"));
    assert_eq!(session.take(&session.taking("other")).await, obtained("2"));
    assert_eq!(session.take(&take).await, obtained("secret"));
    assert_eq!(
        session.take(&session.taking("code")).await,
        Taken::Done(None)
    );
    session.done(&session.rotation().0).await;
    assert_eq!(session.take(&take).await, obtained("secret"));
}

/// A value that was set since then is for the next one.
pub async fn a_take_that_is_sent_again_leaves_a_later_value(store: &StoreUnderTest) {
    let session = store.session(&[("code", "first")]).await;
    let take = session.taking("code");
    session.take(&take).await;
    session
        .done(&session.changing([("code", set("second"))]))
        .await;
    assert_eq!(session.take(&take).await, obtained("first"));
    session.holds(&[("code", "second")]).await;
}

/// An older build may have stored it under an old name: what is found there is newer, and all of it
/// goes, so that nobody obtains the other one later.
pub async fn a_take_finds_old_names(store: &StoreUnderTest) {
    let session = store
        .session(&[("a", "1"), ("code", "3"), ("old", "2"), ("older", "1")])
        .await;
    let take = Take::new(commit(), session.epoch, "code".into(), &["old", "older"]);
    assert_eq!(session.take(&take).await, obtained("2"));
    session.holds(&[("a", "1")]).await;
    assert_eq!(session.take(&take).await, obtained("2"));
}

/// Who comes with a token that was rotated away obtains nothing, and leaves what is there.
pub async fn a_take_of_another_epoch_is_gone(store: &StoreUnderTest) {
    let session = store.session(&[("code", "secret")]).await;
    let other = Session {
        epoch: session.epoch + 1,
        ..session.clone()
    };
    assert_eq!(other.take(&other.taking("code")).await, Taken::Gone);
    let (rotation, rotated) = session.rotation();
    session.done(&rotation).await;
    assert_eq!(session.take(&session.taking("code")).await, Taken::Gone);
    assert_eq!(
        rotated.take(&rotated.taking("code")).await,
        obtained("secret")
    );
}

/// A request that read the session before the take, and writes something else after it, does not
/// bring the value back.
pub async fn what_was_taken_stays_taken(store: &StoreUnderTest) {
    let session = store.session(&[("a", "1"), ("code", "secret")]).await;
    let late = session.changing([("a", set("2"))]);
    session.take(&session.taking("code")).await;
    session.done(&late).await;
    session.done(&session.touch()).await;
    session.holds(&[("a", "2")]).await;
    assert_eq!(
        session.take(&session.taking("code")).await,
        Taken::Done(None)
    );
}

fn obtained(value: &str) -> Taken {
    Taken::Done(Some(value.into()))
}
