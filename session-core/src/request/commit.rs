//! The commits of a request: each is one plan, acted on within one deadline.

use log::{error, warn};
use tokio::time::{Instant, sleep_until};

use super::{Answer, Committed, Doubt, RequestSession, State, View};
use crate::changes::Changes;
use crate::error::Error;
use crate::fields::Fields;
use crate::plan::{Commit, CookieChange, Live, Loaded, NoSession, Pending, Renews, plan};
use crate::schema::SessionData;
use crate::update::Updated;

/// How often a login that meets another request's commit is tried.
const LOGIN_ATTEMPTS: usize = 3;

impl<T: SessionData> RequestSession<T> {
    /// Commits what was done so far, with these changes, now.
    ///
    /// # Errors
    ///
    /// [`Error::is_gone`] if another request ended the session or replaced its token;
    /// [`Error::is_unknown`] if nobody knows whether the commit was done; otherwise it was not.
    pub async fn save(&self, changes: Changes) -> Result<Committed, Error> {
        // Before anything is waited for, so that a caller who gives up loses nothing.
        {
            let mut state = self.state();
            let mut pending = state.pending.clone();
            pending.merge(Self::pending(changes))?;
            self.check_answered(&state, &pending)?;
            state.pending = pending;
        }
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
        // If a guard could not hand over its changes, only what is for safety is done.
        let mut result = self
            .commit(failed || panicked || failure.is_some())
            .await
            .map(drop);
        // The same if the data was refused. A store that is down, or a refused logout, would answer as
        // before.
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
            // A login that failed must not look like one to the catcher that answers for it.
            let mut state = self.state();
            state.pending = std::mem::take(&mut state.pending).without_data();
        }
        // The log says what was dropped. A 409 would let a login break the pages that load beside
        // it.
        if result.as_ref().is_err_and(Error::is_gone) {
            result = Ok(());
        }
        if let Some(failure) = failure {
            result = Err(failure);
        }
        let untold = self.state().doubt.filter(|doubt| !doubt.told);
        if let Some(doubt) = untold {
            // A commit that the application gave up waiting for. Whatever the response says, nothing
            // of it may land after that.
            sleep_until(doubt.until).await;
            result = result.and_then(|()| Err(in_doubt()));
        }
        let cookie = std::mem::take(&mut self.state().cookie);
        Answer { cookie, result }
    }

    /// Commits what is pending.
    async fn commit(&self, failed: bool) -> Result<Committed, Error> {
        let mut pending = std::mem::take(&mut self.state().pending);
        pending.failed = failed;
        let result = self.execute(&pending, false).await;
        if let Err(error) = &result
            && !error.is_unknown()
            && !error.is_gone()
        {
            // Refused, or never sent, so a later commit of this request may try again. But data
            // that was refused would be refused again.
            self.put_back(match error.is_store() {
                true => pending,
                false => pending.without_data(),
            })?;
        }
        result
    }

    fn put_back(&self, earlier: Pending) -> Result<(), Error> {
        let mut state = self.state();
        let later = std::mem::replace(&mut state.pending, earlier);
        state.pending.merge(later)
    }

    /// Takes the value of a field out of the store, so that no other request gets it too.
    ///
    /// # Errors
    ///
    /// As [`save`](Self::save).
    pub async fn take(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let _committing = self.committing.lock().await;
        if self.live().is_none() {
            return Ok(None);
        }
        let pending = Self::pending(T::SCHEMA.taking(name)?);
        let committed = self.execute(&pending, false).await?;
        Ok(committed.answer.get(name).map(<[u8]>::to_vec))
    }

    /// Tries a transaction once: reads the session again, asks `change` for the changes, and
    /// commits them with what is pending, if everything that was read is still stored like that.
    /// `None` if `change` gives up.
    ///
    /// # Errors
    ///
    /// As [`save`](Self::save), and [`Error::is_conflict`].
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

    /// Reads the session again.
    ///
    /// # Errors
    ///
    /// If the store fails, or if another request ended the session or replaced its token
    /// ([`Error::is_gone`]).
    pub async fn reload(&self) -> Result<(), Error> {
        let _committing = self.committing.lock().await;
        self.read_afresh().await
    }

    async fn read_afresh(&self) -> Result<(), Error> {
        let doubt = self.state().doubt;
        if let Some(doubt) = doubt {
            // Nothing can land after that, so the load sees the outcome.
            sleep_until(doubt.until).await;
        }
        let loaded = self.state().loaded.clone();
        match &loaded {
            Loaded::Live(live) if !self.state().pending.destroyed => {
                let again = self.engine.load(&live.token).await?;
                let is_gone = again.live().is_none();
                let mut state = self.state();
                state.doubt = None;
                state.loaded = match is_gone {
                    true => Loaded::None(NoSession::over(live.end())),
                    false => again,
                };
                if is_gone { Err(Error::gone()) } else { Ok(()) }
            }
            Loaded::None(none) if !none.stores_nothing => {
                self.state().doubt = None;
                Ok(())
            }
            Loaded::Live(_) | Loaded::None(_) => Err(Error::gone()),
        }
    }

    /// Acts on the plan within one deadline, unless an earlier commit of this request may still land.
    async fn execute(&self, pending: &Pending, expects: bool) -> Result<Committed, Error> {
        let doubt = self.state().doubt;
        if let Some(doubt) = doubt
            && !pending.destroyed
        {
            return match pending.is_empty() && doubt.told {
                true => Ok(done(false)),
                false => Err(in_doubt()),
            };
        }
        let deadline = self.engine.deadline();
        let acting = self.act(pending, expects, deadline);
        match pending.is_empty() {
            true => acting.await,
            false => self.in_doubt(deadline, acting).await,
        }
    }

    /// Acts on the plan. A login that meets another request's commit begins again.
    async fn act(
        &self,
        pending: &Pending,
        expects: bool,
        deadline: Instant,
    ) -> Result<Committed, Error> {
        let engine = &*self.engine;
        for _ in 0..LOGIN_ATTEMPTS {
            let loaded = self.state().loaded.clone();
            let touch_due = loaded.live().is_some_and(|live| engine.touch_due(live));
            let commit = plan(&loaded, pending, touch_due);
            match (commit, &loaded) {
                (Commit::Nothing { drops: false }, _) => return Ok(done(false)),
                (Commit::Nothing { drops: true }, _) => {
                    warn!(
                        "session type {}: dropped what a request did after its session was over, \
                         or its token was replaced",
                        T::SCHEMA.name()
                    );
                    return Err(Error::gone());
                }
                (Commit::Refuse, _) => {
                    return Err(Error::refused());
                }
                (Commit::Touch, Loaded::Live(live)) => {
                    engine.touch(live).await;
                    return Ok(done(false));
                }
                (Commit::End, _) => {
                    self.end(&loaded, pending, deadline).await?;
                    return Ok(done(true));
                }
                (Commit::Begin { ends_others }, _) => {
                    let fields = self.begin_with(loaded.live(), pending)?;
                    // Where there is nothing to end, the cookie stays until there is another one: it
                    // may be that of a login beside this one.
                    if ends_others && !loaded.ends().is_empty() {
                        self.end(&loaded, pending, deadline).await?;
                    }
                    if let Some((live, cookie)) = engine.begin(fields, pending, deadline).await? {
                        let mut state = self.state();
                        state.loaded = Loaded::Live(live);
                        state.cookie = cookie;
                    }
                    return Ok(done(true));
                }
                (Commit::Write { renews, data }, Loaded::Live(live)) => {
                    let write = Write {
                        renews,
                        data,
                        expects,
                    };
                    if let Some(answer) = self.write(live, pending, write, deadline).await? {
                        return Ok(Committed {
                            answer,
                            began: false,
                        });
                    }
                    if !(data && pending.logs_in()) {
                        return Err(Error::gone());
                    }
                    let again = engine.load(&live.token).await?;
                    self.state().loaded = again;
                }
                (Commit::Touch | Commit::Write { .. }, Loaded::None(_)) => {}
            }
        }
        Err(Error::store(
            "other requests changed the session each time that somebody logged in to it",
        ))
    }

    /// Ends what this request may end; its cookie goes. Where somebody logged in since it was loaded,
    /// the browser has another cookie: a logout does not pass for done, and a login goes on.
    async fn end(
        &self,
        loaded: &Loaded,
        pending: &Pending,
        deadline: Instant,
    ) -> Result<(), Error> {
        let ends = loaded.ends();
        let are_all = self.engine.end(&ends, deadline).await?;
        let mut state = self.state();
        state.loaded = Loaded::None(NoSession {
            ends: if are_all { ends } else { Vec::new() },
            stores_nothing: pending.destroyed || !are_all,
            refuses_end: !are_all,
        });
        if are_all {
            state.cookie = CookieChange::Remove;
        } else if pending.destroyed || !pending.logs_in() {
            return Err(Error::refused());
        }
        Ok(())
    }

    /// Writes to the living session; `None`: it is gone.
    async fn write(
        &self,
        live: &Live,
        pending: &Pending,
        write: Write,
        deadline: Instant,
    ) -> Result<Option<Fields>, Error> {
        let engine = &*self.engine;
        let (token, mut update) = engine.update(live, pending, write.renews, write.data)?;
        update.expected = write
            .expects
            .then(|| T::SCHEMA.expected(&live.record.fields));
        match engine.send(live.key, &mut update, deadline).await? {
            Updated::Conflict => Err(Error::conflict()),
            Updated::Done(answer) => {
                let (live, cookie) = engine.written(live, token, &update, &answer);
                let mut state = self.state();
                state.loaded = Loaded::Live(live);
                if !matches!(cookie, CookieChange::Keep) {
                    state.cookie = cookie;
                }
                Ok(Some(answer))
            }
            Updated::Gone => {
                let key = live.key;
                if !pending.logs_in() {
                    warn!(
                        "session {key}: dropped what a request did, since another one had ended \
                         the session or replaced its token in the meantime"
                    );
                }
                self.state().loaded = Loaded::None(NoSession::over(live.end()));
                Ok(None)
            }
            Updated::Late(_) => Err(Error::store("the store did not get to it in time")),
            Updated::Overflow(name) => Err(Error::overflow(&name)),
        }
    }

    /// Waits for a commit. Until it answers, its outcome is unknown, even if the caller stops
    /// waiting.
    async fn in_doubt<R>(
        &self,
        until: Instant,
        commit: impl Future<Output = Result<R, Error>>,
    ) -> Result<R, Error> {
        let doubt = Doubt { until, told: false };
        let before = self.state().doubt.replace(doubt);
        let result = commit.await;
        self.state().doubt = match &result {
            Ok(_) => None,
            Err(error) if error.is_unknown() => Some(Doubt { until, told: true }),
            Err(_) => before,
        };
        result
    }

    /// Refuses what would change the cookie of a response that is under way.
    fn check_answered(&self, state: &State, pending: &Pending) -> Result<(), Error> {
        let changes_cookie = match plan(&state.loaded, pending, false) {
            Commit::Begin { .. } | Commit::End => true,
            Commit::Write { renews, .. } => renews != Renews::Nothing || pending.lifetime.is_some(),
            Commit::Nothing { .. } | Commit::Refuse | Commit::Touch => false,
        };
        if state.answered && changes_cookie {
            return Err(Error::usage(
                "the response has begun, so its cookie cannot change any more: create, rotate and \
                 end a session before",
            ));
        }
        Ok(())
    }
}

/// How a living session is written to.
struct Write {
    renews: Renews,
    data: bool,
    /// Only if everything that was read is still stored as it was.
    expects: bool,
}

fn done(began: bool) -> Committed {
    Committed {
        answer: Fields::new(),
        began,
    }
}

fn in_doubt() -> Error {
    Error::unknown("nobody knows whether an earlier commit of this request was done")
}
