//! What a request did to its session, on the way to the store and back.

use std::sync::Arc;
use std::time::Duration;

use crate::changes::Changes;
use crate::error::Error;
use crate::expiry::Expiry;
use crate::record::{Fields, Metadata, Record};
use crate::store::{Key, Rotation, Update};
use crate::token::Token;

/// What a token opened.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "every caller decides for each")]
pub enum Opened {
    /// Nothing: there is no token, or none that a living session knows.
    Absent,
    /// A living session.
    Live(Live),
    /// A session that was open and is over for this request: it was ended, or another request
    /// rotated its token.
    Over(Vec<Key>),
    /// Nothing: there are the tokens of several living sessions.
    Several(Vec<Key>),
    /// Nothing: the token was rotated away long ago.
    Stale,
    /// Nothing: the token was rotated away a moment ago.
    StaleInGrace,
}

impl Opened {
    /// The living session.
    #[must_use]
    pub fn live(&self) -> Option<&Live> {
        match self {
            Self::Live(live) => Some(live),
            Self::Absent | Self::Over(_) | Self::Several(_) | Self::Stale | Self::StaleInGrace => {
                None
            }
        }
    }
}

/// A living session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Live {
    /// The token that opens it.
    pub token: Token,
    /// What the store holds, as far as this request knows.
    pub record: Arc<Record>,
}

impl Live {
    pub(crate) fn new(token: Token, record: Record) -> Self {
        let record = Arc::new(record);
        Self { token, record }
    }
}

/// What a request did to a session that is not committed yet.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Pending {
    /// What changed in its data.
    pub changes: Changes,
    /// The lifetime that it got of its own.
    pub lifetime: Option<Expiry>,
    /// Whether a new token was asked for.
    pub rotate: bool,
    /// Whether it was ended.
    pub destroyed: bool,
    /// Whether the handler panicked, or the response is a server error.
    pub failed: bool,
}

impl Pending {
    /// These changes, and nothing else.
    #[must_use]
    pub fn of(changes: Changes) -> Self {
        Self {
            changes,
            ..Self::default()
        }
    }

    /// The same, without what was done to the data.
    #[must_use]
    pub fn without_data(self) -> Self {
        Self {
            changes: Changes::new(),
            lifetime: None,
            ..self
        }
    }

    /// Adds what the same request did later. Nothing comes after the end of a session.
    ///
    /// # Errors
    ///
    /// If a counter would leave its range; nothing is added then.
    pub fn merge(&mut self, later: Self) -> Result<(), Error> {
        if self.destroyed {
            return Ok(());
        }
        self.changes.merge(later.changes)?;
        self.lifetime = later.lifetime.or(self.lifetime);
        self.rotate |= later.rotate;
        self.destroyed = later.destroyed;
        Ok(())
    }

    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.lifetime.is_none() && !self.rotate && !self.destroyed
    }
}

/// A commit that was decided: what the store is to do, once, however often it is sent.
#[derive(Clone, Debug)]
pub struct Prepared(pub(crate) Action);

#[derive(Clone, Debug)]
pub(crate) enum Action {
    Create(Token, Record, Duration),
    Delete(Vec<Key>),
    /// Nothing; whether something was dropped.
    Nothing {
        opened: Opened,
        dropped: bool,
    },
    RemoveCookie,
    Touch(Live, Update),
    Update(Box<UpdateOf>),
}

#[derive(Clone, Debug)]
pub(crate) struct UpdateOf {
    pub(crate) live: Live,
    pub(crate) token: Token,
    pub(crate) update: Update,
    pub(crate) sets_cookie: bool,
}

impl Prepared {
    /// Lays what it will have written over what was read.
    ///
    /// # Errors
    ///
    /// If a counter would leave its range.
    pub fn overlay(&self, fields: &mut Fields) -> Result<(), Error> {
        match &self.0 {
            Action::Create(_, record, _) => *fields = record.fields.clone(),
            Action::Update(of) => drop(of.update.changes.apply(fields)?),
            Action::Delete(_) => *fields = Fields::new(),
            Action::Nothing { .. } | Action::RemoveCookie | Action::Touch(..) => {}
        }
        Ok(())
    }

    /// What of it must be done even for a request that failed: that it ends the session, or changes
    /// its token. Under the same name, so that it is not done again if all of it was done.
    #[must_use]
    pub fn for_safety(self) -> Option<Self> {
        match self.0 {
            Action::Update(mut of) if of.update.rotation.is_some() => {
                let before = of.live.record.metadata;
                of.update = Update {
                    rotation: of.update.rotation.map(|rotation| Rotation {
                        identified: before.identified,
                        ..rotation
                    }),
                    ..Update::touch(
                        of.update.id,
                        before.epoch,
                        of.update.touched_at,
                        of.update.ttl,
                    )
                };
                Some(Self(Action::Update(of)))
            }
            delete @ Action::Delete(_) => Some(Self(delete)),
            Action::Create(..)
            | Action::Nothing { .. }
            | Action::RemoveCookie
            | Action::Touch(..)
            | Action::Update(_) => None,
        }
    }

    /// The metadata of the session after it; `None` where there is none.
    #[must_use]
    pub fn metadata(&self) -> Option<Metadata> {
        match &self.0 {
            Action::Create(_, record, _) => Some(record.metadata),
            Action::Nothing { opened, .. } => opened.live().map(|live| live.record.metadata),
            Action::Touch(live, update) => Some(update.metadata_after(&live.record.metadata)),
            Action::Update(of) => Some(of.update.metadata_after(&of.live.record.metadata)),
            Action::Delete(_) | Action::RemoveCookie => None,
        }
    }
}

/// What a commit left.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Committed {
    /// The session as it is now.
    pub opened: Opened,
    /// What the response is to say about the cookie.
    pub cookie: CookieChange,
    /// The values that those fields have now that merged with what others stored.
    pub merged: Fields,
    /// Whether changes were dropped: another request had ended the session or rotated its token.
    pub gone: bool,
}

impl Committed {
    pub(crate) fn of(opened: Opened) -> Self {
        Self {
            opened,
            cookie: CookieChange::Keep,
            merged: Fields::new(),
            gone: false,
        }
    }
}

/// What a response is to say about the cookie.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_enums, reason = "whoever acts on it acts on each")]
pub enum CookieChange {
    /// Nothing.
    #[default]
    Keep,
    /// That it is to be removed.
    Remove,
    /// That it carries this token.
    Set {
        /// The token.
        token: Token,
        /// For how long; `None`: for as long as the browser's session.
        max_age: Option<Duration>,
    },
}
