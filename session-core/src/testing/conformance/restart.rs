//! A store without a way to [reopen](StoreUnderTest::reopen) it passes these clauses trivially.

use super::StoreUnderTest;
use super::fixture::{Session, readable, set};

pub(super) const ADVICE: &str = "what a call has answered must still hold after a restart: write it to the \
                                 storage before you answer";

/// Otherwise, a deploy logs everybody out.
pub async fn a_session_outlives_a_restart(store: &StoreUnderTest) {
    let session = store.advised(ADVICE).session(&[("a", "1")]).await;
    session.done(&session.changing([("b", set("2"))])).await;
    let held = async |session: &Session| {
        let record = session.record().await;
        let metadata = record.metadata.pack().escape_ascii().to_string();
        format!("{metadata} {:?}", readable(&record.fields))
    };
    let before = held(&session).await;
    let Some(session) = restarted(store, session).await else {
        return;
    };
    let after = held(&session).await;
    session.require(
        after == before,
        format_args!("{before} was stored, and {after} is there after a restart"),
    );
}

/// Otherwise, a restart undoes a logout.
pub async fn an_end_outlives_a_restart(store: &StoreUnderTest) {
    let session = store.advised(ADVICE).session(&[("a", "1")]).await;
    session.delete().await;
    if let Some(session) = restarted(store, session).await {
        session.is_absent().await;
    }
}

async fn restarted(under_test: &StoreUnderTest, session: Session) -> Option<Session> {
    let store = under_test.reopened().await?;
    Some(Session { store, ..session })
}
