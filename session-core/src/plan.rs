//! Decides what a request commits, in one pure function.

use std::sync::Arc;
use std::time::Duration;

use crate::changes::Changes;
use crate::error::Error;
use crate::expiry::Lifetime;
use crate::fields::Fields;
use crate::record::Record;
use crate::store::Key;
use crate::token::{Digests, Token};

#[derive(Clone, Debug)]
pub(crate) enum Loaded {
    Live(Live),
    None(NoSession),
}

#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) token: Token,
    pub(crate) key: Key,
    /// What the store holds, as far as this request knows.
    pub(crate) record: Arc<Record>,
    /// As loaded. Those missing from `record` do not open.
    pub(crate) sealed: Fields,
    pub(crate) is_identified: bool,
}

impl Live {
    pub(crate) fn end(&self) -> End {
        End {
            key: self.key,
            login: Some(self.record.metadata.digests),
            record: Some(Arc::clone(&self.record)),
        }
    }
}

/// A session to end; with a `login`, only while it belongs to that login.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) key: Key,
    pub(crate) login: Option<Digests>,
    /// `None` if its user is known otherwise.
    pub(crate) record: Option<Arc<Record>>,
}

/// What is known when no token opened a session.
#[derive(Clone, Debug, Default)]
pub(crate) struct NoSession {
    /// Records of the same login, which the request may end.
    pub(crate) ends: Vec<End>,
    /// Only a login may store: a new cookie could overwrite that of a concurrent login or rotation.
    pub(crate) stores_nothing: bool,
    /// A logout is refused, because nobody knows which session it means. Those in `ends` still end.
    pub(crate) refuses_end: bool,
    /// What the next session begins with.
    pub(crate) kept: Fields,
    /// This request itself ended the session.
    pub(crate) has_ended: bool,
}

impl NoSession {
    pub(crate) fn over(end: End) -> Self {
        Self {
            ends: vec![end],
            stores_nothing: true,
            ..Self::default()
        }
    }

    pub(crate) fn is_default(&self) -> bool {
        self.ends.is_empty() && !self.stores_nothing && !self.refuses_end
    }

    pub(crate) fn and(mut self, other: Self) -> Self {
        self.ends.extend(other.ends);
        self.stores_nothing |= other.stores_nothing;
        self.refuses_end |= other.refuses_end;
        self.has_ended |= other.has_ended;
        self
    }
}

impl Default for Loaded {
    fn default() -> Self {
        Self::None(NoSession::default())
    }
}

impl Loaded {
    pub(crate) fn live(&self) -> Option<&Live> {
        match self {
            Self::Live(live) => Some(live),
            Self::None(_) => None,
        }
    }

