//! The decision about what a request commits: one pure function, `plan`, whose tests try all inputs.

use std::sync::Arc;
use std::time::Duration;

use crate::changes::Changes;
use crate::error::Error;
use crate::expiry::Lifetime;
use crate::fields::Fields;
use crate::record::Record;
use crate::store::Key;
use crate::token::{Digests, Token};

/// The session that a request's tokens open.
#[derive(Clone, Debug)]
pub(crate) enum Loaded {
    Live(Live),
    None(NoSession),
}

/// A living session.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) token: Token,
    pub(crate) key: Key,
    /// What the store holds, as far as this request knows.
    pub(crate) record: Arc<Record>,
    /// The encrypted fields as stored at the load. Those missing from `record` do not open.
    pub(crate) sealed: Fields,
    /// Whether somebody is logged in.
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

/// A session that a request may end; with a `login`, only while the session still belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) key: Key,
    pub(crate) login: Option<Digests>,
    /// The loaded record; `None` if its user is known otherwise.
    pub(crate) record: Option<Arc<Record>>,
}

/// What is known when no token opened a session. The default: there was no token, or no record knows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct NoSession {
    /// The records that the request's tokens may end: those of the same login.
    pub(crate) ends: Vec<End>,
    /// Whether nothing may be stored, unless somebody logs in: a new cookie could overwrite that of a
    /// concurrent login or rotation.
    pub(crate) stores_nothing: bool,
    /// Whether a logout is refused, because nobody knows which session it means. Sessions that it may
    /// mean end nevertheless.
    pub(crate) refuses_end: bool,
    /// The kept fields of the session that this request ended. The next session begins with them.
    pub(crate) kept: Fields,
    /// Whether this request itself ended the session, so it has certainly ended.
    pub(crate) has_ended: bool,
}

impl NoSession {
    /// A session that is over for this request.
    pub(crate) fn over(end: End) -> Self {
        Self {
            ends: vec![end],
            stores_nothing: true,
            ..Self::default()
        }
    }

    /// Whether nothing is known.
    pub(crate) fn is_default(&self) -> bool {
        self.ends.is_empty() && !self.stores_nothing && !self.refuses_end
    }

    /// What is known about two tokens that open nothing.
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

    /// The records that this request may end.
    pub(crate) fn ends(&self) -> Vec<End> {
        match self {
            Self::Live(live) => vec![live.end()],
            Self::None(none) => none.ends.clone(),
        }
    }
}

/// How a request changed who is logged in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Identity {
    /// Nobody is logged in afterwards.
    Nobody,
    /// Another user logged in.
    Other,
    /// The same user logged in again.
    Same,
}

/// What a request did to its session but has not committed yet.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    pub(crate) changes: Changes,
    pub(crate) identity: Option<Identity>,
    /// The session's own lifetime, if the request set one.
    pub lifetime: Option<Lifetime>,
    /// Whether the request asked for a new token.
    pub rotate: bool,
    /// Whether the request ended the session.
    pub destroyed: bool,
    /// Whether the handler panicked, or the response is a server error.
    pub(crate) failed: bool,
}

impl Pending {
    /// Adds what the same request did later. After the session has ended, it adds nothing.
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

    /// The same, without the changes to the data.
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

    /// Whether somebody proved who they are.
    pub(crate) fn logs_in(&self) -> bool {
        matches!(self.identity, Some(Identity::Other | Identity::Same))
    }
}

/// What to do in the store, and how the cookie changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Commit {
    /// Store a new session with what this request wrote, and set the cookie. `ends_others`: first end the
    /// sessions that this request may end.
    Begin { ends_others: bool },
    /// End the sessions that this request may end, and remove the cookie.
    End,
    /// Nothing. `drops`: the request's changes are lost, because the session is over for this request.
    Nothing { drops: bool },
    /// Fail: nobody knows which session the request wanted to end.
    Refuse,
    /// Extend the session.
    Touch,
    /// Write to the session, and set the cookie if the token or the lifetime changes. Without `data`,
    /// drop the changes.
    Write { renews: Renews, data: bool },
}

/// Which part of the token an update replaces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Renews {
    /// Both halves: a login.
    Login,
    Nothing,
    /// Only the verifier: a rotation.
    Verifier,
}

/// Decides what a request commits. The first matching row counts:
///
/// | the request has | and | commit |
/// |---|---|---|
/// | a living session | destroyed it | end it |
/// | a living session | failed, and asked for a new token | write a new verifier, drop the data |
/// | a living session of somebody | changed who is logged in | end it, begin another |
/// | a living session | logged somebody in | write data and a new login |
/// | a living session | asked for a new token | write data and a new verifier |
/// | a living session | changed data or lifetime | write the data |
/// | a living session | did none of these, and a touch is due | touch |
/// | no session, but tokens of some login | destroyed it | end them; fail if it may mean other sessions too |
/// | no session, and nobody knows which it means | destroyed it | refuse |
/// | no session | destroyed it | end nothing, remove the cookie |
/// | no session | logged somebody in | end what its tokens may end, begin |
/// | no session, and its token just changed | changed data | drop it |
/// | no session | changed data | begin |
///
/// In all other cases it does nothing. A failed request drops its data, and a login with it. It still
/// ends a session and rotates a token, because these are for safety.
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
        /// How long the browser keeps it; `None` until the browser's session ends.
        max_age: Option<Duration>,
    },
}

#[cfg(test)]
mod tests;
