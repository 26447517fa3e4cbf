//! What all guards of a request share: the loaded session, its changes, and its commits.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::changes::Changes;
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::Error;
use crate::fields::Fields;
use crate::merge::Change;
use crate::plan::{Commit, CookieChange, Live, Loaded, NoSession, Pending, plan};
use crate::record::{Metadata, Record};
use crate::schema::SessionData;
use crate::token::{SessionId, Token};
use crate::users::{Mark, UserKey};

mod act;
mod changes;
mod commit;
mod csrf;
mod open;
mod parent;
mod view;

pub use csrf::CsrfMask;
pub(crate) use parent::Link;
use parent::Parent;

/// The session of one request. No lock is held while application code runs.
pub struct RequestSession<T: SessionData> {
    engine: Arc<Engine<T>>,
    parent: Option<Arc<dyn Parent>>,
    /// The link for children when the request opened this session.
    opened_as: OnceLock<Option<Link>>,
    /// Whether a slightly old copy in this process will do.
    may_be_near: bool,
    opened_at: Timestamp,
    began_at: Mark,
    opening: OnceCell<Result<(), Error>>,
    /// Counts switches to another session, which must not see earlier data.
    epoch: AtomicU64,
    logins: AtomicU64,
    /// Held during a commit, so no two send the same changes.
    committing: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    loaded: Loaded,
    pending: Pending,
    cookie: CookieChange,
    failure: Option<Error>,
    panicked: bool,
    /// Whether the response has been decided, so no header can be added.
    answered: bool,
    doubt: Option<Doubt>,
    /// Counts hand-overs. `assigned` has each field's last one.
    handed_over: u64,
    assigned: Vec<(String, u64)>,
    label: String,
    /// Users whose sessions this request ended, who may log in again.
    ended: Vec<(UserKey, Mark)>,
}

/// A commit whose outcome is unknown.
#[derive(Clone, Copy)]
struct Doubt {
    /// It may happen until then.
    until: Instant,
    /// Whether the application got an error about it.
    told: bool,
}

/// The tokens in a request's cookies.
#[derive(Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "the caller fills it in")]
pub struct Candidates {
    /// Well-formed, without duplicates.
    pub tokens: Vec<Token>,
    /// Whether there are more cookies than a browser sends, or too many to look up.
    pub tampered: bool,
}

/// The session as a guard starts with it.
#[derive(Debug)]
#[non_exhaustive]
pub struct View<T> {
    /// The data.
    pub data: T,
    /// What the store held at the load.
    pub record: Option<Arc<Record>>,
    /// How many hand-overs there had been.
    pub seen: u64,
    /// The [`epoch`](RequestSession::epoch) then.
    pub epoch: u64,
    /// The [`logins`](RequestSession::logins) then.
    pub logins: u64,
}

/// The result of a commit.
#[derive(Debug)]
#[non_exhaustive]
pub struct Committed {
    /// The new values of merged fields, and taken values.
    pub answer: Fields,
    /// Guards must start over, because a session began or ended.
    pub began: bool,
}

/// What the response must say.
#[derive(Debug)]
#[non_exhaustive]
pub struct Answer {
    /// How the cookie changes, even with an error: the store has done this.
    pub cookie: CookieChange,
    /// Why the response must become an error.
    pub result: Result<(), Error>,
}

impl<T: SessionData> RequestSession<T> {
    /// The session of a request. `answered`: the response was decided without it.
    #[must_use]
    pub fn new(engine: Arc<Engine<T>>, answered: bool) -> Self {
        Self {
            opened_at: engine.now(),
            began_at: engine.present(),
            engine,
            may_be_near: false,
            parent: None,
            opened_as: OnceLock::new(),
            opening: OnceCell::new(),
            epoch: AtomicU64::new(0),
            logins: AtomicU64::new(0),
            committing: tokio::sync::Mutex::default(),
            state: Mutex::new(State {
                loaded: Loaded::None(NoSession::default()),
                pending: Pending::default(),
                cookie: CookieChange::Keep,
                failure: None,
                panicked: false,
                answered,
                doubt: None,
                handed_over: 0,
                assigned: Vec::new(),
                label: String::new(),
                ended: Vec::new(),
            }),
        }
    }

    /// Allows a copy in this process, for GET and HEAD. Default: asks the store.
    #[must_use]
    pub fn reading_copies(self) -> Self {
        Self {
            may_be_near: true,
            ..self
        }
    }

