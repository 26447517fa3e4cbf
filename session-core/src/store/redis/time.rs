//! The server's time, estimated from below: what it last said, plus what has passed since.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_redis::redis::{FromRedisValue as _, Value};

use crate::clock::{Clock as _, SystemClock, Timestamp};

/// After this long the server is asked again: its clock may be set, ours may drift.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// By so much, one part in so many, this machine's clock may run faster than the server's.
const DRIFT: u64 = 2000;

/// An answer that took longer to arrive says less. By more than this, the server's clock was set back.
const ON_ITS_WAY: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(super) struct ServerTime(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// In microseconds since 1970, and when.
    heard: Option<(u64, Instant)>,
    /// When a call last set out to ask.
    asked: Option<Instant>,
}

impl ServerTime {
    /// The server's time; this machine's before the server has told it.
    pub(super) fn now(&self) -> Timestamp {
        let micros = self.micros();
        micros.map_or_else(
            || SystemClock.now(),
            |micros| Timestamp::from_millis(micros / 1000),
        )
    }

    /// The server's time in microseconds; `None` before the server has told it.
    pub(super) fn micros(&self) -> Option<u64> {
        let (micros, at) = self.with(|state| state.heard)?;
        let elapsed = u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX);
        Some(micros.saturating_add(elapsed - elapsed / DRIFT))
    }

    /// Whether it was ever heard.
    pub(super) fn is_known(&self) -> bool {
        self.with(|state| state.heard.is_some())
    }

    /// Whether to ask for it, and that the caller will: of many at once, one.
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

    /// Records what the server said just now, in microseconds since 1970. Every answer is a bound from
    /// below, and so is what is known, so the higher one counts.
    pub(super) fn heard(&self, micros: u64) {
        let known = self.micros();
        let late = known.map(|known| Duration::from_micros(known.saturating_sub(micros)));
        if late.is_none_or(|late| late.is_zero() || late >= ON_ITS_WAY) {
            self.with(|state| state.heard = Some((micros, Instant::now())));
        }
    }

    /// Records the reply to TIME.
    pub(super) fn heard_reply(&self, reply: Option<Value>) {
        let reply = reply.map(<(u64, u64)>::from_redis_value);
        if let Some(Ok((seconds, micros))) = reply {
            self.heard(seconds * 1_000_000 + micros);
        }
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
        time.heard(100 * SECOND);
        time.heard(100 * SECOND - 40_000);
        assert!(time.micros().unwrap() >= 100 * SECOND);
        time.heard(101 * SECOND);
        assert!(time.micros().unwrap() >= 101 * SECOND);
        time.heard(90 * SECOND);
        assert!(time.micros().unwrap() < 91 * SECOND);
    }
}
