//! What all guards of one request share: the session as it was opened, and what was done to it.

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use log::{error, warn};
use session_core::changes::Changes;
use session_core::clock::Timestamp;
use session_core::commit::{Committed, CookieChange, Live, Opened, Pending, Prepared};
use session_core::engine::Engine;
use session_core::error::Error;
use session_core::expiry::Expiry;
use session_core::field::OnError;
use session_core::record::{Fields, Record};
use session_core::schema::SessionData;
use tokio::sync::OnceCell;

use crate::cookie::Tokens;

/// The session of one request. Each guard has its own copy of the data and hands over what it
/// changed; no lock is held while an application's code runs.
pub(crate) struct Slot<T: SessionData> {
    pub(crate) engine: Arc<Engine<T>>,
    /// When the request first asked for its session.
    pub(crate) opened_at: Timestamp,
    opening: OnceCell<Result<(), Error>>,
    /// Held during a commit, so that two of them do not send the same changes.
    committing: tokio::sync::Mutex<()>,
    work: Mutex<Work>,
}

struct Work {
    opened: Opened,
    /// A commit of which it is not known that it was done: its call failed or was cancelled, or is
    /// under way. Before anything else is committed, it is sent again, as it is.
    unsettled: Option<Unsettled>,
    /// What is not decided yet.
    pending: Pending,
    cookie: CookieChange,
    /// What a guard could not hand over.
    failure: Option<Error>,
    /// Whether the response has been decided, so that no header can be added.
    answered: bool,
}

#[derive(Clone)]
struct Unsettled {
    prepared: Prepared,
    /// What it includes and what is to be committed without it, if others were faster: what was
    /// pending before a transaction.
    otherwise: Pending,
}

/// The session's data as a guard begins with it.
pub(crate) struct View<T> {
    pub(crate) data: T,
    /// What the store held when it was read; `None`: no session.
    pub(crate) record: Option<Arc<Record>>,
}

/// What is to become of the response.
pub(crate) struct Answer {
    /// What it is to say about the cookie, error or not: all of this is in the store.
    pub(crate) cookie: CookieChange,
    /// Why it has to become an error.
    pub(crate) result: Result<(), Error>,
}

