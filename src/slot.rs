//! What all guards of one request share: the session as it was opened, and what was done to it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use log::{error, warn};
use session_core::changes::Changes;
use session_core::clock::Timestamp;
use session_core::commit::{CookieChange, Live, Opened, Pending};
use session_core::engine::Engine;
use session_core::error::Error;
use session_core::field::OnError;
use session_core::record::{Fields, Metadata, Record};
use session_core::schema::SessionData;
use tokio::sync::OnceCell;

use crate::cookie::Tokens;
use crate::work::Work;

/// The session of one request. Each guard has its own copy of the data and hands over what it
/// changed; no lock is held while an application's code runs.
pub(crate) struct Slot<T: SessionData> {
    pub(crate) engine: Arc<Engine<T>>,
    /// When the request first asked for its session.
    pub(crate) opened_at: Timestamp,
    opening: OnceCell<Result<(), Error>>,
    /// Held during a commit, so that two of them do not send the same changes.
    pub(crate) committing: tokio::sync::Mutex<()>,
    work: Mutex<Work>,
}

/// The session's data as a guard begins with it.
pub(crate) struct View<T> {
    pub(crate) data: T,
    /// What the store held when it was read; `None`: no session.
    pub(crate) record: Option<Arc<Record>>,
}

impl<T: SessionData> Slot<T> {
    /// The slot of a request; `answered`: of one whose response has been decided without it.
    pub(crate) fn new(engine: Arc<Engine<T>>, answered: bool) -> Self {
        Self {
            opened_at: engine.now(),
            engine,
            opening: OnceCell::new(),
            committing: tokio::sync::Mutex::default(),
            work: Mutex::new(Work {
                opened: Opened::Absent,
                unsettled: None,
                pending: Pending::default(),
                cookie: CookieChange::Keep,
                failure: None,
                answered,
            }),
        }
    }

    /// Opens the session, the first time; later it answers what it answered then.
    pub(crate) async fn open(&self, tokens: impl FnOnce() -> Tokens) -> Result<(), Error> {
        let opening = self.opening.get_or_init(|| async {
            let tokens = tokens();
            if tokens.tampered {
                warn!(
                    "session type {}: a request brought several cookies where a browser sends \
                     one; none is believed",
                    T::SCHEMA.name()
                );
            }
            let opened = match tokens.tampered {
                // Nor is a logout: which of them is to be ended?
                true => Opened::StaleInGrace,
                false => self.open_one_of(&tokens).await?,
            };
            self.work().opened = opened;
            Ok(())
        });
        opening.await.clone()
    }

    /// Opens the session that just one of these tokens opens. Where two do, somebody may have
    /// planted one: neither is believed, but a logout ends both.
    async fn open_one_of(&self, tokens: &Tokens) -> Result<Opened, Error> {
        let mut best = Opened::Absent;
        let mut living = Vec::new();
        for token in &tokens.candidates {
            let opened = self.engine.open(token).await?;
            living.extend(opened.live().map(|live| self.engine.key(&live.token)));
            best = match (best, opened) {
                (Opened::Live(live), _) | (_, Opened::Live(live)) => Opened::Live(live),
                (Opened::StaleInGrace, _) | (_, Opened::StaleInGrace) => Opened::StaleInGrace,
                (Opened::Absent, opened) => opened,
                (best, _) => best,
            };
        }
        if living.len() > 1 {
            warn!(
                "session type {}: a request brought the cookies of {} sessions; none is believed",
                T::SCHEMA.name(),
                living.len()
            );
            return Ok(Opened::Several(living));
        }
        Ok(best)
    }

