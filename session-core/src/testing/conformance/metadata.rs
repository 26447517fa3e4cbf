use std::time::Duration;

use super::StoreUnderTest;
use super::fixture::{LONG, START, set};
use crate::expiry::Lifetime;
use crate::record::{Metadata, Record};
use crate::store::{Created, Store as _, Update};

/// A touch changes only `touched_at`.
pub async fn a_touch_changes_one_time_only(store: &StoreUnderTest) {
    let clause = store.advised(
        "an update without changes must set touched_at and change nothing else: use \
         Update::metadata_after",
    );
    let session = clause.session(&[("a", "1")]).await;
    let touched_at = START.plus(Duration::from_millis(123_456));
    let touch = Update {
        touched_at: Some(touched_at),
        ..session.touch()
    };
    session.done(&touch).await;
    let expected = Metadata {
        touched_at,
        ..session.created.clone()
    };
    session.is_described_by(&expected).await;
    session.holds(&[("a", "1")]).await;
}

/// Otherwise, a slow request undoes a faster one's extension and logs out an active user.
pub async fn touched_at_never_moves_backwards(store: &StoreUnderTest) {
    let clause = store.advised(
        "touched_at must be the later of the stored and the update's time; None leaves it: \
         use Update::metadata_after",
    );
    let session = clause.session(&[("a", "1")]).await;
    let after = |seconds| Some(START.plus(Duration::from_secs(seconds)));
    for (touched_at, expected) in [
        (after(60), after(60)),
        (after(30), after(60)),
        (Some(START), after(60)),
        (None, after(60)),
        (after(61), after(61)),
    ] {
        let update = Update {
            touched_at,
            ..session.changing([("a", set("2"))])
        };
        session.done(&update).await;
        let stored = Some(session.metadata().await.touched_at);
        session.require(
            stored == expected,
            format_args!("after {touched_at:?} it should be {expected:?}, and is {stored:?}"),
        );
    }
}

/// "Remember me" gives a session other deadlines, and later updates keep them.
pub async fn deadline_and_lifetime_change_where_they_are_given(store: &StoreUnderTest) {
    let clause = store.advised(
        "absolute_deadline and lifetime must be stored if an update gives them, and stay if it does \
         not: use Update::metadata_after",
    );
    let session = clause.session(&[]).await;
    let deadline = START.plus(LONG * 1000);
    let mut expected = Metadata {
        absolute_deadline: deadline,
        idle_timeout: Some(LONG * 24),
        persistent: Some(true),
        ..session.created.clone()
    };
    let update = Update {
        absolute_deadline: Some(deadline),
        lifetime: Some(Lifetime::new(LONG * 24, LONG * 48).persistent()),
        ..session.touch()
    };
    session.done(&update).await;
    session.is_described_by(&expected).await;
    session.done(&session.changing([("a", set("1"))])).await;
    session.is_described_by(&expected).await;
    let update = Update {
        lifetime: Some(Lifetime::new(LONG, LONG)),
        ..session.touch()
    };
    session.done(&update).await;
    expected.idle_timeout = Some(LONG);
    expected.persistent = Some(false);
    session.is_described_by(&expected).await;
}

/// A login starts a new absolute lifetime, but must not undo a longer one from another request.
pub async fn only_a_lifetime_moves_the_deadline_backwards(store: &StoreUnderTest) {
    let clause = store.advised(
        "an absolute_deadline without a lifetime must not replace a later one: use \
         Update::metadata_after",
    );
    let session = clause.session(&[]).await;
    let lifetime = Some(Lifetime::new(LONG, LONG));
    for (hours, lifetime, expected) in [
        (9, None, 9),
        (5, None, 9),
        (12, lifetime, 12),
        (7, None, 12),
        (3, lifetime, 3),
        (2, None, 3),
    ] {
        let update = Update {
            absolute_deadline: Some(START.plus(LONG * hours)),
            lifetime,
            ..session.touch()
        };
        session.done(&update).await;
        let stored = session.metadata().await.absolute_deadline.since(START);
        session.require(
            stored == LONG * expected,
            format_args!("after {hours} hours it should be {expected}, and is {stored:?}"),
        );
    }
}

/// While two versions of this library run, the older one must not cut off what the later one appended.
pub async fn metadata_of_a_later_version_are_kept(store: &StoreUnderTest) {
    let clause = store.advised(
        "metadata must be kept as Metadata::pack writes them, with the version that wrote them and \
         what a later one appended: pack what was unpacked, do not rebuild it",
    );
    let mut session = clause.no_session();
    let mut packed = session.created.pack();
    packed[0] = 7;
    packed.extend(b"of version 7");
    session.created = Metadata::unpack(&packed).expect("a later version's metadata");
    let record = Record::new(
        session.created.clone(),
        super::fixture::of(&[]),
        session.soon(),
    );
    let created = session.store.create(session.key, record).await;
    session.require(
        created.is_ok_and(|created| created == Created::Done),
        "a create with longer metadata was not done",
    );
    session.is_described_by(&session.created).await;
    session.done(&session.changing([("a", set("1"))])).await;
    let touched_at = START.plus(Duration::from_secs(60));
    let update = Update {
        touched_at: Some(touched_at),
        absolute_deadline: Some(START.plus(LONG * 9)),
        lifetime: Some(Lifetime::new(LONG, LONG)),
        ..session.touch()
    };
    session.done(&update).await;
    let (login, renewed) = session.login();
    session.done(&login).await;
    let expected = login.metadata_after(&update.metadata_after(&session.created));
    renewed.is_described_by(&expected).await;
    let kept = renewed.metadata().await.pack();
    session.require(
        kept[0] == 7 && kept.ends_with(b"of version 7"),
        "what a later version appended is lost",
    );
}
