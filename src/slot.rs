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
use session_core::field::OnError;
use session_core::record::{Fields, Metadata, Record};
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
    unsettled: Option<Prepared>,
    /// What is not decided yet.
    pending: Pending,
    cookie: CookieChange,
    /// What a guard could not hand over.
    failure: Option<Error>,
    /// Whether the response has been decided, so that no header can be added.
    answered: bool,
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
                    unsettled.overlay(&mut fields)?;
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
        let mut work = self.work();
        if work.answered {
            error!("session type {}: not stored: {failure}", T::SCHEMA.name());
        }
        work.failure.get_or_insert(failure);
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
        let mut result = self.commit(failed || failure.is_some()).await.map(drop);
        // So it is if the data was refused. A store that is down would only be asked in vain.
        if let Err(error) = &result
            && !error.is_store()
            && self.is_pending()
            && let Err(error) = self.commit(true).await
        {
            error!(
                "session type {}: not stored either: {error}",
                T::SCHEMA.name()
            );
        }
        if let Some(failure) = failure {
            result = Err(failure);
        }
        let cookie = mem::take(&mut self.work().cookie);
        Answer { cookie, result }
    }

    async fn commit(&self, failed: bool) -> Result<Committed, Error> {
        let _committing = self.committing.lock().await;
        let unsettled = self.work().take_unsettled(failed);
        if let Some(prepared) = unsettled {
            self.settle(prepared).await?;
        }
        let (prepared, pending) = {
            let mut work = self.work();
            work.pending.failed = failed;
            let prepared = self.engine.prepare(work.opened.clone(), &work.pending)?;
            (prepared, mem::take(&mut work.pending))
        };
        let committed = self.settle(prepared).await;
        if committed.as_ref().is_err_and(|error| !error.is_store()) {
            // The data was refused, and is given up; the rest is not.
            self.work().put_back(pending.without_data())?;
        }
        committed
    }

    async fn settle(&self, prepared: Prepared) -> Result<Committed, Error> {
        self.work().unsettled = Some(prepared.clone());
        let committed = self.engine.execute(&prepared).await;
        let mut work = self.work();
        // After a failure of the store nobody knows whether it was done; any other is a refusal.
        if !committed.as_ref().is_err_and(Error::is_store) {
            work.unsettled = None;
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
        let unsettled = self.work().take_unsettled(false);
        if let Some(prepared) = unsettled {
            self.settle(prepared).await?;
        }
        if self.work().is_over() {
            return Err(Error::gone());
        }
        self.reload().await?;
        let Some(changes) = change(self.view()?)? else {
            return Ok(None);
        };
        let (prepared, pending) = {
            let mut work = self.work();
            let mut pending = work.pending.clone();
            pending.merge(Pending::of(changes))?;
            self.check_answered(&work, &pending)?;
            let prepared = self.engine.prepare(work.opened.clone(), &pending)?;
            let prepared = self.engine.expecting(prepared);
            (prepared, mem::take(&mut work.pending))
        };
        let committed = self.settle(prepared).await;
        if committed.as_ref().is_err_and(|error| !error.is_store()) {
            self.work().put_back(pending)?;
        }
        committed.map(Some)
    }

    /// Reads the session afresh.
    pub(crate) async fn reload(&self) -> Result<(), Error> {
        let Some(live) = self.live() else {
            return Ok(());
        };
        match self.engine.open(&live.token).await? {
            opened @ Opened::Live(_) => {
                self.work().opened = opened;
                Ok(())
            }
            Opened::Absent
            | Opened::Over(_)
            | Opened::Several(_)
            | Opened::Stale
            | Opened::StaleInGrace => Err(Error::gone()),
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
            // A failed login must not look like one to the catcher that answers for it.
            unsettled: self.unsettled.clone().filter(|_| !over && !self.answered),
            changes: match over {
                true => Changes::new(),
                false => self.pending.changes.clone(),
            },
        }
    }

    /// What has to be sent again. A request that failed drops its data, but not what is for safety.
    fn take_unsettled(&mut self, failed: bool) -> Option<Prepared> {
        let unsettled = self.unsettled.take()?;
        if failed {
            unsettled.for_safety()
        } else {
            Some(unsettled)
        }
    }

    /// Puts back what was not committed, before what was done since.
    fn put_back(&mut self, earlier: Pending) -> Result<(), Error> {
        let later = mem::replace(&mut self.pending, earlier);
        self.pending.merge(later)
    }
}

struct Seen {
    live: Option<Live>,
    unsettled: Option<Prepared>,
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
