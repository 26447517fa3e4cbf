//! A store without copies passes trivially.

use super::StoreUnderTest;
use super::fixture::{Session, set};
use crate::store::Wanted;

/// Otherwise, a page shows the cart as it was, and a logged-out user still sees their page.
pub async fn a_copy_misses_nothing_that_was_answered(store: &StoreUnderTest) {
    let clause = store.advised(
        "a copy must not outlive a write of this process: forget it before the write is answered, and \
         keep nothing that was loaded before",
    );
    let session = clause.session(&[("a", "1")]).await;
    is_near_as_stored(&session).await;
    session.done(&session.changing([("a", set("2"))])).await;
    is_near_as_stored(&session).await;
    let (update, renewed) = session.login();
    session.done(&update).await;
    is_near_as_stored(&renewed).await;
    session.delete().await;
    is_near_as_stored(&session).await;
}

/// Otherwise, a field looks absent because another session type or call did not want it before.
pub async fn a_copy_has_the_wanted_fields(store: &StoreUnderTest) {
    let clause = store.advised("a copy must have all wanted fields: remember which it has");
    let session = clause.session(&[("a", "1"), ("b", "2")]).await;
    let some = Wanted::Fields(["a".into()].into());
    session.load_some(&some).await;
    for wanted in [
        &some,
        &Wanted::Fields(["a".into(), "b".into()].into()),
        &Wanted::All,
    ] {
        let Some(copy) = session.store.near(session.key, wanted) else {
            continue;
        };
        let is_wanted = |name: &str| match wanted {
            Wanted::All => true,
            Wanted::Fields(names) => names.iter().any(|wanted| *wanted == *name),
        };
        let lacks = ["a", "b"].into_iter();
        let lacks: Vec<_> = lacks
            .filter(|name: &&str| is_wanted(name) && copy.fields.get(name).is_none())
            .collect();
        session.require(lacks.is_empty(), format_args!("a copy lacks {lacks:?}"));
    }
}

async fn is_near_as_stored(session: &Session) {
    let before = session.store.near(session.key, &Wanted::All);
    let stored = session.load().await;
    let after = session.store.near(session.key, &Wanted::All);
    for copy in [before, after].into_iter().flatten() {
        let is_stored = stored.as_ref().is_some_and(|stored| {
            stored.fields == copy.fields && stored.metadata.pack() == copy.metadata.pack()
        });
        session.require(is_stored, "a copy shows what was before a write");
    }
}
