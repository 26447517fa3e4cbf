//! Every record has a time to live, of which a store knows only that it passes.

use std::time::Duration;

use super::StoreUnderTest;
use super::fixture::{Session, set};
use crate::store::{Created, Taken, Update};

/// A second: a store may count in whole ones.
const SHORT: Duration = Duration::from_secs(1);

/// Longer than that, by as much as rounding up may add.
const PASSED: Duration = Duration::from_millis(2100);

/// A record that nobody asks for any more must not stay for ever, and until something removes it,
/// it is as absent as if it had been (tower-sessions 0.4.3 is a release for this alone).
pub async fn a_session_past_its_time_is_absent(store: &StoreUnderTest) {
    let session = short_session(store).await;
    store.pass(PASSED).await;
    assert!(session.load().await.is_none());
    session.gone(&session.changing([("a", set("2"))])).await;
    session.gone(&session.touch()).await;
    assert_eq!(session.take(&session.taking("a")).await, Taken::Gone);
    session.delete().await;
    assert!(session.load().await.is_none());
}

/// What it was is no obstacle for a new session, and shows in it nowhere.
pub async fn what_follows_a_session_past_its_time_begins_empty(store: &StoreUnderTest) {
    let session = short_session(store).await;
    store.pass(PASSED).await;
    assert_eq!(session.create(&[("b", "1")]).await, Created::Done);
    session.holds(&[("b", "1")]).await;
}

/// What a request writes lives as long as the request says.
pub async fn an_update_extends_the_life(store: &StoreUnderTest) {
    let session = short_session(store).await;
    session.done(&session.changing([("a", set("2"))])).await;
    store.pass(PASSED).await;
    session.holds(&[("a", "2")]).await;
}

/// A request that only reads extends the life, too: who is active is not logged out.
pub async fn a_touch_extends_the_life(store: &StoreUnderTest) {
    let session = short_session(store).await;
    session.done(&session.touch()).await;
    store.pass(PASSED).await;
    session.holds(&[("a", "1")]).await;
}

/// Another request may have given the session a longer life, "remember me", that this one does not
/// know of.
pub async fn no_call_shortens_the_life(store: &StoreUnderTest) {
    let session = store.session(&[("a", "1"), ("code", "1")]).await;
    for update in [
        session.touch(),
        session.changing([("a", set("2"))]),
        session.rotation().0,
    ] {
        let update = Update {
            ttl: SHORT,
            ..update
        };
        session.done(&update).await;
    }
    let rotated = Session {
        epoch: session.epoch + 1,
        ..session
    };
    rotated.take(&rotated.taking("code")).await;
    store.pass(PASSED).await;
    rotated.holds(&[("a", "2")]).await;
}

/// A type may be declared to live longer than a store can count.
pub async fn the_longest_life_is_no_overflow(store: &StoreUnderTest) {
    let session = store.no_session();
    let created = session.create_for(Duration::MAX, &[("a", "1")]).await;
    assert_eq!(created, Created::Done);
    let update = Update {
        ttl: Duration::MAX,
        ..session.changing([("a", set("2"))])
    };
    session.done(&update).await;
    session.done(&session.touch()).await;
    store.pass(PASSED).await;
    session.holds(&[("a", "2")]).await;
}

async fn short_session(store: &StoreUnderTest) -> Session {
    let session = store.no_session();
    let created = session.create_for(SHORT, &[("a", "1")]).await;
    assert_eq!(created, Created::Done);
    session
}
