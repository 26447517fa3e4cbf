//! The slot's way to the store and back: every commit of a request.

use std::mem;

use log::error;
use session_core::changes::Changes;
use session_core::commit::{Committed, CookieChange, Opened, Pending, Prepared};
use session_core::error::Error;
use session_core::schema::SessionData;

use crate::slot::{Slot, View};
use crate::work::Work;

/// What is to become of the response.
pub(crate) struct Answer {
    /// What it is to say about the cookie, error or not: all of this is in the store.
    pub(crate) cookie: CookieChange,
    /// Why it has to become an error.
    pub(crate) result: Result<(), Error>,
}

impl<T: SessionData> Slot<T> {
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
}
