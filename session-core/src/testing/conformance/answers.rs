use std::time::{Duration, Instant};

use super::StoreUnderTest;
use super::fixture::{add, at_once};
use crate::store::{Updated, Wanted};

const CROWD: usize = 200;

/// The machine runs other tests, too.
const SLACK: Duration = Duration::from_millis(500);

/// Otherwise, the browser gets nothing instead of a 503, and the requests pile up.
pub async fn every_call_is_answered_in_time_in_a_crowd(store: &StoreUnderTest) {
    let clause = store.advised(
        "every call must answer within timeout(), if need be with an error, even when 200 come at once: \
         include waiting for a lock or a connection, and do not serve calls one after another",
    );
    let session = clause.session(&[("n", "0")]).await;
    let elapsed = at_once(CROWD, |number| {
        let session = session.clone();
        async move {
            let (store, key) = (&session.store, session.key);
            let update = session.changing([("n", add(1))]);
            let start = Instant::now();
            // An error is an answer.
            match number % 4 {
                0 => drop(store.load(key, &Wanted::All).await),
                _ => match store.update(key, &update).await {
                    Ok(Updated::Done(_)) | Err(_) => {}
                    Ok(refused) => {
                        session.require(false, format_args!("an update answers {refused:?}"));
                    }
                },
            }
            start.elapsed()
        }
    })
    .await;
    let (slowest, timeout) = (elapsed.into_iter().max(), session.store.timeout());
    session.require(
        slowest.is_some_and(|slowest| slowest <= timeout + SLACK),
        format_args!("a call took {slowest:?}, and timeout() is {timeout:?}"),
    );
}
