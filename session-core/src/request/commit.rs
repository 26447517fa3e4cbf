//! When a request commits: at its end, or on demand.

use tokio::time::sleep_until;
use tracing::error;

use super::act::in_doubt;
use super::{Answer, Committed, RequestSession, State, View};
use crate::changes::Changes;
use crate::error::Error;
use crate::plan::{Commit, Loaded, Pending, Renews, plan};
use crate::schema::SessionData;

impl<T: SessionData> RequestSession<T> {
    /// Keeps a guard's changes for a later commit, even after the response was decided. Returns the
    /// [`epoch`](Self::epoch) and the [`logins`](Self::logins). Fails if the response has begun but its
    /// cookie would have to change.
    pub fn keep(&self, changes: Changes) -> Result<(u64, u64), Error> {
        let mut state = self.state();
        let changes = Self::pending(changes);
        let mut pending = state.pending.clone();
        pending.merge(changes.clone())?;
        self.check_answered(&state, &pending)?;
        self.add_to(&mut state, changes)?;
        Ok((self.epoch(), self.logins()))
    }

    /// Commits what was done so far. Fails with [`Error::is_gone`] if another request ended the session or
    /// replaced its token. After any error but this and [`Error::is_unknown`], nothing was committed.
    pub async fn save(&self) -> Result<Committed, Error> {
        let _committing = self.committing.lock().await;
        self.commit(false).await
    }

    /// Commits what was done, and closes the session for this request.
    pub async fn answer(&self, failed: bool) -> Answer {
        let _committing = self.committing.lock().await;
        let (failure, panicked) = {
            let mut state = self.state();
            state.answered = true;
            (state.failure.take(), state.panicked)
        };
        // After a failure, do only what is for safety.
        let mut result = self
            .commit(failed || panicked || failure.is_some())
            .await
            .map(drop);
        // Likewise if the data was refused. A store that is down, or a refused logout, would fail again.
        let is_pending = !self.state().pending.is_empty();
        if let Err(error) = &result
            && !(error.is_store() || error.is_refused())
            && is_pending
            && let Err(error) = self.commit(true).await
        {
            let name = T::SCHEMA.name();
            error!("session type {name}: not stored either: {error}");
        }
        if result.is_err() {
            // The catcher for a failed login must not see one.
            let mut state = self.state();
            state.pending = std::mem::take(&mut state.pending).without_data();
        }
        // The log says what was dropped. A login must not break pages that load beside it.
        if result.as_ref().is_err_and(Error::is_gone) {
            result = Ok(());
        }
        if let Some(failure) = failure {
            result = Err(failure);
        }
        let untold = self.state().doubt.filter(|doubt| !doubt.told);
        if let Some(doubt) = untold {
            // The application stopped waiting for a commit, which must not outlive the request.
            sleep_until(doubt.until).await;
            result = result.and_then(|()| Err(in_doubt()));
        }
        let cookie = std::mem::take(&mut self.state().cookie);
        Answer { cookie, result }
    }

    async fn commit(&self, failed: bool) -> Result<Committed, Error> {
        let mut pending = std::mem::take(&mut self.state().pending);
        pending.failed = failed;
        let result = self.execute(&pending, false).await;
        let Err(error) = &result else {
            return result;
        };
        if error.is_unknown() {
            // A delete may be sent again.
            self.put_back(Pending {
                destroyed: pending.destroyed,
                ..Pending::default()
            })?;
        } else if error.is_store() {
            // Not done, so a later commit may try again.
            self.put_back(pending)?;
        } else if !error.is_gone() {
            if pending.identity.is_some() {
                // The guards already show the next user, but that change has failed.
                self.begin_epoch();
            }
            // Refused data would be refused again.
            self.put_back(pending.without_data())?;
        }
        result
    }

    fn put_back(&self, earlier: Pending) -> Result<(), Error> {
        let mut state = self.state();
        let later = std::mem::replace(&mut state.pending, earlier);
        state.pending.merge(later)
    }

    /// Takes a field's value out of the store, so no other request gets it.
    pub async fn take(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let _committing = self.committing.lock().await;
        if self.live().is_none() {
            return Ok(None);
        }
        let pending = Self::pending(T::SCHEMA.taking(name)?);
        let committed = self.execute(&pending, false).await?;
        Ok(committed.answer.get(name).map(<[u8]>::to_vec))
    }

    /// Tries a transaction once: loads the session again, and commits what `change` returns and what is
    /// pending. Fails with [`Error::is_conflict`] if anything that it read has changed. `None` if `change`
    /// gives up.
    pub async fn try_transaction(
        &self,
        change: impl FnOnce(View<T>) -> Result<Option<Changes>, Error>,
    ) -> Result<Option<Committed>, Error> {
        let _committing = self.committing.lock().await;
        self.read_afresh().await?;
        let Some(changes) = change(self.view()?)? else {
            return Ok(None);
        };
        let (pending, before) = {
            let mut state = self.state();
            let mut pending = state.pending.clone();
            pending.merge(Self::pending(changes))?;
            self.check_answered(&state, &pending)?;
            (pending, std::mem::take(&mut state.pending))
        };
        let result = self.execute(&pending, true).await;
        if let Err(error) = &result
            && !error.is_unknown()
            && !error.is_gone()
        {
            self.put_back(before)?;
        }
        result.map(Some)
    }

    /// Loads the session again. Fails with [`Error::is_gone`] if it has ended or got another token.
    pub async fn reload(&self) -> Result<(), Error> {
        let _committing = self.committing.lock().await;
        self.read_afresh().await
    }

    async fn read_afresh(&self) -> Result<(), Error> {
        let doubt = self.state().doubt;
        if let Some(doubt) = doubt {
            // Nothing can happen after that, so the load sees the outcome.
            sleep_until(doubt.until).await;
        }
        let loaded = self.state().loaded.clone();
        match &loaded {
            Loaded::Live(live) if !self.state().pending.destroyed => {
                self.reload_parent().await?;
                let again = self.load(&live.token).await?;
                self.state().doubt = None;
                if again.live().is_none() {
                    self.over(live);
                    return Err(Error::gone());
                }
                self.state().loaded = again;
                Ok(())
            }
            Loaded::None(none) if !none.stores_nothing => {
                self.state().doubt = None;
                Ok(())
            }
            Loaded::Live(_) | Loaded::None(_) => Err(Error::gone()),
        }
    }

    fn check_answered(&self, state: &State, pending: &Pending) -> Result<(), Error> {
        let changes_cookie = match plan(&state.loaded, pending, false) {
            Commit::Begin { .. } | Commit::End => true,
            Commit::Write { renews, .. } => renews != Renews::Nothing || pending.lifetime.is_some(),
            Commit::Nothing { .. } | Commit::Refuse | Commit::Touch => false,
        };
        if state.answered && changes_cookie {
            return Err(Error::usage(
                "the response has begun, so its cookie can no longer change: create, rotate or end a \
                 session before that",
            ));
        }
        Ok(())
    }
}
