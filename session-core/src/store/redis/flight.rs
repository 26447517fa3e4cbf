//! A task that runs once while many wait for it.

use tokio::sync::watch;

use super::error::timed_out;
use crate::error::Error;

/// `None` while it runs.
type Outcome = Option<Result<(), Error>>;

#[derive(Debug, Default)]
pub(super) struct SingleFlight(Option<Flight>);

/// A task of its own, so no request's deadline ends it.
#[derive(Clone, Debug)]
pub(super) struct Flight(watch::Receiver<Outcome>);

impl SingleFlight {
    /// A task whose runtime has ended does not count.
    pub(super) fn under_way(&self) -> Option<Flight> {
        let Flight(outcome) = self.0.as_ref()?;
        outcome
            .has_changed()
            .is_ok()
            .then(|| Flight(outcome.clone()))
    }

    pub(super) fn begin(
        &mut self,
        task: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) -> Flight {
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(async move { sender.send_replace(Some(task.await)) });
        self.0.insert(Flight(receiver)).clone()
    }
}

impl Flight {
    pub(super) async fn end(mut self) -> Result<(), Error> {
        let outcome = self.0.wait_for(Option::is_some).await;
        // No result: the runtime is shutting down.
        let outcome = outcome.map_err(|_| timed_out(false))?.clone();
        outcome.unwrap_or(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Runtime;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn who_comes_meanwhile_waits_for_the_same_task() {
        let mut flight = SingleFlight::default();
        assert!(flight.under_way().is_none());
        let (ended, end) = oneshot::channel();
        let first = flight.begin(async { end.await.map_err(|_| timed_out(false)) });
        let second = flight.under_way().unwrap();
        ended.send(()).unwrap();
        assert!(first.end().await.is_ok() && second.end().await.is_ok());
        let failed = flight.begin(async { Err(timed_out(false)) });
        assert!(failed.end().await.is_err());
    }

    #[tokio::test]
    async fn a_task_whose_runtime_has_ended_keeps_nobody_waiting() {
        let mut flight = SingleFlight::default();
        let runtime = Runtime::new().unwrap();
        let endless = {
            let _inside = runtime.enter();
            flight.begin(std::future::pending())
        };
        assert!(flight.under_way().is_some());
        runtime.shutdown_background();
        assert!(endless.end().await.is_err());
        assert!(flight.under_way().is_none());
    }
}
