//! Keeps the store's index of users in step with the sessions, even after a crash between two calls:
//!
//! - A login enters the index before its session says who is logged in. Only an update says so, never a
//!   create.
//! - A session to end is doomed in the index, deleted, then forgotten.
//! - A session is extended in the index first, and ends if the index does not know it.

use std::fmt;
use std::sync::Arc;

use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::Engine;
use super::calls::ATTEMPTS;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::event::Reason;
use crate::fields::Fields;
use crate::plan::{End, Live};
use crate::record::{Metadata, Record};
use crate::request::Link;
use crate::schema::SessionData;
use crate::store::{Key, UserIndex, Wanted, async_trait};
use crate::token::SessionId;
use crate::users::{Mark, Step, Stepped, UserKey, What, Whom};

/// How many sessions end before the index forgets them.
const AT_ONCE: usize = 32;

/// A session in a list.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Found {
    /// Its public handle.
    pub id: SessionId,
    /// Its metadata.
    pub metadata: Metadata,
    /// The application's label.
    pub label: String,
}

pub(crate) struct Login {
    pub(crate) key: Key,
    pub(crate) user: UserKey,
    pub(crate) began_at: Mark,
    pub(crate) label: String,
    pub(crate) remove_at: Timestamp,
}

impl<T: SessionData> Engine<T> {
    pub(crate) fn index(&self) -> Option<&dyn UserIndex> {
        let is_indexed = self.is_indexed && T::SCHEMA.identity().is_some();
        is_indexed.then(|| self.store().user_index()).flatten()
    }

    /// Whether the store indexes these sessions.
    #[must_use]
    pub fn is_indexed(&self) -> bool {
        self.index().is_some()
    }

    /// Whether the store lacks the index that the type wants.
    #[must_use]
    pub fn lacks_index(&self) -> bool {
        self.is_indexed && T::SCHEMA.identity().is_some() && !self.is_indexed()
    }

    /// The index's present point.
    #[must_use]
    pub fn present(&self) -> Mark {
        self.index().map(UserIndex::present).unwrap_or_default()
    }