    /// Whether this request used its session.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.opening.get(), Some(Ok(())))
    }

    /// The living session that the request has now.
    pub(crate) fn live(&self) -> Option<Live> {
        self.work().live().cloned()
    }

    /// Whether something waits to be committed.
    pub(crate) fn is_pending(&self) -> bool {
        let work = self.work();
        !work.pending.is_empty() || work.unsettled.is_some()
    }

    /// Whether a change of this field waits to be committed.
    pub(crate) fn is_field_pending(&self, name: &str) -> bool {
        let work = self.work();
        work.pending.changes.get(name).is_some() || work.unsettled.is_some()
    }

    /// The metadata that the session would have if it were committed now, with these changes.
    pub(crate) fn metadata_after(&self, changes: Changes) -> Option<Metadata> {
        let work = self.work();
        let mut pending = work.pending.clone();
        pending.merge(Pending::of(changes)).ok()?;
        self.engine
            .prepare(work.opened.clone(), &pending)
            .ok()?
            .metadata()
    }

    /// The data as it is now: what was read, and over it what this request changed so far.
    pub(crate) fn view(&self) -> Result<View<T>, Error> {
        let seen = self.work().seen();
        let record = seen.live.as_ref().map(|live| Arc::clone(&live.record));
        let now = self.engine.now();
        let decoded = match (&record, seen.is_as_read()) {
            (None, true) => T::SCHEMA.decode(&Fields::new(), now),
            (Some(record), true) => T::SCHEMA.decode(&record.fields, now),
            (_, false) => {
                let mut fields = Fields::new();
                if let Some(record) = &record {
                    fields.clone_from(&record.fields);
                }
                if let Some(unsettled) = &seen.unsettled {
                    unsettled.prepared.overlay(&mut fields)?;
                }
                seen.changes.apply(&mut fields)?;
                T::SCHEMA.decode(&fields, now)
            }
        };
        let dropped = match &seen.live {
            Some(live) => self.judge(&decoded.faults, live)?,
            None => false,
        };
        if dropped {
            self.work().opened = Opened::Absent;
            return Ok(View {
                data: T::SCHEMA.defaults(),
                record: None,
            });
        }
        let data = decoded.data;
        Ok(View { data, record })
    }

    /// Acts on fields that could not be read: whether the session is taken for absent.
    fn judge(&self, faults: &[(&'static str, OnError)], live: &Live) -> Result<bool, Error> {
        let key = self.engine.key(&live.token);
        for &(field, on_error) in faults {
            match on_error {
                OnError::Default => warn!(
                    "session {key}: field `{field}` cannot be read as what it is declared; it has \
                     its default, and what is stored stays until the field is written"
                ),
                OnError::DropSession => {
                    warn!(
                        "session {key}: field `{field}` cannot be read as what it is declared; the \
                         session is taken for absent"
                    );
                    return Ok(true);
                }
                OnError::Error => return Err(Error::decode(field)),
            }
        }
        Ok(false)
    }

    /// Takes over what a guard did.
    pub(crate) fn merge(&self, later: Pending) -> Result<(), Error> {
        let name = T::SCHEMA.name();
        let is_late = self.work().answered;
        if is_late && !later.changes.is_empty() {
            error!(
                "session type {name}: a session was modified after the response was decided, so \
                 the change is lost; in a stream, call `save().await`"
            );
            return Ok(());
        }
        if is_late && !later.is_empty() {
            error!(
                "session type {name}: a session cannot end or get a new token any more, nor another \
                 lifetime, since the response was decided; in a stream, do it before"
            );
        }
        // What is done after the response was decided waits for a `save`, which says if it is late.
        self.keep(later)
    }

    /// Keeps what was done for a commit that is to come.
    pub(crate) fn keep(&self, later: Pending) -> Result<(), Error> {
        self.work().pending.merge(later)
    }

    /// Takes over that a guard's changes could not be told; the response will be an error.
    pub(crate) fn fail(&self, failure: Error) {
        let mut work = self.work();
        if work.answered {
            error!("session type {}: not stored: {failure}", T::SCHEMA.name());
        }
        work.failure.get_or_insert(failure);
    }

    /// No code of others runs while the lock is held, so what a panic left is whole.
    pub(crate) fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: SessionData> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}
