//! Which sessions a user has: keeps the store's index in step with the sessions themselves.
//!
//! The order of the calls is what makes it hold, and a crash between two of them does no harm:
//!
//! - a login enters the index before its session says who is logged in, and only an update says so,
//!   never a create;
//! - what is to end is doomed in the index, then deleted, then forgotten;
//! - a session is extended in the index first, and ends if the index does not know it.

use std::fmt;
use std::sync::Arc;

use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::Engine;
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

/// How many sessions are ended before they are forgotten together.
const AT_ONCE: usize = 32;

/// A session of a user, as a list shows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Found {
    /// Its public handle.
    pub id: SessionId,
    /// What its record says.
    pub metadata: Metadata,
    /// What the application calls it.
    pub label: String,
}

/// A login that is about to be committed.
pub(crate) struct Login {
    pub(crate) key: Key,
    pub(crate) user: UserKey,
    /// When its request began.
    pub(crate) began_at: Mark,
    pub(crate) label: String,
    /// When its record may be removed.
    pub(crate) remove_at: Timestamp,
}

impl<T: SessionData> Engine<T> {
    /// Where it says which sessions a user has, if users are known and their sessions are indexed.
    pub(crate) fn index(&self) -> Option<&dyn UserIndex> {
        let is_indexed = self.is_indexed && T::SCHEMA.identity().is_some();
        is_indexed.then(|| self.store().user_index()).flatten()
    }

    /// Whether it is known which sessions a user has.
    #[must_use]
    pub fn is_indexed(&self) -> bool {
        self.index().is_some()
    }

    /// Whether it should be known which sessions a user has, and the store does not know.
    #[must_use]
    pub fn lacks_index(&self) -> bool {
        self.is_indexed && T::SCHEMA.identity().is_some() && !self.is_indexed()
    }

    /// The present point in the order of what is done to users.
    #[must_use]
    pub fn present(&self) -> Mark {
        self.index().map(UserIndex::present).unwrap_or_default()
    }

    /// Lets a login in, and ends the sessions that make room for it; `false`: its own session is to
    /// end.
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
                // Without a limit, it is what an end of all left behind.
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

    /// Ends the sessions of a user that open for nobody, since their parents have ended: they keep nobody
    /// out, and no other one must end for them.
    async fn end_orphans_of(&self, user: UserKey, deadline: Instant) -> Result<(), Error> {
        for (id, _, record) in self.stored_of(user, Some(deadline)).await? {
            if !self.has_living_parent(&record.fields).await? {
                self.end_doomed(user, &[id], Reason::ParentEnded, Some(deadline))
                    .await?;
            }
        }
        Ok(())
    }

    /// Whether the index can be told of a longer life. It cannot if it is unreadable whose session it
    /// is: then the session ends when the index thinks that it does.
    pub(crate) fn may_extend(&self, live: &Live) -> bool {
        let is_listed = live.is_identified && self.index().is_some();
        !is_listed || T::SCHEMA.user_of(&live.record.fields).is_some()
    }

    /// Extends a session in the index; `false`: it is to end.
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

    /// Forgets a session that has ended. If that fails, it is forgotten when it would be over.
    pub(crate) async fn forget(&self, end: &End, deadline: Instant) {
        let record = end.record.as_ref().filter(|_| self.index().is_some());
        let user = record.and_then(|record| T::SCHEMA.user_of(&record.fields));
        if let Some(user) = user {
            self.forget_of(user, vec![end.key.id], deadline).await;
        }
    }

    /// Removes a session that was begun for a login, which then failed: nobody has its token.
    pub(crate) async fn abandon(&self, user: UserKey, fresh: &Live, deadline: Instant) {
        if let Err(error) = self.end(&[fresh.end()], None, deadline).await {
            let key = fresh.key;
            warn!("session {key}: a session that nobody uses is left until it ends: {error}");
        }
        self.forget_of(user, vec![fresh.key.id], deadline).await;
    }

    /// Forgets a session whose login was let in and not stored, if it is gone for good: another request
    /// may have logged the same user in to it.
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

    /// Ends sessions of a user. When it returns, they have ended, and where it says all, nobody is
    /// logged in whose login began before. Answers how many it ended, and when.
    ///
    /// # Errors
    ///
    /// If the store fails: some of them may have ended. Do it again.
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

    /// The sessions of a user that are alive, the one that was used last first. It asks for each.
    ///
    /// # Errors
    ///
    /// If the store fails.
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

    /// The records of a user, each with what the application calls it. It asks for each. Without a
    /// deadline, each call has one.
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
            // It may be nobody's still, or became another user's after a login that was cut off.
            if T::SCHEMA.user_of(&record.fields) == Some(user) {
                stored.push((id, member.label, record));
            }
        }
        Ok(stored)
    }

    /// Whether the session with which one with these fields ends goes on; yes, if it ends with none.
    async fn has_living_parent(&self, fields: &Fields) -> Result<bool, Error> {
        let Some(parent) = &self.parent else {
            return Ok(true);
        };
        match Link::stored_in(fields) {
            Some(link) => parent.is_alive(link).await,
            None => Ok(false),
        }
    }

    /// Deletes what is doomed, then forgets it, a few at a time, so that what is done stays done if it
    /// fails. Without a deadline, each of them has one.
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

    /// Ends a session, unless it is another user's: a login that was cut off can have entered it in the
    /// index of a user to whom it never belonged.
    async fn end_one_of(
        &self,
        user: UserKey,
        id: SessionId,
        reason: Reason,
        deadline: Instant,
    ) -> Result<(), Error> {
        let key = Key::new(T::SCHEMA.name(), id);
        for _ in 0..super::ATTEMPTS {
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
            // If somebody logged in to it in the meantime, it is looked at again.
            if self.end(&[end], Some(reason), deadline).await? {
                return Ok(());
            }
        }
        Err(Error::store(
            "somebody logged in to the session each time that it was to end",
        ))
    }

    /// Does a step; again, if the store did not get to it in time.
    async fn step(&self, user: UserKey, what: What, deadline: Instant) -> Result<Stepped, Error> {
        let index = self.index().ok_or_else(|| {
            Error::usage(
                "this store does not know which sessions a user has, or the session type says \
                 `indexed = false`",
            )
        })?;
        let mut step = Step::new(what, Timestamp::default());
        for _ in 0..super::ATTEMPTS {
            step.not_after = self.not_after(deadline);
            let stepping = index.step(user, &step);
            match self.call("index", None, deadline, stepping).await {
                Ok(Stepped::Late(_)) if Instant::now() < deadline => {}
                Ok(Stepped::Late(_)) => break,
                Err(error) if error.is_unknown() => {
                    // Nothing of it may land after the answer.
                    sleep_until(deadline).await;
                    return Err(error);
                }
                answer => return answer,
            }
        }
        Err(Error::store("the store did not get to it in time"))
    }
}

/// Sessions with which others end. Without a type, since each type may have a parent in turn.
#[async_trait]
pub(super) trait Parents: Send + Sync {
    /// Whether what a session is linked to goes on.
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
