//! What happened to sessions, for logs, alerts and metrics.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tracing::{debug, error, info, warn};

use crate::error::Error;
use crate::store::Key;
use crate::token::SessionId;

/// Something that happened to a session. You can log it: it holds no token, no data and nothing that a client
/// sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// The name of the session type.
    pub session_type: &'static str,
    /// The session's public handle, if known.
    pub id: Option<SessionId>,
    /// What happened.
    pub kind: EventKind,
    /// Why; `None` if the kind says it all.
    pub reason: Option<Reason>,
}

/// What happened to a session.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// A transaction conflicted with another request. It is tried again.
    Conflict,
    /// A session began; with [`Reason::Login`], somebody is logged in.
    Created,
    /// A session ended: nothing is stored under its id. Expiry is no event.
    Ended,
    /// A request was refused.
    Refused,
    /// The session has a new token.
    Rotated,
    /// A request brought a token that no longer opens its session, or never did.
    StaleToken,
    /// The store failed. With [`Reason::UnknownOutcome`], the call may have taken effect.
    StoreError,
}

/// Why it happened.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// Cookies of several sessions, or more than a browser sends.
    AmbiguousCookies,
    /// A logout whose cookies do not say which session to end.
    AmbiguousLogout,
    /// All sessions of the user were ended during the login.
    EndedEverywhere,
    /// Its user changed, to somebody else or nobody.
    IdentityChanged,
    /// Somebody logged in.
    Login,
    /// A logout.
    Logout,
    /// The user has as many sessions as `max_sessions` allows.
    MaxSessions,
    /// Nobody issued that token.
    NeverIssued,
    /// It is not among its user's sessions: all were ended, or the store lost the list.
    NotListed,
    /// The request may come from another site.
    OtherSite,
    /// Its parent session has ended.
    ParentEnded,
    /// A login began another session instead. For a stale token: another token has replaced it.
    Replaced,
    /// The request asked for a new token.
    Requested,
    /// It was ended through the list of its user's sessions.
    Revoked,
    /// Nobody knows whether it was done.
    UnknownOutcome,
}

impl EventKind {
    /// Its snake-case name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Created => "created",
            Self::Ended => "ended",
            Self::Refused => "refused",
            Self::Rotated => "rotated",
            Self::StaleToken => "stale_token",
            Self::StoreError => "store_error",
        }
    }
}

impl Reason {
    /// Its snake-case name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AmbiguousCookies => "ambiguous_cookies",
            Self::AmbiguousLogout => "ambiguous_logout",
            Self::EndedEverywhere => "ended_everywhere",
            Self::IdentityChanged => "identity_changed",
            Self::Login => "login",
            Self::Logout => "logout",
            Self::MaxSessions => "max_sessions",
            Self::NeverIssued => "never_issued",
            Self::NotListed => "not_listed",
            Self::OtherSite => "other_site",
            Self::ParentEnded => "parent_ended",
            Self::Replaced => "replaced",
            Self::Requested => "requested",
            Self::Revoked => "revoked",
            Self::UnknownOutcome => "unknown_outcome",
        }
    }
}

impl Event {
    const fn text(&self) -> &'static str {
        match (self.kind, self.reason) {
            (EventKind::Conflict, _) => {
                "a transaction conflicted with another request and is tried again"
            }
            (EventKind::Created, _) => "a session began",
            (EventKind::Ended, Some(Reason::NotListed)) => {
                "the session ends, because it is not among its user's sessions: all of them were \
                 ended, or the store lost the list"
            }
            (EventKind::Ended, _) => "a session ended",
            (EventKind::Refused, Some(Reason::AmbiguousCookies)) => {
                "a request brought the cookies of several sessions, or more than a browser sends; it \
                 gets no session"
            }
            (EventKind::Refused, _) => "a request was refused",
            (EventKind::Rotated, _) => "a session has a new token",
            (EventKind::StaleToken, Some(Reason::NeverIssued)) => {
                "a request brought a token with this id that nobody issued"
            }
            (EventKind::StaleToken, _) => {
                "a request brought a token that was replaced long ago: it is replayed, or stolen"
            }
            (EventKind::StoreError, _) => "the store failed",
        }
    }

    pub(crate) fn log(&self) {
        let (text, session, event) = (self.text(), Subject(self), self.kind.name());
        let reason = self.reason.map(Reason::name);
        match (self.kind, self.reason) {
            (EventKind::Refused | EventKind::StaleToken, _)
            | (EventKind::Ended, Some(Reason::NotListed)) => {
                warn!(target: TARGET, %session, event, reason, "{text}");
            }
            (EventKind::StoreError, _) => {
                error!(target: TARGET, %session, event, reason, "{text}");
            }
            (EventKind::Created, None) | (EventKind::Conflict, _) => {
                debug!(target: TARGET, %session, event, reason, "{text}");
            }
            (EventKind::Created | EventKind::Ended | EventKind::Rotated, _) => {
                info!(target: TARGET, %session, event, reason, "{text}");
            }
        }
    }

    pub(crate) fn count(&self) {
        #[cfg(feature = "metrics")]
        metrics::counter!(
            EVENTS,
            "session" => self.session_type,
            "event" => self.kind.name(),
            "reason" => self.reason.map_or("", Reason::name),
        )
        .increment(1);
    }
}

