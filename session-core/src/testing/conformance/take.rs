use super::StoreUnderTest;
use super::fixture::{ANY, MANY, Session, add_within, at_once, set};
use crate::changes::Expired;
use crate::merge::Change;

/// The rest of the session stays, and the update's other changes apply.
pub async fn a_take_answers_the_value_and_removes_it(store: &StoreUnderTest) {
    let clause = store.advised(
        "Take must remove the field and answer the value that it had, under the field's name in \
         Updated::Done: use Changes::apply",
    );
    let session = clause
        .session(&[("a", "1"), ("code", "secret"), ("n", "4")])
        .await;
    obtains(&session, &[], Some("secret")).await;
    session.holds(&[("a", "1"), ("n", "4")]).await;
    session.is_described_by(&session.created).await;
    obtains(&session, &[], None).await;
    session
        .done(&session.changing([("code", set("new"))]))
        .await;
    let changes = [
        ("code", Change::Take { aliases: &[] }),
        ("b", set("2")),
        ("n", add_within(ANY, 1, 0)),
    ];
    let answer = session.done(&session.changing(changes)).await;
    session.require(
        answer.get("code") == Some(b"new") && answer.get("n") == Some(b"5"),
        format_args!("beside other changes, a take answers {answer:?}"),
    );
    session.holds(&[("a", "1"), ("b", "2"), ("n", "5")]).await;
}

/// A code must not work twice.
pub async fn of_concurrent_takes_one_obtains_the_value(store: &StoreUnderTest) {
    let clause = store.advised(
        "of concurrent takes exactly one gets the value, and all others are Done without one: read \
         and remove in one atomic step",
    );
    let session = clause.session(&[("code", "secret")]).await;
    let taken = at_once(MANY, |_| {
        let session = session.clone();
        async move { session.take("code", &[]).await }
    })
    .await;
    let taken: Vec<_> = taken.into_iter().flatten().collect();
    session.require(
        taken == ["secret"],
        format_args!("{} obtained {taken:?}", taken.len()),
    );
    session.holds(&[]).await;
}

/// Empty is not absent.
pub async fn a_take_of_nothing_is_done_without_a_value(store: &StoreUnderTest) {
    let clause = store.advised(
        "a Take of an absent field must be Done without a value of that name, neither Gone nor an \
         error; an empty value is one",
    );
    let session = clause.session(&[("a", "1"), ("empty", "")]).await;
    obtains(&session, &[], None).await;
    let empty = session.take("empty", &[]).await;
    session.require(
        empty.as_deref() == Some(""),
        "an empty value was not answered",
    );
    session.holds(&[("a", "1")]).await;
}

/// An older build's value under an old name is newer. All names are removed, so nobody gets the other value
/// later.
pub async fn a_take_finds_old_names(store: &StoreUnderTest) {
    let clause = store.advised(
        "Take must look under its aliases first, in their order, then under the name, and remove all \
         of them: use Changes::apply",
    );
    let session = clause
        .session(&[("a", "1"), ("code", "3"), ("old", "2"), ("older", "1")])
        .await;
    obtains(&session, &["oldest", "old", "older"], Some("2")).await;
    session.holds(&[("a", "1")]).await;
    obtains(&session, &["oldest", "old", "older"], None).await;
}

/// Nobody gets an expired code, unless somebody gave it a new deadline.
pub async fn a_take_of_an_expired_field_answers_nothing(store: &StoreUnderTest) {
    let clause = store.advised(
        "a Take of a field that the same update says is expired must be Done without a value: use \
         Changes::apply",
    );
    for (deadline, expected) in [("100", None), ("200", Some(b"1".as_slice()))] {
        let session = clause
            .session(&[("code", "1"), ("@until:code", deadline)])
            .await;
        let mut update = session.changing([("code", Change::Take { aliases: &[] })]);
        let expired = Expired::new("code".into(), "@until:code".into(), b"100".to_vec());
        update.changes.expire(expired);
        let answer = session.done(&update).await;
        session.require(
            answer.get("code") == expected,
            format_args!("found expired at 100 and stored until {deadline}: {answer:?}"),
        );
    }
}

/// A request that read the session before the take, and then writes something else, does not bring the value
/// back.
pub async fn what_was_taken_stays_taken(store: &StoreUnderTest) {
    let clause = store.advised(
        "an update must leave the fields that it does not name as they are stored at that moment, so \
         a taken value stays taken",
    );
    let session = clause.session(&[("a", "1"), ("code", "secret")]).await;
    let late = session.changing([("a", set("2"))]);
    obtains(&session, &[], Some("secret")).await;
    session.done(&late).await;
    session.done(&session.touch()).await;
    session.holds(&[("a", "2")]).await;
    obtains(&session, &[], None).await;
}

async fn obtains(session: &Session, aliases: &'static [&'static str], expected: Option<&str>) {
    let taken = session.take("code", aliases).await;
    session.require(
        taken.as_deref() == expected,
        format_args!("a take should obtain {expected:?}, and obtains {taken:?}"),
    );
}