    pub(crate) fn ends(&self) -> Vec<End> {
        match self {
            Self::Live(live) => vec![live.end()],
            Self::None(none) => none.ends.clone(),
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Identity {
    Nobody,
    Other,
    /// The same user logged in again.
    Same,
}

/// What a request did but has not committed.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    pub(crate) changes: Changes,
    pub(crate) identity: Option<Identity>,
    /// The session's own lifetime.
    pub lifetime: Option<Lifetime>,
    /// Whether to replace the token.
    pub rotate: bool,
    /// Whether to end the session.
    pub destroyed: bool,
    /// Whether the handler panicked, or the response is a server error.
    pub(crate) failed: bool,
}

impl Pending {
    /// Adds nothing after the session has ended.
    pub(crate) fn merge(&mut self, later: Self) -> Result<(), Error> {
        if self.destroyed {
            return Ok(());
        }
        self.changes.merge(later.changes)?;
        self.identity = match (self.identity, later.identity) {
            // Logging in again does not undo a change of user.
            (Some(Identity::Other), Some(Identity::Same)) => Some(Identity::Other),
            (earlier, later) => later.or(earlier),
        };
        self.lifetime = later.lifetime.or(self.lifetime);
        self.rotate |= later.rotate;
        self.destroyed = later.destroyed;
        Ok(())
    }

    pub(crate) fn without_data(self) -> Self {
        Self {
            rotate: self.rotate,
            destroyed: self.destroyed,
            ..Self::default()
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.lifetime.is_none() && !self.rotate && !self.destroyed
    }

    pub(crate) fn logs_in(&self) -> bool {
        matches!(self.identity, Some(Identity::Other | Identity::Same))
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Commit {
    /// `ends_others`: first end the sessions that the request may end.
    Begin {
        ends_others: bool,
    },
    End,
    /// `drops`: changes are lost.
    Nothing {
        drops: bool,
    },
    /// Nobody knows which session to end.
    Refuse,
    Touch,
    /// Without `data`, drop the changes.
    Write {
        renews: Renews,
        data: bool,
    },
}

/// Which part of the token an update replaces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Renews {
    /// Both halves.
    Login,
    Nothing,
    /// Only the verifier.
    Verifier,
}

/// Decides what a request commits. The first matching row counts:
///
/// | the request has | and | store | cookie |
/// |---|---|---|---|
/// | a living session | destroyed it | delete | removed |
/// | a living session | failed, and asked for a new token | write a new verifier, drop the data | set |
/// | a living session of a user | changed who is logged in | end it, create | set, or removed if nothing is created |
/// | a living session | logged a user in | write data and two new halves | set |
/// | a living session | asked for a new token | write data and a new verifier | set |
/// | a living session | changed data or lifetime | write data | set if the lifetime changed |
/// | a living session | did none of these, and a touch is due | touch | left alone |
/// | no session, but tokens that may end one | destroyed it | delete; 503 if it may mean another one too | removed, unless 503 |
/// | no session, and nobody knows which one it means | destroyed it | refuse: 503 | left alone |
/// | no session | destroyed it | nothing | removed |
/// | no session | logged a user in | delete what its tokens may end, create | set |
/// | no session, and its token changed a moment ago | changed data | drop it | left alone |
/// | no session | changed data | create | set |
///
/// In all other cases it does nothing. A request fails if its handler panics, its response is a 5xx, or a value
/// cannot be stored. It stores no data and logs nobody in.
pub(crate) fn plan(loaded: &Loaded, pending: &Pending, touch_due: bool) -> Commit {
    match loaded {
        Loaded::Live(live) => plan_live(live, pending, touch_due),
        Loaded::None(none) => plan_none(none, pending),
    }
}

pub(crate) fn plan_live(live: &Live, pending: &Pending, touch_due: bool) -> Commit {
    let data = !pending.failed;
    if pending.destroyed {
        return Commit::End;
    }
    match pending.identity.filter(|_| data) {
        Some(Identity::Nobody | Identity::Other) if live.is_identified => {
            return Commit::Begin { ends_others: true };
        }
        Some(Identity::Other | Identity::Same) => {
            let renews = Renews::Login;
            return Commit::Write { renews, data };
        }
        Some(Identity::Nobody) | None => {}
    }
    if pending.rotate {
        let renews = Renews::Verifier;
        Commit::Write { renews, data }
    } else if data && (!pending.changes.is_empty() || pending.lifetime.is_some()) {
        let renews = Renews::Nothing;
        Commit::Write { renews, data }
    } else if touch_due {
        Commit::Touch
    } else {
        Commit::Nothing { drops: false }
    }
}

fn plan_none(none: &NoSession, pending: &Pending) -> Commit {
    if pending.destroyed {
        return match none.refuses_end && none.ends.is_empty() {
            true => Commit::Refuse,
            false => Commit::End,
        };
    }
    if pending.failed {
        Commit::Nothing { drops: false }
    } else if pending.logs_in() {
        Commit::Begin { ends_others: true }
    } else if none.stores_nothing {
        let drops = !pending.is_empty();
        Commit::Nothing { drops }
    } else if pending.changes.is_empty() {
        Commit::Nothing { drops: false }
    } else {
        Commit::Begin { ends_others: false }
    }
}

/// How a response changes the cookie.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_enums, reason = "a caller acts on each")]
pub enum CookieChange {
    /// Leave it alone.
    #[default]
    Keep,
    /// Remove it.
    Remove,
    /// Set it.
    Set {
        /// The token in it.
        token: Token,
        /// `None`: until the browser's session ends.
        max_age: Option<Duration>,
    },
}

#[cfg(test)]
mod tests;