/// The log target of all events.
pub const TARGET: &str = "rocket_typed_session";

/// The counter of events.
#[cfg(feature = "metrics")]
pub const EVENTS: &str = "session_events_total";

/// The histogram of store calls, in seconds.
#[cfg(feature = "metrics")]
pub const STORE_SECONDS: &str = "session_store_seconds";

/// The counter of loads that a copy in this process answered.
#[cfg(feature = "metrics")]
pub const NEAR: &str = "session_near_total";

/// Describes all metrics to the recorder.
#[cfg(feature = "metrics")]
pub fn describe_metrics() {
    metrics::describe_counter!(EVENTS, "What happened to sessions, and why.");
    metrics::describe_counter!(NEAR, "Sessions that were read from a copy in the process.");
    let unit = metrics::Unit::Seconds;
    metrics::describe_histogram!(
        STORE_SECONDS,
        unit,
        "How long calls of the session store took."
    );
}

struct Subject<'e>(&'e Event);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.id {
            Some(id) => Key::new(self.0.session_type, id).fmt(f),
            None => f.write_str(self.0.session_type),
        }
    }
}

impl Error {
    /// The event that this error is, if any.
    #[must_use]
    pub fn event(&self) -> Option<(EventKind, Option<Reason>)> {
        let refused = |reason| Some((EventKind::Refused, Some(reason)));
        if self.is_login_ended() {
            refused(Reason::EndedEverywhere)
        } else if self.is_parent_replaced() {
            refused(Reason::Replaced)
        } else if self.is_refused() {
            refused(Reason::AmbiguousLogout)
        } else if self.is_full() {
            refused(Reason::MaxSessions)
        } else if self.is_csrf() {
            refused(Reason::OtherSite)
        } else if self.is_unknown() {
            Some((EventKind::StoreError, Some(Reason::UnknownOutcome)))
        } else if self.is_store() {
            Some((EventKind::StoreError, None))
        } else {
            None
        }
    }
}

/// The application's callback for events.
#[derive(Clone, Default)]
pub struct Hook(Option<Arc<Call>>);

type Call = dyn Fn(&Event) + Send + Sync;

impl Hook {
    /// Calls this function with each event.
    #[must_use]
    pub fn new(hook: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    /// Only logs a panic, because sessions do not depend on the hook.
    pub(crate) fn call(&self, event: &Event) {
        let Some(hook) = &self.0 else {
            return;
        };
        if catch_unwind(AssertUnwindSafe(|| hook(event))).is_err() {
            error!("session type {}: `on_event` panicked", event.session_type);
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_a_reason_of_its_own() {
        let errors = [
            Error::csrf("from elsewhere"),
            Error::full(),
            Error::login_ended(),
            Error::parent_replaced(),
            Error::refused(),
        ];
        let reasons = errors.iter().map(|error| error.event().unwrap());
        let expected = [
            Reason::OtherSite,
            Reason::MaxSessions,
            Reason::EndedEverywhere,
            Reason::Replaced,
            Reason::AmbiguousLogout,
        ];
        let expected = expected.map(|reason| (EventKind::Refused, Some(reason)));
        assert_eq!(reasons.collect::<Vec<_>>(), expected);
    }
}
