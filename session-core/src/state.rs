//! What happened to a session in one request, and what is to be done about it.
//!
//! [`plan`] is pure and small, so that all its inputs can be tried.

/// What a request brought.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "`plan` decides for each of these")]
pub enum Origin {
    /// No session: no token, or one that no living session knows.
    Absent,
    /// The token of a living session.
    Live {
        /// Whether a request that only reads is to extend the session.
        touch_due: bool,
    },
    /// A session that was open and is over for this request: it was ended, or another request
    /// rotated its token.
    Over,
    /// The tokens of several living sessions, none of which is believed.
    Several,
    /// A token that was rotated away long ago.
    Stale,
    /// A token that was rotated away a moment ago: a request that was under way at the same time.
    StaleInGrace,
}

/// What happened to a session in one request. Facts only; what follows from them says [`plan`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "`plan` decides by all of these")]
pub struct State {
    /// What the request brought.
    pub origin: Origin,
    /// Whether the data differs from what was read.
    pub changed: bool,
    /// Whether who is logged in differs from what was read.
    pub identity_changed: bool,
    /// Whether the session got a lifetime of its own.
    pub lifetime_changed: bool,
    /// Whether the application asked for a new token.
    pub rotate: bool,
    /// Whether the application ended the session.
    pub destroyed: bool,
    /// Whether the handler panicked, or the response is a server error.
    pub failed: bool,
}

/// What to do in the store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "whoever acts on it acts on each")]
pub enum Commit {
    /// Store a new session.
    Create,
    /// End the session.
    Delete,
    /// Nothing.
    Nothing,
    /// Nothing, and say so: the request wanted to end a session that it could not open.
    Refuse,
    /// Extend the session.
    Touch,
    /// Write what changed.
    Update {
        /// With a new token.
        rotate: bool,
        /// With the changed data; without, it is dropped.
        write: bool,
    },
}

/// What to do with the cookie, if the commit succeeds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "whoever acts on it acts on each")]
pub enum CookieStep {
    /// Leave it alone.
    Keep,
    /// Remove it.
    Remove,
    /// Set it.
    Set,
}

/// What follows from a [`State`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the whole of a decision")]
pub struct Plan {
    /// What to do in the store.
    pub commit: Commit,
    /// What to do with the cookie.
    pub cookie: CookieStep,
}

impl Plan {
    const NOTHING: Self = Self::new(Commit::Nothing, CookieStep::Keep);

    const fn new(commit: Commit, cookie: CookieStep) -> Self {
        Self { commit, cookie }
    }
}

/// Decides what becomes of a session at the end of a request. The rules, first match first:
///
/// | the request brought | and | store | cookie |
/// |---|---|---|---|
/// | a token rotated a moment ago | destroyed the session | refuse | left alone |
/// | a token rotated a moment ago | whatever else it did | nothing | left alone |
/// | a session that is over for it, or several | destroyed it | delete | removed |
/// | a session that is over for it | whatever else it did | nothing | left alone |
/// | no living session | destroyed it | nothing | removed |
/// | no living session | failed, or changed no data | nothing | left alone |
/// | no living session | changed data | create | set |
/// | a living session | destroyed it | delete | removed |
/// | a living session | failed, and asked for a new token | rotate, drop the data | set |
/// | a living session | did not fail, and changed data, identity, lifetime, or asked for a new token | update | set if the token or the lifetime is new |
/// | a living session | did none of these, and a touch is due | touch | left alone |
/// | a living session | did none of these | nothing | left alone |
///
/// A parallel request with the token of before a login must not set a cookie, or it would overwrite
/// the one that the login has just set: it is anonymous, and what it writes is dropped. Its logout
/// must not pass for done, so it is refused: whoever sends it again sends it with the new cookie.
/// Ending the session and rotating its token are for safety, so a failed request does them too; its
/// data is dropped.
#[must_use]
pub fn plan(state: State) -> Plan {
    match state.origin {
        Origin::Over | Origin::Several if state.destroyed => {
            Plan::new(Commit::Delete, CookieStep::Remove)
        }
        Origin::StaleInGrace if state.destroyed => Plan::new(Commit::Refuse, CookieStep::Keep),
        Origin::Over | Origin::StaleInGrace => Plan::NOTHING,
        Origin::Absent | Origin::Several | Origin::Stale => plan_absent(state),
        Origin::Live { touch_due } => plan_live(state, touch_due),
    }
}

fn plan_absent(state: State) -> Plan {
    if state.destroyed {
        Plan::new(Commit::Nothing, CookieStep::Remove)
    } else if state.failed || !state.changed {
        Plan::NOTHING
    } else {
        Plan::new(Commit::Create, CookieStep::Set)
    }
}

fn plan_live(state: State, touch_due: bool) -> Plan {
    if state.destroyed {
        return Plan::new(Commit::Delete, CookieStep::Remove);
    }
    let write = !state.failed && (state.changed || state.lifetime_changed);
    let rotate = state.rotate || (!state.failed && state.identity_changed);
    if write || rotate {
        let renew = rotate || (write && state.lifetime_changed);
        let cookie = if renew {
            CookieStep::Set
        } else {
            CookieStep::Keep
        };
        Plan::new(Commit::Update { rotate, write }, cookie)
    } else if touch_due {
        Plan::new(Commit::Touch, CookieStep::Keep)
    } else {
        Plan::NOTHING
    }
}

#[cfg(test)]
mod tests;
