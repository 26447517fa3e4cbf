//! How long a session lives: deadlines computed from a policy and a record's metadata, all pure.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::record::Metadata;

/// How long a session lives, in the store and in the browser.
///
/// Both limits always apply (OWASP ASVS 7.3.1 and 7.3.2): a session ends when it was idle for too
/// long, and at its absolute deadline however busy it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Expiry {
    /// The longest silence allowed between two requests. Default: 30 minutes.
    pub idle_timeout: Duration,
    /// The longest life allowed, counted from the creation of the session and anew from a login.
    /// Default: 12 hours.
    pub absolute_timeout: Duration,
    /// How much of the idle time may pass before a request that only reads extends it. Default: a
    /// tenth of the idle time. Smaller is more exact, larger writes less.
    pub touch_interval: Duration,
    /// Whether the cookie outlives the browser's session. Default: no (NIST SP 800-63B: a session
    /// shall not persist across a restart of the browser).
    pub persistent: bool,
}

impl Expiry {
    /// The two limits, and a touch interval of a tenth of the idle time.
    #[must_use]
    pub fn new(idle_timeout: Duration, absolute_timeout: Duration) -> Self {
        Self {
            idle_timeout,
            absolute_timeout,
            touch_interval: idle_timeout / 10,
            persistent: false,
        }
    }

    /// The same limits with a cookie that outlives the browser's session: "remember me".
    #[must_use]
    pub fn persistent(self) -> Self {
        Self {
            persistent: true,
            ..self
        }
    }

    /// When the session with this metadata ends unless a request extends it.
    #[must_use]
    pub fn expires_at(&self, metadata: &Metadata) -> Timestamp {
        let idle_deadline = metadata.touched_at.plus(self.idle_timeout_of(metadata));
        idle_deadline.min(metadata.absolute_deadline)
    }

    /// Whether the session with this metadata is over. At its deadline it is.
    #[must_use]
    pub fn is_expired(&self, metadata: &Metadata, now: Timestamp) -> bool {
        now >= self.expires_at(metadata)
    }

    /// Whether a request that only reads should extend the idle deadline.
    #[must_use]
    pub fn touch_due(&self, metadata: &Metadata, now: Timestamp) -> bool {
        now.since(metadata.touched_at) >= self.touch_interval_of(metadata)
    }

    /// How long the cookie of the session with this metadata is to live; `None`: as long as the
    /// browser's session. Never longer than the session itself may.
    #[must_use]
    pub fn cookie_max_age(&self, metadata: &Metadata, now: Timestamp) -> Option<Duration> {
        let persistent = metadata.lifetime.persistent.unwrap_or(self.persistent);
        persistent.then(|| metadata.absolute_deadline.since(now))
    }

    fn idle_timeout_of(&self, metadata: &Metadata) -> Duration {
        metadata.lifetime.idle_timeout.unwrap_or(self.idle_timeout)
    }

    /// A session with an idle time of its own is touched at the same fraction of it.
    fn touch_interval_of(&self, metadata: &Metadata) -> Duration {
        let Some(own) = metadata.lifetime.idle_timeout else {
            return self.touch_interval;
        };
        let (touch, idle) = (
            self.touch_interval.as_millis(),
            self.idle_timeout.as_millis(),
        );
        let scaled = own.as_millis().saturating_mul(touch) / idle.max(1);
        Duration::from_millis(u64::try_from(scaled).unwrap_or(u64::MAX)).min(own)
    }
}

impl Default for Expiry {
    fn default() -> Self {
        Self::new(Duration::from_secs(30 * 60), Duration::from_secs(12 * 3600))
    }
}

/// What one session may have of its own instead of its type's [`Expiry`]: "remember me".
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Lifetime {
    /// The longest silence allowed in this session, in whole seconds; `None`: as its type says.
    pub idle_timeout: Option<Duration>,
    /// Whether the cookie outlives the browser's session; `None`: as its type says.
    pub persistent: Option<bool>,
}

impl Lifetime {
    /// The longest idle time of its own that a session can have: 34 years.
    pub(crate) const MAX_IDLE_SECONDS: u32 = (1 << 30) - 1;

    /// What of this policy a session keeps as its own; its idle time in whole seconds, at least one.
    #[must_use]
    pub fn of(expiry: &Expiry) -> Self {
        let seconds = expiry.idle_timeout.as_secs();
        let seconds = seconds.clamp(1, u64::from(Self::MAX_IDLE_SECONDS));
        Self {
            idle_timeout: Some(Duration::from_secs(seconds)),
            persistent: Some(expiry.persistent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_000_000);

    fn metadata(lifetime: Lifetime) -> Metadata {
        Metadata {
            touched_at: START,
            created_at: START,
            absolute_deadline: START.plus(Duration::from_secs(100)),
            lifetime,
            ..Metadata::default()
        }
    }

    fn expiry() -> Expiry {
        Expiry::new(Duration::from_secs(30), Duration::from_secs(100))
    }

    #[test]
    fn ends_at_the_idle_deadline_not_before() {
        let metadata = metadata(Lifetime::default());
        let deadline = START.plus(Duration::from_secs(30));
        let before = Timestamp::from_millis(deadline.as_millis() - 1);
        assert!(!expiry().is_expired(&metadata, before));
        assert!(expiry().is_expired(&metadata, deadline));
    }

    #[test]
    fn activity_never_passes_the_absolute_deadline() {
        let mut metadata = metadata(Lifetime::default());
        metadata.touched_at = START.plus(Duration::from_secs(99));
        assert_eq!(
            expiry().expires_at(&metadata),
            START.plus(Duration::from_secs(100))
        );
    }

    #[test]
    fn a_lifetime_of_its_own_replaces_the_idle_time_and_scales_the_touch() {
        let metadata = metadata(Lifetime {
            idle_timeout: Some(Duration::from_secs(60)),
            persistent: None,
        });
        assert_eq!(
            expiry().expires_at(&metadata),
            START.plus(Duration::from_secs(60))
        );
        assert!(!expiry().touch_due(&metadata, START.plus(Duration::from_millis(5_999))));
        assert!(expiry().touch_due(&metadata, START.plus(Duration::from_secs(6))));
    }

    #[test]
    fn the_longest_durations_saturate() {
        let forever = Expiry::new(Duration::MAX, Duration::MAX);
        for lifetime in [Lifetime::default(), Lifetime::of(&forever)] {
            let metadata = Metadata {
                absolute_deadline: START.plus(Duration::MAX),
                ..metadata(lifetime)
            };
            assert!(!forever.is_expired(&metadata, START));
            assert!(!forever.touch_due(&metadata, START));
        }
    }
}
