//! Updates that end a session, so that another user's can begin.

use super::StoreUnderTest;
use super::fixture::{add, at_once, expecting, set};
use crate::clock::Timestamp;
use crate::store::{Update, Updated};

const ENDS: &str = "an update with `ends` must remove the session and answer all its fields, in the \
                    same atomic step as its checks: use Update::apply_to, and remove the record if it \
                    is over afterwards";

/// The next user's session keeps what is stored when the old one ends.
pub async fn an_update_that_ends_answers_all_and_ends(store: &StoreUnderTest) {
    let session = store
        .advised(ENDS)
        .session(&[("a", "1"), ("b:x", "2")])
        .await;
    session
        .done(&session.changing([("theme", set("dark"))]))
        .await;
    let answer = session.done(&ending(&session.touch())).await;
    let answer = super::fixture::readable(&answer).len();
    session.require(
        answer == 3,
        format_args!("three fields were stored, and {answer} are answered"),
    );
    session.is_absent().await;
    session.gone(&session.touch()).await;
    session.gone(&ending(&session.touch())).await;
    let next = session.of_the_same_id();
    next.begin(&[("c", "1")]).await;
    next.holds(&[("c", "1")]).await;
}

/// An ending update checks what every update checks. If it is refused, it changes nothing.
pub async fn an_update_that_ends_may_be_refused(store: &StoreUnderTest) {
    let session = store.advised(ENDS).session(&[("a", "1")]).await;
    let (rotation, renewed) = session.rotation();
    session.done(&rotation).await;
    session.gone(&ending(&session.touch())).await;
    let conflict = Update {
        expected: Some(expecting(&[("a", Some("2"))])),
        ..ending(&renewed.touch())
    };
    renewed.refused(&conflict, Updated::Conflict).await;
    let late = Update {
        not_after: Timestamp::default(),
        ..ending(&renewed.touch())
    };
    let updated = renewed.update(&late).await;
    renewed.require(
        matches!(updated, Updated::Late(_)),
        format_args!("an update that ends, and comes late, answers {updated:?}"),
    );
    renewed.holds(&[("a", "1")]).await;
}

/// Nothing is done after it.
pub async fn an_end_answers_what_was_done_before_it(store: &StoreUnderTest) {
    const COUNTS: usize = 16;
    let clause = store.advised(ENDS);
    for which in 0..COUNTS {
        let session = clause.session(&[("count", "0")]).await;
        let counted = at_once(COUNTS, |number| {
            let session = session.clone();
            async move {
                let update = match number == which {
                    true => ending(&session.touch()),
                    false => session.changing([("count", add(1))]),
                };
                match session.update(&update).await {
                    Updated::Done(answer) if update.ends => {
                        let count = answer.get("count").map(<[u8]>::to_vec);
                        Some(count.unwrap_or_default())
                    }
                    Updated::Done(_) => Some(Vec::new()),
                    _ => None,
                }
            }
        })
        .await;
        let done = counted.iter().flatten().filter(|answer| answer.is_empty());
        let done = done.count().to_string();
        let answered = counted[which].clone().unwrap_or_default();
        session.require(
            answered == done.as_bytes(),
            format_args!(
                "{done} counts were done, and the end answers {}",
                String::from_utf8_lossy(&answered)
            ),
        );
        session.is_absent().await;
    }
}

fn ending(update: &Update) -> Update {
    Update {
        ends: true,
        touched_at: None,
        ..update.clone()
    }
}
