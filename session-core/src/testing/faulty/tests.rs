use super::*;
use crate::fields::Fields;
use crate::record::Metadata;
use crate::store::memory::MemoryStore;
use crate::token::Token;

const FAR: Timestamp = Timestamp::from_millis(u64::MAX);

fn key() -> Key {
    Key::new("faulty", Token::generate().unwrap().id())
}

fn record() -> Record {
    Record::new(Metadata::default(), Fields::new(), FAR)
}

#[tokio::test]
async fn the_nth_call_fails_before_or_after_it_is_done() {
    let store = FaultyStore::new(MemoryStore::new());
    let (first, second, third) = (key(), key(), key());
    store.on(Verb::Create, 1, Fault::Fail(Moment::Before));
    store.on(Verb::Create, 3, Fault::Fail(Moment::After));
    let refused = store.create(first, record()).await.unwrap_err();
    assert!(refused.is_store() && !refused.is_unknown());
    assert!(store.load(first, &Wanted::All).await.unwrap().is_none());
    store.create(second, record()).await.unwrap();
    let lost = store.create(third, record()).await.unwrap_err();
    assert!(lost.is_unknown());
    assert!(store.load(third, &Wanted::All).await.unwrap().is_some());
    store.create(third, record()).await.unwrap();
    let calls = store.calls();
    let calls: Vec<_> = calls.iter().map(|call| (call.verb, call.key)).collect();
    assert_eq!(
        calls,
        [
            (Verb::Create, first),
            (Verb::Load, first),
            (Verb::Create, second),
            (Verb::Create, third),
            (Verb::Load, third),
            (Verb::Create, third),
        ]
    );
}

#[tokio::test]
async fn a_call_waits_before_or_after_it_is_done() {
    let store = Arc::new(FaultyStore::new(MemoryStore::new()));
    for (moment, is_done) in [(Moment::Before, false), (Moment::After, true)] {
        let key = key();
        let pause = store.pause(Verb::Create, 1, moment);
        let request = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.create(key, record()).await }
        });
        pause.reached().await;
        let loaded = store.load(key, &Wanted::All).await.unwrap();
        assert_eq!(loaded.is_some(), is_done);
        assert!(!request.is_finished());
        pause.resume();
        assert_eq!(request.await.unwrap().unwrap(), Created::Done);
    }
}

#[tokio::test]
async fn a_test_that_gives_up_leaves_nobody_waiting() {
    let store = FaultyStore::new(MemoryStore::new());
    drop(store.pause(Verb::Delete, 1, Moment::Before));
    store.delete(key(), &Delete::new(None, FAR)).await.unwrap();
}

#[tokio::test]
async fn a_lost_call_is_not_done_and_nobody_knows() {
    let store = FaultyStore::new(MemoryStore::new());
    let key = key();
    store.on(Verb::Create, 1, Fault::Lose);
    assert!(store.create(key, record()).await.unwrap_err().is_unknown());
    assert!(store.load(key, &Wanted::All).await.unwrap().is_none());
}

#[tokio::test]
async fn a_call_that_is_held_up_arrives_after_its_caller_heard() {
    let store = FaultyStore::new(MemoryStore::new());
    let (first, second) = (key(), key());
    let held_up = store.hold_up(Verb::Create, 1);
    assert!(
        store
            .create(first, record())
            .await
            .unwrap_err()
            .is_unknown()
    );
    assert!(store.load(first, &Wanted::All).await.unwrap().is_none());
    held_up.arrive().await;
    assert!(store.load(first, &Wanted::All).await.unwrap().is_some());
    drop(store.hold_up(Verb::Create, 1));
    assert!(
        store
            .create(second, record())
            .await
            .unwrap_err()
            .is_unknown()
    );
    assert!(store.load(second, &Wanted::All).await.unwrap().is_none());
}
