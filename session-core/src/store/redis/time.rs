//! The server's time, estimated from below: the last time that it told, plus the time since.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_redis::redis::{FromRedisValue as _, Value};

use crate::clock::{Clock as _, SystemClock, Timestamp};

/// Then ask again: the server's clock may be set, and ours may drift.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// This machine's clock may be faster by one part in this many.
const DRIFT: u64 = 2000;

#[derive(Debug, Default)]
pub(super) struct ServerTime(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// In microseconds since 1970, and when it was heard.
    heard: Option<(u64, Instant)>,
    /// When a call last set out to ask.
    asked: Option<Instant>,
}

impl ServerTime {
    /// Until the server has told it, this machine's.
    pub(super) fn now(&self) -> Timestamp {
        let micros = self.micros();
        micros.map_or_else(
            || SystemClock.now(),
            |micros| Timestamp::from_millis(micros / 1000),
        )
    }

    /// `None` until the server has told it.
    pub(super) fn micros(&self) -> Option<u64> {
        self.known_at(Instant::now())
    }

    fn known_at(&self, at: Instant) -> Option<u64> {
        let (micros, heard_at) = self.with(|state| state.heard)?;
        let micros_of = |passed: Duration| u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
        let since = micros_of(at.saturating_duration_since(heard_at));
        let before = micros_of(heard_at.saturating_duration_since(at));
        let micros = micros.saturating_add(since - since / DRIFT);
        // Going backwards, drift lowers the estimate.
        Some(micros.saturating_sub(before + before / DRIFT))
    }

    pub(super) fn is_known(&self) -> bool {
        self.with(|state| state.heard.is_some())
    }

    /// Of many callers at once, one gets true.
    pub(super) fn is_due(&self) -> bool {
        self.with(|state| {
            let is_old = |at: Instant| at.elapsed() >= TRUSTED_FOR;
            let is_due =
                state.heard.is_none_or(|(_, at)| is_old(at)) && state.asked.is_none_or(is_old);
            if is_due {
                state.asked = Some(Instant::now());
            }
            is_due
        })
    }

    /// Takes the time from the answer to a call sent at `sent_at`. It and the estimate are lower bounds, so
    /// the higher one counts. But if it is less than the estimate for `sent_at`, the clock was set back.
    pub(super) fn heard(&self, micros: u64, sent_at: Instant) {
        let now = Instant::now();
        let is_news = |at| self.known_at(at).is_none_or(|known| micros >= known);
        let was_set_back = self.known_at(sent_at).is_some_and(|known| micros < known);
        if is_news(now) || was_set_back {
            self.with(|state| state.heard = Some((micros, now)));
        }
    }

    pub(super) fn heard_reply(&self, reply: Option<Value>, sent_at: Instant) {
        let reply = reply.map(<(u64, u64)>::from_redis_value);
        if let Some(Ok((seconds, micros))) = reply {
            let micros = seconds.saturating_mul(1_000_000).saturating_add(micros);
            self.heard(micros, sent_at);
        }
    }

    /// The server may be another one.
    pub(super) fn forget(&self) {
        self.with(|state| state.heard = None);
    }

    fn with<R>(&self, what: impl FnOnce(&mut State) -> R) -> R {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_late_answer_takes_nothing_back_and_a_clock_that_is_set_back_does() {
        let time = ServerTime::default();
        assert_eq!(time.micros(), None);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        time.heard(100 * SECOND, long_ago);
        // This may have been told before the other one.
        time.heard(100 * SECOND - 500_000, long_ago);
        assert!(time.micros().unwrap() >= 100 * SECOND);
        time.heard(101 * SECOND, long_ago);
        assert!(time.micros().unwrap() >= 101 * SECOND);
        time.heard(101 * SECOND - 10_000, Instant::now());
        assert!(time.micros().unwrap() < 101 * SECOND);
        time.forget();
        assert_eq!(time.micros(), None);
    }
}
