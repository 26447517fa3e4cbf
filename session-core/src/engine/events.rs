//! Reports events to the log, the application and metrics.

use tokio::time::Instant;
use tracing::trace;

use super::Engine;
use super::calls::within;
use crate::error::Error;
use crate::event::{Event, EventKind, Reason};
use crate::schema::SessionData;
use crate::store::Key;
use crate::token::SessionId;

impl<T: SessionData> Engine<T> {
    /// Reports an event, in the log too.
    pub(crate) fn tell(&self, kind: EventKind, reason: Option<Reason>, id: Option<SessionId>) {
        Self::event(kind, reason, id).log();
        self.notify(kind, reason, id);
    }

    /// Reports an event to the application and metrics. Another line of the log covers it.
    pub fn notify(&self, kind: EventKind, reason: Option<Reason>, id: Option<SessionId>) {
        let event = Self::event(kind, reason, id);
        event.count();
        self.hook.call(&event);
    }

    fn event(kind: EventKind, reason: Option<Reason>, id: Option<SessionId>) -> Event {
        Event {
            session_type: T::SCHEMA.name(),
            id,
            kind,
            reason,
        }
    }

    pub(super) fn count_near(&self) {
        #[cfg(feature = "metrics")]
        metrics::counter!(crate::event::NEAR, "session" => T::SCHEMA.name()).increment(1);
    }

    /// Calls the store. Does not log an outage: the request does, once per interval.
    pub(super) async fn call<R>(
        &self,
        verb: &'static str,
        subject: impl Into<Option<Key>>,
        deadline: Instant,
        call: impl Future<Output = Result<R, Error>>,
    ) -> Result<R, Error> {
        #[cfg(feature = "metrics")]
        let began = std::time::Instant::now();
        let result = within(deadline, call).await;
        #[cfg(feature = "metrics")]
        metrics::histogram!(
            crate::event::STORE_SECONDS,
            "session" => T::SCHEMA.name(),
            "call" => verb,
            "outcome" => match &result {
                Ok(_) => "ok",
                Err(error) if error.is_unknown() => "unknown",
                Err(_) => "error",
            },
        )
        .record(began.elapsed());
        if let Err(error) = &result {
            trace!("session type {}: {verb}: {error}", T::SCHEMA.name());
            if let Some((kind, reason)) = error.event() {
                let id = subject.into().map(|key| key.id);
                self.notify(kind, reason, id);
            }
        }
        result
    }
}
