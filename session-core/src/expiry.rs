//! How long a session lives.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::record::Metadata;

/// How long a session lives, in the store and in the browser.
///
/// Both limits always apply (OWASP ASVS 7.3.1 and 7.3.2): a session ends after too long a silence, and at its
/// absolute deadline however busy it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Lifetime {
    /// The longest silence allowed between two requests. Default: 30 minutes.
    pub idle_timeout: Duration,
    /// The longest life, from creation and again from each login. Default: 12 hours.
    pub absolute_timeout: Duration,
    /// How much idle time may pass before a request extends it. Default: a tenth of the idle timeout. A
    /// longer interval writes less.
    pub touch_interval: Duration,
    /// Whether the cookie outlives the browser's session. Default: no, as NIST SP 800-63B asks.
    pub persistent: bool,
}

impl Lifetime {
    /// The two limits, with a tenth of the idle timeout as the touch interval.
    #[must_use]
    pub fn new(idle_timeout: Duration, absolute_timeout: Duration) -> Self {
        Self {
            idle_timeout,
            absolute_timeout,
            touch_interval: idle_timeout / 10,
            persistent: false,
        }
    }

    /// The same limits, with a cookie that outlives the browser's session: "remember me".
    #[must_use]
    pub fn persistent(self) -> Self {
        Self {
            persistent: true,
            ..self
        }
    }

    /// When the session ends if no request extends it.
    #[must_use]
    pub fn expires_at(&self, metadata: &Metadata) -> Timestamp {
        let idle_timeout = metadata.idle_timeout.unwrap_or(self.idle_timeout);
        let idle_deadline = metadata.touched_at.plus(idle_timeout);
        idle_deadline.min(metadata.absolute_deadline)
    }

    #[must_use]
    pub(crate) fn is_expired(&self, metadata: &Metadata, now: Timestamp) -> bool {
        now >= self.expires_at(metadata)
    }

    /// Whether a request should extend the idle deadline. A session's own idle timeout scales the interval.
    #[must_use]
    pub fn touch_due(&self, metadata: &Metadata, now: Timestamp) -> bool {
        let interval = metadata.idle_timeout.map_or(self.touch_interval, |own| {
            let declared = self.idle_timeout.as_millis().max(1);
            let scaled = own
                .as_millis()
                .saturating_mul(self.touch_interval.as_millis())
                / declared;
            Duration::from_millis(u64::try_from(scaled).unwrap_or(u64::MAX)).min(own)
        });
        now.since(metadata.touched_at) >= interval
    }

    /// Until the absolute deadline; `None`: until the browser's session ends.
    #[must_use]
    pub(crate) fn cookie_max_age(&self, metadata: &Metadata, now: Timestamp) -> Option<Duration> {
        let persistent = metadata.persistent.unwrap_or(self.persistent);
        persistent.then(|| metadata.absolute_deadline.since(now))
    }
}

impl Default for Lifetime {
    fn default() -> Self {
        Self::new(Duration::from_secs(30 * 60), Duration::from_secs(12 * 3600))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_000_000);

    fn metadata(idle_timeout: Option<Duration>) -> Metadata {
        Metadata {
            touched_at: START,
            created_at: START,
            absolute_deadline: START.plus(Duration::from_secs(100)),
            idle_timeout,
            ..Metadata::default()
        }
    }

    fn lifetime() -> Lifetime {
        Lifetime::new(Duration::from_secs(30), Duration::from_secs(100))
    }

    #[test]
    fn ends_at_the_idle_deadline_not_before() {
        let metadata = metadata(None);
        let deadline = START.plus(Duration::from_secs(30));
        let before = Timestamp::from_millis(deadline.as_millis() - 1);
        assert!(!lifetime().is_expired(&metadata, before));
        assert!(lifetime().is_expired(&metadata, deadline));
    }

    #[test]
    fn activity_never_passes_the_absolute_deadline() {
        let mut metadata = metadata(None);
        metadata.touched_at = START.plus(Duration::from_secs(99));
        assert_eq!(lifetime().expires_at(&metadata), metadata.absolute_deadline);
    }

    #[test]
    fn a_lifetime_of_its_own_replaces_the_idle_time_and_scales_the_touch() {
        let metadata = metadata(Some(Duration::from_secs(60)));
        assert_eq!(
            lifetime().expires_at(&metadata),
            START.plus(Duration::from_secs(60))
        );
        assert!(!lifetime().touch_due(&metadata, START.plus(Duration::from_millis(5_999))));
        assert!(lifetime().touch_due(&metadata, START.plus(Duration::from_secs(6))));
    }

    #[test]
    fn the_longest_durations_saturate() {
        let forever = Lifetime::new(Duration::MAX, Duration::MAX);
        for own in [None, Some(Duration::MAX)] {
            let metadata = Metadata {
                absolute_deadline: START.plus(Duration::MAX),
                ..metadata(own)
            };
            assert!(!forever.is_expired(&metadata, START));
            assert!(!forever.touch_due(&metadata, START));
        }
    }
}