impl<T: SessionData> Slot<T> {
    pub(crate) fn new(engine: Arc<Engine<T>>) -> Self {
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
                answered: false,
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
            let opened = self.open_one_of(&tokens).await?;
            self.work().opened = opened;
            Ok(())
        });
        opening.await.clone()
    }

    /// Opens the session that just one of these tokens opens. Where two do, somebody may have
    /// planted one: neither is believed.
    async fn open_one_of(&self, tokens: &Tokens) -> Result<Opened, Error> {
        let mut best = Opened::Absent;
        for token in &tokens.candidates {
            let opened = self.engine.open(token).await?;
            best = match (best, opened) {
                (Opened::Live(_), Opened::Live(_)) => {
                    warn!(
                        "session type {}: a request brought the cookies of two sessions; neither \
                         is believed",
                        T::SCHEMA.name()
                    );
                    return Ok(Opened::Absent);
                }
                (Opened::Live(live), _) => Opened::Live(live),
                (best, Opened::Absent | Opened::Over(_)) => best,
                (Opened::StaleInGrace, Opened::Stale) => Opened::StaleInGrace,
                (_, opened) => opened,
            };
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

    /// The lifetime that the session got in this request.
    pub(crate) fn pending_lifetime(&self) -> Option<Expiry> {
        self.work().pending.lifetime
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
        let mut work = self.work();
        if work.answered && !later.is_empty() {
            drop(work);
            error!(
                "session type {}: a session was modified after the response was decided, so the \
                 change is lost; in a stream, call `save().await`",
                T::SCHEMA.name()
            );
            return Ok(());
        }
        work.pending.merge(later)
    }

    /// Takes over that a guard's changes could not be told; the response will be an error.
    pub(crate) fn fail(&self, failure: Error) {
        self.work().failure.get_or_insert(failure);
    }

    /// Commits at once. Fails with [`Error::is_gone`] if another request ended the session.
    pub(crate) async fn save(&self, later: Pending) -> Result<Committed, Error> {
        {
            let mut work = self.work();
            let mut pending = work.pending.clone();
            pending.merge(later)?;
            self.check_answered(&work, &pending)?;
            work.pending = pending;
        }
        let committed = self.commit(false).await?;
        if committed.gone {
            Err(Error::gone())
        } else {
            Ok(committed)
        }
    }

    /// Commits what was done; nothing can be done any more after it.
    pub(crate) async fn answer(&self, failed: bool) -> Answer {
        let failure = {
            let mut work = self.work();
            work.answered = true;
            work.failure.take()
        };
        // What a guard could not hand over is missing: only what is for safety is done then.
        let committed = self.commit(failed || failure.is_some()).await;
        let result = match failure {
            Some(failure) => Err(failure),
            None => committed.map(drop),
        };
        let cookie = mem::take(&mut self.work().cookie);
        Answer { cookie, result }
    }

    async fn commit(&self, failed: bool) -> Result<Committed, Error> {
        let _committing = self.committing.lock().await;
        let was_gone = self.settle_again(failed).await?;
        let prepared = {
            let mut work = self.work();
            let mut pending = mem::take(&mut work.pending);
            pending.failed = failed;
            self.engine.prepare(work.opened.clone(), &pending)?
        };
        let mut committed = self.settle(Unsettled::from(prepared)).await?;
        committed.gone |= was_gone;
        Ok(committed)
    }

    /// Sends again what is unsettled, and tells whether it turned out that it was dropped.
    async fn settle_again(&self, failed: bool) -> Result<bool, Error> {
        let Some(unsettled) = self.work().take_unsettled(failed) else {
            return Ok(false);
        };
        match self.settle(unsettled).await {
            // A transaction, which will not be done; what was pending before it is again.
            Err(error) if error.is_conflict() => Ok(false),
            committed => Ok(committed?.gone),
        }
    }

    async fn settle(&self, unsettled: Unsettled) -> Result<Committed, Error> {
        self.work().unsettled = Some(unsettled.clone());
        let committed = self.engine.execute(&unsettled.prepared).await;
        let mut work = self.work();
        // After a failure of the store nobody knows whether it was done; any other is a refusal.
        if !committed.as_ref().is_err_and(Error::is_store) {
            work.unsettled = None;
        }
        if committed.as_ref().is_err_and(Error::is_conflict) {
            let later = mem::replace(&mut work.pending, unsettled.otherwise);
            work.pending.merge(later)?;
        }
        let committed = committed?;
        work.opened = committed.opened.clone();
        match &committed.cookie {
            CookieChange::Keep => {}
            change => work.cookie = change.clone(),
        }
        Ok(committed)
    }

    /// Takes the value of a field out of the store, so that no other request obtains it too.
    pub(crate) async fn take(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let _committing = self.committing.lock().await;
        let Some(live) = self.live() else {
            return Ok(None);
        };
        let (live, value) = self.engine.take(&live, name).await?;
        self.work().opened = Opened::Live(live);
        Ok(value)
    }

    /// One try of a transaction: reads the session afresh, lets `change` say what else is to change,
    /// and commits that and what is pending together, if nothing that was read has changed since.
    /// `None` where `change` says to give up.
    pub(crate) async fn try_transaction(
        &self,
        change: impl FnOnce(View<T>) -> Result<Option<Changes>, Error>,
    ) -> Result<Option<Committed>, Error> {
        let _committing = self.committing.lock().await;
        self.reload_settled().await?;
        let Some(changes) = change(self.view()?)? else {
            return Ok(None);
        };
        let unsettled = {
            let mut work = self.work();
            let mut pending = work.pending.clone();
            pending.merge(Pending::of(changes))?;
            self.check_answered(&work, &pending)?;
            let prepared = self.engine.prepare(work.opened.clone(), &pending)?;
            Unsettled {
                prepared: self.engine.expecting(prepared),
                otherwise: mem::take(&mut work.pending),
            }
        };
        self.settle(unsettled).await.map(Some)
    }

    /// Reads the session afresh.
    pub(crate) async fn reload(&self) -> Result<(), Error> {
        let _committing = self.committing.lock().await;
        self.reload_settled().await
    }

    /// What is unsettled may be stored already, and must not be seen twice.
    async fn reload_settled(&self) -> Result<(), Error> {
        self.settle_again(false).await?;
        if self.work().is_over() {
            return Err(Error::gone());
        }
        let Some(live) = self.live() else {
            return Ok(());
        };
        match self.engine.open(&live.token).await? {
            opened @ Opened::Live(_) => {
                self.work().opened = opened;
                Ok(())
            }
            Opened::Absent | Opened::Over(_) | Opened::Stale | Opened::StaleInGrace => {
                Err(Error::gone())
            }
        }
    }

    /// A response that is under way cannot change its cookie any more.
    fn check_answered(&self, work: &Work, pending: &Pending) -> Result<(), Error> {
        if work.answered && self.engine.changes_cookie(&work.opened, pending) {
            return Err(Error::usage(
                "the response has begun, so its cookie cannot change any more: create, rotate and \
                 end a session before",
            ));
        }
        Ok(())
    }

    /// No code of others runs while the lock is held, so what a panic left is whole.
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    fn live(&self) -> Option<&Live> {
        self.opened.live().filter(|_| !self.pending.destroyed)
    }

    fn is_over(&self) -> bool {
        let is_over = matches!(self.opened, Opened::Over(_) | Opened::StaleInGrace);
        is_over || self.pending.destroyed
    }

    /// What a guard begins with: the living session, and what this request did to it so far.
    fn seen(&self) -> Seen {
        let over = self.pending.destroyed;
        Seen {
            live: self.live().cloned(),
            unsettled: self.unsettled.clone().filter(|_| !over),
            changes: match over {
                true => Changes::new(),
                false => self.pending.changes.clone(),
            },
        }
    }

    /// What has to be sent again. A request that failed drops its data, but not what is for safety.
    fn take_unsettled(&mut self, failed: bool) -> Option<Unsettled> {
        let unsettled = self.unsettled.take();
        unsettled.filter(|unsettled| !failed || unsettled.prepared.is_for_safety())
    }
}

impl From<Prepared> for Unsettled {
    fn from(prepared: Prepared) -> Self {
        let otherwise = Pending::default();
        Self {
            prepared,
            otherwise,
        }
    }
}

struct Seen {
    live: Option<Live>,
    unsettled: Option<Unsettled>,
    changes: Changes,
}

impl Seen {
    fn is_as_read(&self) -> bool {
        self.unsettled.is_none() && self.changes.is_empty()
    }
}

impl<T: SessionData> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}
