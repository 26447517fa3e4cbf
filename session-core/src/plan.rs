//! The decision what a request commits: one pure function, `plan`, whose tests try all inputs.

use std::sync::Arc;
use std::time::Duration;

use crate::changes::Changes;
use crate::error::Error;
use crate::expiry::Lifetime;
use crate::fields::Fields;
use crate::record::Record;
use crate::store::Key;
use crate::token::{Digests, Token};

/// What a request's tokens open.
#[derive(Clone, Debug)]
pub(crate) enum Loaded {
    /// A living session.
    Live(Live),
    /// No session.
    None(NoSession),
}

/// A living session.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) token: Token,
    pub(crate) key: Key,
    /// What the store holds, as far as this request knows.
    pub(crate) record: Arc<Record>,
    /// What the store holds of encrypted fields, as it was loaded. What is not in `record` too does not
    /// open.
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

/// A session that a request may end, as long as it is of this login, if one is named.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) key: Key,
    pub(crate) login: Option<Digests>,
    /// What was loaded of it; `None`: who was logged in to it is known otherwise.
    pub(crate) record: Option<Arc<Record>>,
}

/// What is known where no token opened a session. The default: there was no token, or none that
/// a record knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct NoSession {
    /// The records that the request's tokens may end: those of the same login.
    pub(crate) ends: Vec<End>,
    /// Whether nothing may be stored, unless somebody logs in: its cookie could overwrite that of a
    /// login or a rotation beside it.
    pub(crate) stores_nothing: bool,
    /// Whether a logout is refused, because nobody knows which session it means. What it may mean
    /// ends all the same.
    pub(crate) refuses_end: bool,
    /// What the next session begins with: what was kept of the one that this request ended.
    pub(crate) kept: Fields,
    /// Whether this request itself ended the session, so that it is over for sure.
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

    /// Whether there is nothing to know: no token, or none that a record knows.
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

/// What a request did to who is logged in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Identity {
    /// Nobody is logged in after it.
    Nobody,
    /// Another user logged in.
    Other,
    /// The same user logged in again.
    Same,
}

/// What a request did to its session and did not commit yet.
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
    /// Adds what the same request did later. After the end of a session, nothing is added.
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

    /// The same, without what was done to the data.
    pub(crate) fn without_data(self) -> Self {
        Self {
            rotate: self.rotate,
            destroyed: self.destroyed,
            ..Self::default()
        }
    }

    /// Whether there is nothing to commit.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.lifetime.is_none() && !self.rotate && !self.destroyed
    }

    /// Whether somebody proved who they are.
    pub(crate) fn logs_in(&self) -> bool {
        matches!(self.identity, Some(Identity::Other | Identity::Same))
    }
}

/// What to do in the store, and what happens to the cookie.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Commit {
    /// Store a new session with what this request wrote, and set the cookie. `ends_others`: first
    /// end what this request may end.
    Begin { ends_others: bool },
    /// End what this request may end, and remove the cookie.
    End,
    /// Nothing. `drops`: the request's changes are lost, because its session is over for it.
    Nothing { drops: bool },
    /// Fail: nobody knows which session the request wanted to end.
    Refuse,
    /// Extend the session.
    Touch,
    /// Write to the session, and set the cookie if the token or the lifetime changes. Without
    /// `data`, the changes are dropped.
    Write { renews: Renews, data: bool },
}

/// Which part of the token an update replaces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Renews {
    /// Both halves: a login.
    Login,
    Nothing,
    /// A rotation.
    Verifier,
}

/// Decides what a request commits. The first row that matches counts:
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
/// | no session, but tokens of some login | destroyed it | end them; fail if nobody knows whether these are all that it means |
/// | no session, and nobody knows which it means | destroyed it | refuse |
/// | no session | destroyed it | end nothing: the cookie goes |
/// | no session | logged somebody in | end what its tokens may end, begin |
/// | no session, and its token changed a moment ago | changed data | drop it |
/// | no session | changed data | begin |
///
/// In all other cases it does nothing. A failed request drops its data, a login included. It still
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
        /// How long the browser keeps it; `None`: until the browser's session ends.
        max_age: Option<Duration>,
    },
}

#[cfg(test)]
mod tests;
