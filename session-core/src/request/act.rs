//! Acts on a plan in the store, within one deadline.

use tokio::time::Instant;
use tracing::warn;

use super::{Committed, Doubt, RequestSession};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::users::Login;
use crate::error::Error;
use crate::event::{EventKind, Reason};
use crate::fields::Fields;
use crate::merge::Change;
use crate::plan::{Commit, CookieChange, Identity, Live, Loaded, NoSession, Pending, Renews, plan};
use crate::schema::SessionData;
use crate::store::Key;
use crate::update::{Update, Updated};
use crate::users::UserKey;

const LOGIN_ATTEMPTS: usize = 3;

impl<T: SessionData> RequestSession<T> {
    /// Acts on the plan, unless an earlier commit of this request may still happen. Reports refusals.
    pub(super) async fn execute(
        &self,
        pending: &Pending,
        expects: bool,
    ) -> Result<Committed, Error> {
        let result = self.execute_untold(pending, expects).await;
        if let Err(error) = &result {
            let id = self.id();
            match error.event() {
                _ if error.is_conflict() => self.engine.tell(EventKind::Conflict, None, id),
                // The failing request writes the log line itself.
                Some((kind @ EventKind::Refused, reason)) => self.engine.notify(kind, reason, id),
                _ => {}
            }
        }
        result
    }

    async fn execute_untold(&self, pending: &Pending, expects: bool) -> Result<Committed, Error> {
        let doubt = self.state().doubt;
        if let Some(doubt) = doubt
            && !pending.destroyed
        {
            return match pending.is_empty() && doubt.told {
                true => Ok(done(false)),
                false => Err(in_doubt()),
            };
        }
        if self.end_orphan(pending).await? {
            return Ok(done(true));
        }
        if self.plan_now(pending) == (Commit::Nothing { drops: false }) {
            return Ok(done(false));
        }
        let deadline = self.engine.deadline();
        // Boxed, because each caller would move it.
        let acting = Box::pin(self.act(pending, expects, deadline));
        match pending.is_empty() {
            true => acting.await,
            false => self.in_doubt(deadline, acting).await,
        }
    }

    fn plan_now(&self, pending: &Pending) -> Commit {
        let loaded = self.beside_parent(self.state().loaded.clone());
        self.plan(&loaded, pending)
    }

    fn plan(&self, loaded: &Loaded, pending: &Pending) -> Commit {
        let live = loaded.live();
        let touch_due = live.is_some_and(|live| self.engine.touch_due(live));
        plan(loaded, pending, touch_due)
    }

    /// A login starts again if another request interferes.
    async fn act(
        &self,
        pending: &Pending,
        expects: bool,
        deadline: Instant,
    ) -> Result<Committed, Error> {
        let engine = &*self.engine;
        for _ in 0..LOGIN_ATTEMPTS {
            let loaded = self.beside_parent(self.state().loaded.clone());
            match (self.plan(&loaded, pending), loaded) {
                (Commit::Nothing { drops: false }, _) => return Ok(done(false)),
                (Commit::Nothing { drops: true }, _) => {
                    warn!(
                        "session type {}: dropped a request's changes, because its session had ended \
                         or its token was replaced",
                        T::SCHEMA.name()
                    );
                    return Err(Error::gone());
                }
                (Commit::Refuse, _) => {
                    return Err(Error::refused());
                }
                (Commit::Touch, Loaded::Live(live)) => {
                    if !engine.touch(&live).await {
                        self.over(&live);
                    }
                    return Ok(done(false));
                }
                (Commit::End, loaded) => {
                    self.end(&loaded, pending, deadline).await?;
                    return Ok(done(true));
                }
                (Commit::Begin { ends_others }, loaded) => {
                    // A refused login must end nothing, so check the data and admit the user first.
                    let fields = self.linked(self.begin_with(&loaded, pending)?)?;
                    let entered = match T::SCHEMA.user_of(&fields).filter(|_| engine.is_indexed()) {
                        Some(user) => Some((user, self.enter_anew(user, pending, deadline).await?)),
                        None => None,
                    };
                    let ending = self.end_before(&loaded, ends_others, pending, expects, deadline);
                    if let Err(error) = ending.await {
                        if let Some((user, fresh)) = entered {
                            engine.abandon(user, &fresh, deadline).await;
                        }
                        return Err(error);
                    }
                    let left = self.state().loaded.clone();
                    let fields = self.linked(self.begin_with(&left, pending)?)?;
                    if let Some((user, fresh)) = entered {
                        let login = Self::login_with(&fields, pending);
                        let write = Write {
                            renews: Renews::Login,
                            data: true,
                            expects: false,
                            entered: Some(user),
                        };
                        match self.write(fresh.clone(), &login, write, deadline).await {
                            Ok(Some(_)) => return Ok(done(true)),
                            Ok(None) => self.state().loaded = left,
                            Err(error) => {
                                if !error.is_unknown() {
                                    engine.abandon(user, &fresh, deadline).await;
                                }
                                return Err(error);
                            }
                        }
                        continue;
                    }
                    if let Some((live, cookie)) = engine.begin(fields, pending, deadline).await? {
                        let reason = live.is_identified.then_some(Reason::Login);
                        engine.tell(EventKind::Created, reason, Some(live.key.id));
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
                        entered: None,
                    };
                    let token = live.token.clone();
                    if let Some(answer) = self.write(live, pending, write, deadline).await? {
                        return Ok(Committed {
                            answer,
                            began: false,
                        });
                    }
                    if !(data && pending.logs_in()) {
                        return Err(Error::gone());
                    }
                    let again = self.load(&token).await?;
                    self.state().loaded = again;
                }
                (Commit::Touch | Commit::Write { .. }, Loaded::None(_)) => {}
            }
        }
        Err(Error::store(
            "other requests changed the session during each try of a login",
        ))
    }

