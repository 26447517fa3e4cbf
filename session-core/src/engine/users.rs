//! Which sessions a user has: keeps the store's index in step with the sessions themselves.
//!
//! The order of the calls is what makes it hold, and a crash between two of them does no harm:
//!
//! - a login enters the index before its session says who is logged in, and only an update says so,
//!   never a create;
//! - what is to end is doomed in the index, then deleted, then forgotten;
//! - a session is extended in the index first, and ends if the index does not know it.

use std::fmt;

use log::warn;
use tokio::time::Instant;

use super::{Engine, within};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::plan::{End, Live};
use crate::record::Metadata;
use crate::schema::SessionData;
use crate::store::{Key, UserIndex, Wanted};
use crate::token::SessionId;
use crate::users::{Mark, Step, Stepped, UserKey, What, Whom};

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
        is_indexed.then(|| self.store.user_index()).flatten()
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
        let what = What::Admit {
            id: login.key.id,
            remove_at: login.remove_at,
            label: login.label.clone(),
            began_at: login.began_at,
            limit: self.limit,
        };
        match self.step(login.user, what, deadline).await? {
            Stepped::Done(doomed) => {
                self.end_doomed(login.user, &doomed, deadline).await?;
                Ok(true)
            }
            Stepped::Ended => Err(Error::login_ended()),
            Stepped::Full => Err(Error::full()),
            Stepped::Unknown => {
                self.end_doomed(login.user, &[login.key.id], deadline)
                    .await?;
                Ok(false)
            }
            other => Err(unexpected(&other)),
        }
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
                let key = live.key;
                warn!(
                    "session {key}: it ends, since it is not among the sessions of its user: all of \
                     them were ended, or what is known of them was lost"
                );
                self.end_doomed(user, &[id], deadline).await?;
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

    /// Forgets a session whose login was let in and not stored; unless the user was logged in to it
    /// before, and it is still there under another token.
    pub(crate) async fn leave_index(&self, user: UserKey, live: &Live, deadline: Instant) {
        let nothing = Wanted::Fields(Vec::new());
        let is_there = match live.is_identified {
            true => within(deadline, self.store.load(live.key, &nothing)).await,
            false => Ok(None),
        };
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
                self.end_doomed(user, &doomed, deadline).await?;
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
        let members = match self.step(user, What::List, self.deadline()).await? {
            Stepped::Listed(members) => members,
            other => return Err(unexpected(&other)),
        };
        let mut found = Vec::new();
        for (id, member) in members.into_iter().filter(|(_, member)| !member.is_doomed) {
            let key = Key::new(T::SCHEMA.name(), id);
            let nothing = Wanted::Fields(Vec::new());
            let loading = self.store.load(key, &nothing);
            let Some(record) = within(self.deadline(), loading).await? else {
                continue;
            };
            let metadata = record.metadata.clone();
            // One that says nobody logged in is about to, or never did.
            let is_alive = metadata.authenticated_at.is_some()
                && !self.lifetime.is_expired(&metadata, self.now());
            if is_alive {
                let label = member.label;
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

    /// Deletes what is doomed, then forgets it.
    async fn end_doomed(
        &self,
        user: UserKey,
        doomed: &[SessionId],
        deadline: Instant,
    ) -> Result<(), Error> {
        let ends = doomed.iter().map(|id| End {
            key: Key::new(T::SCHEMA.name(), *id),
            login: None,
            record: None,
        });
        let ends: Vec<End> = ends.collect();
        self.end(&ends, deadline).await?;
        self.forget_of(user, doomed.to_vec(), deadline).await;
        Ok(())
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
            match within(deadline, index.step(user, &step)).await {
                Ok(Stepped::Late(_)) if Instant::now() < deadline => {}
                Ok(Stepped::Late(_)) => break,
                answer => return answer,
            }
        }
        Err(Error::store("the store did not get to it in time"))
    }
}

fn unexpected(answer: &impl fmt::Debug) -> Error {
    Error::store(format!("the store's index of users answered {answer:?}"))
}