    /// Sets when the request began. Default: now.
    #[must_use]
    pub fn begun_at(self, began_at: Mark) -> Self {
        Self { began_at, ..self }
    }

    /// Sets the session that this one ends with.
    #[must_use]
    pub fn with_parent(self, parent: Arc<RequestSession<T::Parent>>) -> Self {
        Self {
            parent: Some(parent),
            ..self
        }
    }

    /// Labels the session that a login begins.
    pub fn set_label(&self, label: String) {
        self.state().label = label;
    }

    /// Records that this request ended a user's sessions, so it may still log the user in.
    pub fn has_ended_all(&self, user: UserKey, at: Mark) {
        self.state().ended.push((user, at));
    }

    fn began_at(&self, user: UserKey) -> Mark {
        let state = self.state();
        let ended = state.ended.iter().filter(|(ended, _)| *ended == user);
        let ended = ended.map(|(_, at)| at.next());
        ended.fold(self.began_at, Mark::max)
    }

    /// The engine, shared.
    #[must_use]
    pub fn shared_engine(&self) -> Arc<Engine<T>> {
        Arc::clone(&self.engine)
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine<T> {
        &self.engine
    }

    /// Whether this request opened its session.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.opening.get(), Some(Ok(())))
    }

    /// The present session's handle.
    #[must_use]
    pub fn id(&self) -> Option<SessionId> {
        self.live().map(|live| live.key.id)
    }

    /// What the store holds, as far as this request knows.
    #[must_use]
    pub fn record(&self) -> Option<Arc<Record>> {
        self.live().map(|live| live.record)
    }

    fn live(&self) -> Option<Live> {
        let state = self.state();
        let live = state.loaded.live();
        live.filter(|_| !state.pending.destroyed).cloned()
    }

    /// Whether to commit before taking the field `name`.
    #[must_use]
    pub fn is_before_take(&self, changes: &Changes, name: &str) -> bool {
        let pending = &self.state().pending;
        let concerns = |changes: &Changes| {
            changes.get(name).is_some() || T::SCHEMA.identity_change(changes).is_some()
        };
        concerns(changes) || concerns(&pending.changes)
    }

    /// The metadata after these changes.
    #[must_use]
    pub fn metadata_after(&self, changes: Changes) -> Metadata {
        let (loaded, mut pending) = {
            let state = self.state();
            (state.loaded.clone(), state.pending.clone())
        };
        let merged = pending.merge(Self::pending(changes));
        let Some(live) = loaded.live().filter(|_| merged.is_ok()) else {
            return self.metadata();
        };
        match plan(&loaded, &pending, self.engine.touch_due(live)) {
            Commit::Begin { .. } => self.engine.begun(&pending),
            Commit::Write { renews, data } => {
                let update = self.engine.update(live, &pending, renews, data);
                update.map_or_else(
                    |_| self.metadata(),
                    |(_, update)| update.metadata_after(&live.record.metadata),
                )
            }
            Commit::Touch => Metadata {
                touched_at: self.engine.now(),
                ..live.record.metadata.clone()
            },
            Commit::End | Commit::Nothing { .. } | Commit::Refuse => self.metadata(),
        }
    }

    /// The metadata; before a first commit, as if the session began with the request.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        self.record().map_or_else(
            || {
                let absolute_timeout = self.engine.lifetime().absolute_timeout;
                Metadata::created_now(self.opened_at, absolute_timeout)
            },
            |record| record.metadata.clone(),
        )
    }

    fn pending(changes: Changes) -> Pending {
        Pending {
            identity: T::SCHEMA.identity_change(&changes),
            changes,
            ..Pending::default()
        }
    }

    /// Numbers the present session. Changes when it ends or its user changes.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Counts this request's logins. After one, a guard must read again who is logged in.
    #[must_use]
    pub fn logins(&self) -> u64 {
        self.logins.load(Ordering::SeqCst)
    }

    fn begin_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// No application code runs under the lock, so the state survives a panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How the loaded session ends, if it does: `Some(None)` without a successor, else by a change of user.
    fn next<T: SessionData>(&self) -> Option<Option<Change>> {
        if self.pending.destroyed {
            return Some(None);
        }
        self.loaded.live()?;
        let commit = plan(&self.loaded, &self.pending, false);
        let begins = matches!(commit, Commit::Begin { .. });
        let field = T::SCHEMA.identity()?;
        begins.then(|| self.pending.changes.get(field.name).cloned())
    }
}

impl<T: SessionData> fmt::Debug for RequestSession<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestSession").finish_non_exhaustive()
    }
}