    async fn end_before(
        &self,
        loaded: &Loaded,
        ends_others: bool,
        pending: &Pending,
        expects: bool,
        deadline: Instant,
    ) -> Result<(), Error> {
        match loaded {
            Loaded::Live(live) if ends_others => self.leave(live, pending, expects, deadline).await,
            // With nothing to end, the cookie stays: it may belong to a concurrent login.
            _ if ends_others && !loaded.ends().is_empty() => {
                self.end(loaded, pending, deadline).await
            }
            _ => Ok(()),
        }
    }

    /// Only an update may log the user in: a late create would bring back an ended session.
    async fn enter_anew(
        &self,
        user: UserKey,
        pending: &Pending,
        deadline: Instant,
    ) -> Result<Live, Error> {
        let engine = &*self.engine;
        let (fresh, _) = engine.create(Fields::new(), pending, deadline).await?;
        let login = Self::login_with(&Fields::new(), pending);
        let (_, update) = engine.update(&fresh, &login, Renews::Login, true)?;
        let login = self.login_of(user, &fresh, &update);
        match engine.admit(&login, deadline).await {
            Ok(true) => Ok(fresh),
            // Nobody can have doomed an id that nobody knows.
            Ok(false) => Err(Error::login_ended()),
            Err(error) => {
                engine.abandon(user, &fresh, deadline).await;
                Err(error)
            }
        }
    }

    fn login_with(fields: &Fields, pending: &Pending) -> Pending {
        let mut login = Pending {
            identity: Some(Identity::Other),
            lifetime: pending.lifetime,
            ..Pending::default()
        };
        for (name, value) in fields.iter() {
            let change = Change::Set(value.to_vec());
            login.changes.insert(name.clone(), change);
        }
        login
    }

    fn login_of(&self, user: UserKey, live: &Live, update: &Update) -> Login {
        Login {
            key: live.key,
            user,
            began_at: self.began_at(user),
            label: self.state().label.clone(),
            remove_at: self.engine.remove_at(update),
        }
    }

    /// `false` if the session must end.
    async fn enter(
        &self,
        live: &Live,
        update: &Update,
        is_login: bool,
        deadline: Instant,
    ) -> Result<(bool, Option<UserKey>), Error> {
        let remove_at = self.engine.remove_at(update);
        let user = match is_login && self.engine.index().is_some() {
            true => T::SCHEMA.user_of(&update.changes.sets()),
            false => None,
        };
        let Some(user) = user else {
            let is_extended = !update.ttl.is_zero();
            let is_member = !is_extended || self.engine.renew(live, remove_at, deadline).await?;
            return Ok((is_member, None));
        };
        let login = self.login_of(user, live, update);
        let is_let_in = self.engine.admit(&login, deadline).await?;
        Ok((is_let_in, Some(user)))
    }

    /// Ends a session with an update, which returns the kept fields and checks what a transaction read. If
    /// another request has ended the session, only a login goes on.
    async fn leave(
        &self,
        live: &Live,
        pending: &Pending,
        expects: bool,
        deadline: Instant,
    ) -> Result<(), Error> {
        let mut update = Update::new(live.record.metadata.digests, Timestamp::default());
        update.ends = true;
        update.expected = expects.then(|| Engine::<T>::expected(live));
        match self.engine.send(live.key, &mut update, deadline).await? {
            Updated::Done(fields) => {
                {
                    let mut state = self.state();
                    state.loaded = Loaded::None(NoSession {
                        kept: T::SCHEMA.kept(&fields),
                        has_ended: true,
                        ..NoSession::default()
                    });
                    state.cookie = CookieChange::Remove;
                }
                let (reason, id) = (Reason::IdentityChanged, live.key.id);
                self.engine.tell(EventKind::Ended, Some(reason), Some(id));
                self.engine.forget(&live.end(), deadline).await;
                Ok(())
            }
            Updated::Gone if expects => {
                self.over(live);
                Err(Error::gone())
            }
            Updated::Gone => {
                // Its token may have been replaced. It must end all the same.
                let loaded = Loaded::Live(live.clone());
                self.end(&loaded, pending, deadline).await?;
                if pending.logs_in() {
                    return Ok(());
                }
                self.dropped(live.key);
                self.over(live);
                Err(Error::gone())
            }
            refused => Err(Self::refusal(&refused)),
        }
    }

