use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::StoreUnderTest;
use super::fixture::{MANY, add, at_once, readable, set};
use crate::fields::Name;
use crate::store::Wanted;

const ONE_STEP: &str = "concurrent updates must all be kept: read, apply and write in one atomic \
                        step, or compare and swap, and start again if another was faster";

/// Each request gets a different number, so it can count to draw one.
pub async fn concurrent_counts_lose_none(store: &StoreUnderTest) {
    let clause = store.advised(ONE_STEP);
    let session = clause.session(&[("n", "0")]).await;
    let answers = at_once(MANY, |_| {
        let session = session.clone();
        async move { session.done(&session.changing([("n", add(1))])).await }
    })
    .await;
    session.holds(&[("n", &MANY.to_string())]).await;
    let numbers: BTreeSet<_> = answers.iter().map(|answer| answer.get("n")).collect();
    session.require(
        numbers.len() == MANY,
        format_args!("{MANY} calls counted, and heard {} numbers", numbers.len()),
    );
}

/// In some stores, parallel requests overwrite each other's fields
/// ([spring-session#1213](https://github.com/spring-projects/spring-session/issues/1213),
/// [laravel/framework#18187](https://github.com/laravel/framework/issues/18187)).
pub async fn concurrent_changes_of_different_fields_are_all_kept(store: &StoreUnderTest) {
    let clause = store.advised(ONE_STEP);
    let session = clause.session(&[("kept", "1")]).await;
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
    let count = stored.with_prefix("f").count();
    session.require(
        count == MANY,
        format_args!("{count} of {MANY} fields are kept"),
    );
    session.require(stored.get("kept").is_some(), "what nobody changed is lost");
}

/// Two requests put things into one basket, some of them the same thing.
pub async fn concurrent_entries_are_all_kept(store: &StoreUnderTest) {
    let clause = store.advised(ONE_STEP);
    let session = clause.session(&[("basket:0", "100")]).await;
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
    let stored = session.fields().await;
    let each = MANY / 8;
    let expected = (0..8).map(|number| match number {
        0 => 100 + each,
        _ => each,
    });
    let expected: Vec<_> = expected.map(|number| number.to_string()).collect();
    let values = readable(&stored).into_iter().map(|(_, value)| value);
    let values: Vec<_> = values.collect();
    session.require(
        values == expected,
        format_args!("the entries should be {expected:?}, and are {values:?}"),
    );
}

/// A reader never sees a mix of two requests.
pub async fn no_reader_sees_half_an_update(store: &StoreUnderTest) {
    let clause = store.advised(
        "a load must never see a part of an update: write all of it in one atomic step, and read all \
         of it in one",
    );
    let session = clause.session(&[("a", "start"), ("b", "start")]).await;
    let over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = [Wanted::All, Wanted::Fields(["a".into(), "b".into()].into())]
        .into_iter()
        .map(|wanted| {
            let (session, over) = (session.clone(), Arc::clone(&over));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let record = session.load_some(&wanted).await;
                    let fields = record.map(|record| record.fields.clone());
                    let fields = fields.unwrap_or_default();
                    session.require(
                        fields.get("a").is_some() && fields.get("a") == fields.get("b"),
                        format_args!("a mix of two updates: {:?}", readable(&fields)),
                    );
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
                let both = [("a", set(&value)), ("b", set(&value))];
                session.done(&session.changing(both)).await;
            }
        }
    })
    .await;
    over.store(true, Ordering::Relaxed);
    for reader in readers {
        if let Err(error) = reader.await {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    let stored = session.fields().await;
    session.require(
        stored.get("a") == stored.get("b"),
        "what is stored at last is a mix of two updates",
    );
}
