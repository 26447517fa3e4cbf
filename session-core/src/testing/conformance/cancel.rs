//! A browser closes its connection, and the server drops the request.

use std::pin::pin;
use std::task::Poll;

use super::StoreUnderTest;
use super::fixture::{Session, add, of, readable, set};
use crate::record::Record;
use crate::store::Store as _;

/// The most polls before a call is dropped.
const POLLS: usize = 32;

const ADVICE: &str = "a call that is dropped must have done all or nothing, also later, and block \
                      nobody: send what belongs together as one command or transaction, and hold no \
                      lock that a drop does not release";

/// Otherwise, an account is credited and the reason is not stored.
pub async fn a_cancelled_update_is_done_or_not(store: &StoreUnderTest) {
    let clause = store.advised(ADVICE);
    for polls in 0..POLLS {
        let session = clause
            .session(&[("a", "old"), ("b", "old"), ("n", "1")])
            .await;
        let (mut update, renewed) = session.login();
        let changes = [("a", set("new")), ("b", set("new")), ("n", add(1))];
        update.changes = session.changing(changes).changes;
        let is_over = polled(polls, session.store.update(session.key, &update)).await;
        let record = session.record().await;
        let is_done = record.metadata.digests.matches(&renewed.digests);
        let wanted = match is_done {
            true => [("a", "new"), ("b", "new"), ("n", "2")],
            false => [("a", "old"), ("b", "old"), ("n", "1")],
        };
        session.require(
            readable(&record.fields) == readable(&of(&wanted)),
            format_args!("half an update, dropped after {polls} polls"),
        );
        goes_on(&[renewed, session]).await;
        if is_over {
            return;
        }
    }
}

/// Otherwise, a session opens without some of its fields.
pub async fn a_cancelled_create_is_done_or_not(store: &StoreUnderTest) {
    let clause = store.advised(ADVICE);
    for polls in 0..POLLS {
        let session = clause.no_session();
        let fields = [("a", "1"), ("b", "1"), ("c", "1")];
        let record = Record::new(session.created.clone(), of(&fields), session.soon());
        let is_over = polled(polls, session.store.create(session.key, record)).await;
        if let Some(record) = session.load().await {
            session.require(
                readable(&record.fields) == readable(&of(&fields))
                    && record.metadata.pack() == session.created.pack(),
                format_args!("half a session, dropped after {polls} polls"),
            );
        }
        goes_on(&[session]).await;
        if is_over {
            return;
        }
    }
}

/// Otherwise, the rest of a session opens without the fields that restricted it.
pub async fn a_cancelled_delete_is_done_or_not(store: &StoreUnderTest) {
    let clause = store.advised(ADVICE);
    for polls in 0..POLLS {
        let fields = [("a", "1"), ("b", "1"), ("c", "1")];
        let session = clause.session(&fields).await;
        let delete = session.ending();
        let is_over = polled(polls, session.store.delete(session.key, &delete)).await;
        if let Some(record) = session.load().await {
            session.require(
                readable(&record.fields) == readable(&of(&fields)),
                format_args!("half a session, dropped after {polls} polls"),
            );
        }
        goes_on(&[session]).await;
        if is_over {
            return;
        }
    }
}

/// Polls a call at most this many times, then drops it. Returns whether it had finished.
async fn polled(polls: usize, call: impl Future) -> bool {
    let mut call = pin!(call);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left > 0 {
            left -= 1;
            if call.as_mut().poll(context).is_ready() {
                return Poll::Ready(true);
            }
        }
        match left {
            0 => Poll::Ready(false),
            _ => Poll::Pending,
        }
    })
    .await
}

/// Nothing waits for the dropped call.
async fn goes_on(handles: &[Session]) {
    for session in handles {
        session
            .update(&session.changing([("a", set("later"))]))
            .await;
        session.delete().await;
        session.is_absent().await;
    }
}