    pub(super) fn over(&self, live: &Live) {
        self.state().loaded = Loaded::None(NoSession::over(live.end()));
        self.begin_epoch();
    }

    pub(super) fn dropped(&self, key: Key) {
        warn!(
            "session {key}: dropped a request's changes, because its session was ended or got \
             another token before they were stored"
        );
    }

    fn refusal(updated: &Updated) -> Error {
        match updated {
            Updated::Conflict => Error::conflict(),
            Updated::Overflow(name) => Error::overflow(name),
            Updated::Done(_) | Updated::Gone | Updated::Late(_) => {
                Error::store("the store did not get to it in time")
            }
        }
    }

    /// If somebody has logged in since the load, the browser has another cookie: a logout fails, a login goes
    /// on.
    async fn end(
        &self,
        loaded: &Loaded,
        pending: &Pending,
        deadline: Instant,
    ) -> Result<(), Error> {
        let ends = loaded.ends();
        let reason = match pending.destroyed {
            true => Reason::Logout,
            false => Reason::Replaced,
        };
        let mut are_all = self.engine.end(&ends, Some(reason), deadline).await?;
        if let Loaded::None(none) = loaded {
            are_all &= !none.refuses_end;
        }
        let mut state = self.state();
        state.loaded = Loaded::None(NoSession {
            ends: if are_all { ends } else { Vec::new() },
            stores_nothing: pending.destroyed || !are_all,
            refuses_end: !are_all,
            has_ended: are_all,
            ..NoSession::default()
        });
        if are_all {
            state.cookie = CookieChange::Remove;
        } else if pending.destroyed || !pending.logs_in() {
            return Err(Error::refused());
        }
        Ok(())
    }

    /// `None` if the session is gone.
    async fn write(
        &self,
        live: Live,
        pending: &Pending,
        write: Write,
        deadline: Instant,
    ) -> Result<Option<Fields>, Error> {
        let engine = &*self.engine;
        let (token, mut update) = engine.update(&live, pending, write.renews, write.data)?;
        update.expected = write.expects.then(|| Engine::<T>::expected(&live));
        let is_login = write.renews == Renews::Login && write.data;
        let (may_go_on, user) = match write.entered {
            Some(user) => (true, Some(user)),
            None => self.enter(&live, &update, is_login, deadline).await?,
        };
        if !may_go_on {
            self.over(&live);
            return Ok(None);
        }
        let updated = engine.send(live.key, &mut update, deadline).await;
        let is_lost = match &updated {
            Ok(updated) => !matches!(updated, Updated::Done(_)),
            Err(error) => !error.is_unknown(),
        };
        if let Some(user) = user.filter(|_| is_lost) {
            engine.leave_index(user, &live, deadline).await;
        }
        match updated? {
            Updated::Done(answer) => {
                let metadata = update.metadata_after(&live.record.metadata);
                let cookie = engine.cookie_after(&token, &metadata, &update);
                let id = live.key.id;
                {
                    let mut state = self.state();
                    state.loaded = Loaded::default();
                    let live = Engine::<T>::written(live, token, metadata, &update, &answer);
                    state.loaded = Loaded::Live(live);
                    if !matches!(cookie, CookieChange::Keep) {
                        state.cookie = cookie;
                    }
                }
                let event = match (write.renews, write.entered) {
                    (Renews::Nothing, _) => None,
                    (Renews::Login, Some(_)) => Some((EventKind::Created, Reason::Login)),
                    (Renews::Login, None) => Some((EventKind::Rotated, Reason::Login)),
                    (Renews::Verifier, _) => Some((EventKind::Rotated, Reason::Requested)),
                };
                if let Some((kind, reason)) = event {
                    engine.tell(kind, Some(reason), Some(id));
                }
                Ok(Some(answer))
            }
            Updated::Gone => {
                if !pending.logs_in() {
                    self.dropped(live.key);
                }
                self.over(&live);
                Ok(None)
            }
            refused => Err(Self::refusal(&refused)),
        }
    }

    /// Until the commit answers, its outcome is unknown, even if the caller stops waiting.
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
}

struct Write {
    renews: Renews,
    data: bool,
    /// Only if all that was read is unchanged.
    expects: bool,
    /// The user for whom the index lists the session.
    entered: Option<UserKey>,
}

fn done(began: bool) -> Committed {
    Committed {
        answer: Fields::new(),
        began,
    }
}

pub(super) fn in_doubt() -> Error {
    Error::unknown("nobody knows whether an earlier commit of this request was done")
}
