//! The slot's way to the store and back: every commit of a request.

use std::mem;

use log::error;
use session_core::changes::Changes;
use session_core::commit::{Committed, CookieChange, Opened, Pending};
use session_core::error::Error;
use session_core::schema::SessionData;

use crate::slot::{Slot, View};
use crate::work::{Unsettled, Work};

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
        let was_gone = self.settle_again(failed).await?;
        let unsettled = {
            let mut work = self.work();
            work.pending.failed = failed;
            let prepared = self.engine.prepare(work.opened.clone(), &work.pending)?;
            let otherwise = mem::take(&mut work.pending).without_data();
            Unsettled {
                prepared,
                otherwise,
            }
        };
        let mut committed = self.settle(unsettled).await?;
        committed.gone |= was_gone;
        Ok(committed)
    }

    /// Sends again what is unsettled, and tells whether it turns out that it was dropped.
    async fn settle_again(&self, failed: bool) -> Result<bool, Error> {
        let Some(unsettled) = self.work().take_unsettled(failed) else {
            return Ok(false);
        };
        match self.settle(unsettled).await {
            // A transaction that was not done; its caller has been told that it may not have been.
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
            if committed.is_err() {
                work.put_back(unsettled.otherwise)?;
            }
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
        self.read_afresh().await?;
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
        self.read_afresh().await
    }

    /// What is unsettled may be stored already, and must not be seen twice.
    async fn read_afresh(&self) -> Result<(), Error> {
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
