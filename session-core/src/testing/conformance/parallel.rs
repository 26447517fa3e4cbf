//! Many requests of one browser at once, as every page makes them: none loses what another wrote.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::StoreUnderTest;
use super::fixture::{MANY, add, at_once, readable, set};
use crate::record::Name;
use crate::store::Wanted;

/// Every one counts, and each hears another number.
pub async fn concurrent_counts_lose_none(store: &StoreUnderTest) {
    let session = store.session(&[("n", "0")]).await;
    let answers = at_once(MANY, |_| {
        let session = session.clone();
        async move { session.done(&session.changing([("n", add(1))])).await }
    })
    .await;
    session.holds(&[("n", &MANY.to_string())]).await;
    let numbers: BTreeSet<_> = answers.iter().map(|answer| answer.get("n")).collect();
    assert_eq!(numbers.len(), MANY, "each call hears a number of its own");
}

/// Nobody's field is another's to overwrite
/// ([spring-session#1213](https://github.com/spring-projects/spring-session/issues/1213),
/// [laravel/framework#18187](https://github.com/laravel/framework/issues/18187)).
pub async fn concurrent_changes_of_different_fields_are_all_kept(store: &StoreUnderTest) {
    let session = store.session(&[("kept", "1")]).await;
    at_once(MANY, |number| {
        let session = session.clone();
        async move {
            let name = Name::from(format!("f{number}"));
            session
                .done(&session.changing_names([(name, set("1"))]))
                .await;
        }
    })
    .await;
    let stored = session.fields().await;
    assert_eq!(stored.with_prefix("f").count(), MANY);
    assert_eq!(stored.get("kept"), Some(b"1".as_slice()));
}

/// The entries of a map are fields of their own: two requests put things into one basket, some of
/// them the same thing.
pub async fn concurrent_entries_are_all_kept(store: &StoreUnderTest) {
    let session = store.session(&[("basket:0", "100")]).await;
    at_once(MANY, |number| {
        let session = session.clone();
        async move {
            let entry = Name::from(format!("basket:{}", number % 8));
            session
                .done(&session.changing_names([(entry, add(1))]))
                .await;
        }
    })
    .await;
    let each = MANY / 8;
    let stored = session.fields().await;
    for (name, value) in readable(&stored) {
        let expected = if name == "basket:0" { 100 + each } else { each };
        assert_eq!(value, expected.to_string(), "{name}");
    }
    assert_eq!(stored.iter().count(), 8);
}

/// What is written together is read together: a group of fields never is a mix of two requests.
pub async fn no_reader_sees_half_an_update(store: &StoreUnderTest) {
    let session = store.session(&[("a", "start"), ("b", "start")]).await;
    let over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = [Wanted::All, Wanted::Fields(vec!["a".into(), "b".into()])]
        .into_iter()
        .map(|wanted| {
            let (session, over) = (session.clone(), Arc::clone(&over));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let record = session.store.load(session.key, &wanted).await;
                    let record = record.expect("load").expect("the session is stored");
                    let (a, b) = (record.fields.get("a"), record.fields.get("b"));
                    assert_eq!(a, b, "a mix of two updates is read");
                    assert!(a.is_some());
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    at_once(16, |number| {
        let session = session.clone();
        async move {
            for round in 0..8 {
                let value = format!("{number}.{round}");
                session
                    .done(&session.changing([("a", set(&value)), ("b", set(&value))]))
                    .await;
            }
        }
    })
    .await;
    over.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.expect("no mix is read");
    }
    let stored = session.fields().await;
    assert_eq!(stored.get("a"), stored.get("b"));
}