    /// Admits a login, and ends sessions to make room; `false` if its own session must end.
    pub(crate) async fn admit(&self, login: &Login, deadline: Instant) -> Result<bool, Error> {
        if self.limit.is_some() && self.parent.is_some() {
            self.end_orphans_of(login.user, deadline).await?;
        }
        let what = What::Admit {
            id: login.key.id,
            remove_at: login.remove_at,
            label: login.label.clone(),
            began_at: login.began_at,
            limit: self.limit,
        };
        match self.step(login.user, what, deadline).await? {
            Stepped::Done(doomed) => {
                // Without a limit, an interrupted `end_sessions` left these.
                let reason = self.limit.map_or(Reason::Revoked, |_| Reason::MaxSessions);
                self.end_doomed(login.user, &doomed, reason, Some(deadline))
                    .await?;
                Ok(true)
            }
            Stepped::Ended => Err(Error::login_ended()),
            Stepped::Full => Err(Error::full()),
            Stepped::Unknown => {
                let id = login.key.id;
                self.end_doomed(login.user, &[id], Reason::Revoked, Some(deadline))
                    .await?;
                Ok(false)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Ends sessions that open for nobody, so they take up no room.
    async fn end_orphans_of(&self, user: UserKey, deadline: Instant) -> Result<(), Error> {
        for (id, _, record) in self.stored_of(user, Some(deadline)).await? {
            if !self.has_living_parent(&record.fields).await? {
                self.end_doomed(user, &[id], Reason::ParentEnded, Some(deadline))
                    .await?;
            }
        }
        Ok(())
    }

    /// Not if the user is unreadable: the index could not learn of the longer life.
    pub(crate) fn may_extend(&self, live: &Live) -> bool {
        let is_listed = live.is_identified && self.index().is_some();
        !is_listed || T::SCHEMA.user_of(&live.record.fields).is_some()
    }

    /// `false` if the session must end.
    pub(crate) async fn renew(
        &self,
        live: &Live,
        remove_at: Timestamp,
        deadline: Instant,
    ) -> Result<bool, Error> {
        if self.index().is_none() || !live.is_identified {
            return Ok(true);
        }
        let Some(user) = T::SCHEMA.user_of(&live.record.fields) else {
            return Ok(true);
        };
        let id = live.key.id;
        let what = What::Renew { id, remove_at };
        match self.step(user, what, deadline).await? {
            Stepped::Done(_) => Ok(true),
            Stepped::Unknown => {
                self.end_doomed(user, &[id], Reason::NotListed, Some(deadline))
                    .await?;
                Ok(false)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// If this fails, the index forgets the session when it would have expired.
    pub(crate) async fn forget(&self, end: &End, deadline: Instant) {
        let record = end.record.as_ref().filter(|_| self.index().is_some());
        let user = record.and_then(|record| T::SCHEMA.user_of(&record.fields));
        if let Some(user) = user {
            self.forget_of(user, vec![end.key.id], deadline).await;
        }
    }

    /// Nobody has the session's token.
    pub(crate) async fn abandon(&self, user: UserKey, fresh: &Live, deadline: Instant) {
        if let Err(error) = self.end(&[fresh.end()], None, deadline).await {
            let key = fresh.key;
            warn!("session {key}: an unused session stays stored until it expires: {error}");
        }
        self.forget_of(user, vec![fresh.key.id], deadline).await;
    }

    /// Does nothing if the record is still there: another request may have logged the same user in.
    pub(crate) async fn leave_index(&self, user: UserKey, live: &Live, deadline: Instant) {
        let nothing = Wanted::Fields([].into());
        let loading = self.store().load(live.key, &nothing);
        let is_there = self.call("load", live.key, deadline, loading).await;
        if matches!(is_there, Ok(None)) {
            self.forget_of(user, vec![live.key.id], deadline).await;
        }
    }

    pub(crate) async fn forget_of(&self, user: UserKey, ids: Vec<SessionId>, deadline: Instant) {
        if ids.is_empty() {
            return;
        }
        if let Err(error) = self.step(user, What::Forget(ids), deadline).await {
            warn!("user {user}: a session that has ended is still listed: {error}");
        }
    }

    /// Ends sessions of a user. With [`Whom::All`] and [`Whom::AllBut`], no login that began before succeeds
    /// any more. Returns how many it ended, and when. After an error, call it again.
    pub async fn end_sessions(&self, user: UserKey, whom: Whom) -> Result<(usize, Mark), Error> {
        let deadline = self.deadline();
        match self.step(user, What::Doom(whom), deadline).await? {
            Stepped::Doomed(doomed, ended_at) => {
                self.end_doomed(user, &doomed, Reason::Revoked, None)
                    .await?;
                Ok((doomed.len(), ended_at))
            }
            other => Err(unexpected(&other)),
        }
    }

    /// The user's living sessions, last used first.
    pub async fn sessions_of(&self, user: UserKey) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        for (id, label, record) in self.stored_of(user, None).await? {
            let metadata = record.metadata.clone();
            let is_over = self.lifetime.is_expired(&metadata, self.now());
            if !is_over && self.has_living_parent(&record.fields).await? {
                found.push(Found {
                    id,
                    metadata,
                    label,
                });
            }
        }
        found.sort_by_key(|found| std::cmp::Reverse(found.metadata.touched_at));
        Ok(found)
    }

    /// Without a deadline, each call gets its own.
    async fn stored_of(
        &self,
        user: UserKey,
        deadline: Option<Instant>,
    ) -> Result<Vec<(SessionId, String, Arc<Record>)>, Error> {
        let next = || deadline.unwrap_or_else(|| self.deadline());
        let members = match self.step(user, What::List, next()).await? {
            Stepped::Listed(members) => members,
            other => return Err(unexpected(&other)),
        };
        let mut stored = Vec::new();
        for (id, member) in members {
            let key = Key::new(T::SCHEMA.name(), id);
            let Some((record, _)) = self.fetch(key, next()).await? else {
                continue;
            };
            // It may have no user yet, or another one after an interrupted login.
            if T::SCHEMA.user_of(&record.fields) == Some(user) {
                stored.push((id, member.label, record));
            }
        }
        Ok(stored)
    }

    /// `true` if the type has no parent.
    async fn has_living_parent(&self, fields: &Fields) -> Result<bool, Error> {
        let Some(parent) = &self.parent else {
            return Ok(true);
        };
        match Link::stored_in(fields) {
            Some(link) => parent.is_alive(link).await,
            None => Ok(false),
        }
    }

    /// A few at a time, so a failure keeps what is done.
    async fn end_doomed(
        &self,
        user: UserKey,
        doomed: &[SessionId],
        reason: Reason,
        deadline: Option<Instant>,
    ) -> Result<(), Error> {
        for some in doomed.chunks(AT_ONCE) {
            for id in some {
                let deadline = deadline.unwrap_or_else(|| self.deadline());
                self.end_one_of(user, *id, reason, deadline).await?;
            }
            let deadline = deadline.unwrap_or_else(|| self.deadline());
            self.forget_of(user, some.to_vec(), deadline).await;
        }
        Ok(())
    }

    /// Skips another user's session, which an interrupted login may have listed here.
    async fn end_one_of(
        &self,
        user: UserKey,
        id: SessionId,
        reason: Reason,
        deadline: Instant,
    ) -> Result<(), Error> {
        let key = Key::new(T::SCHEMA.name(), id);
        for _ in 0..ATTEMPTS {
            let Some((record, _)) = self.fetch(key, deadline).await? else {
                return Ok(());
            };
            let is_anothers = record.metadata.authenticated_at.is_some()
                && T::SCHEMA
                    .user_of(&record.fields)
                    .is_some_and(|its| its != user);
            if is_anothers {
                return Ok(());
            }
            let end = End {
                key,
                login: Some(record.metadata.digests),
                record: None,
            };
            // If somebody logged in meanwhile, look again.
            if self.end(&[end], Some(reason), deadline).await? {
                return Ok(());
            }
        }
        Err(Error::store(
            "somebody logged in to the session during each try to end it",
        ))
    }

    /// Repeats a late step.
    async fn step(&self, user: UserKey, what: What, deadline: Instant) -> Result<Stepped, Error> {
        let index = self.index().ok_or_else(|| {
            Error::usage(
                "this store does not know which sessions a user has, or the session type says \
                 `indexed = false`",
            )
        })?;
        let mut step = Step::new(what, Timestamp::default());
        for _ in 0..ATTEMPTS {
            step.not_after = self.not_after(deadline);
            let stepping = index.step(user, &step);
            match self.call("index", None, deadline, stepping).await {
                Ok(Stepped::Late(_)) if Instant::now() < deadline => {}
                Ok(Stepped::Late(_)) => break,
                Err(error) if error.is_unknown() => {
                    // Nothing of it may happen after the answer.
                    sleep_until(deadline).await;
                    return Err(error);
                }
                answer => return answer,
            }
        }
        Err(Error::store("the store did not get to it in time"))
    }
}

/// Not generic, because each type may have a parent.
#[async_trait]
pub(super) trait Parents: Send + Sync {
    async fn is_alive(&self, link: Link) -> Result<bool, Error>;
}

#[async_trait]
impl<T: SessionData> Parents for Engine<T> {
    async fn is_alive(&self, link: Link) -> Result<bool, Error> {
        let key = Key::new(T::SCHEMA.name(), link.id);
        let Some((record, _)) = self.fetch(key, self.deadline()).await? else {
            return Ok(false);
        };
        let is_over = self.lifetime.is_expired(&record.metadata, self.now());
        let is_alive = !is_over && Link::of::<T>(link.id, &record.fields) == link;
        Ok(is_alive && self.has_living_parent(&record.fields).await?)
    }
}

fn unexpected(answer: &impl fmt::Debug) -> Error {
    Error::store(format!("the store's index of users answered {answer:?}"))
}
