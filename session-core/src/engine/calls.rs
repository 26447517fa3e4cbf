//! The calls of the store that load, begin, write and end a session, each within a deadline.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::warn;

use super::Engine;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::event::{EventKind, Reason};
use crate::fields::Fields;
use crate::plan::{CookieChange, End, Live, Loaded, NoSession, Pending};
use crate::record::Record;
use crate::schema::SessionData;
use crate::store::{Created, Delete, Deleted, Key, Update, Updated};
use crate::token::Token;

/// For this long after a new token, the old one counts as a parallel request's, not as a thief's.
const GRACE: Duration = Duration::from_secs(30);

pub(super) const ATTEMPTS: usize = 3;

/// How long past its deadline a call may answer. The store's own timeout must come first, so it can replace a
/// dead connection.
const ANSWER_SLACK: Duration = Duration::from_millis(100);

impl<T: SessionData> Engine<T> {
    pub(crate) async fn load(&self, token: &Token) -> Result<Loaded, Error> {
        let key = self.key(token);
        let Some((record, sealed)) = self.fetch(key, self.deadline()).await? else {
            return Ok(Loaded::None(NoSession::default()));
        };
        let (metadata, now) = (&record.metadata, self.now());
        if self.lifetime.is_expired(metadata, now) {
            return Ok(Loaded::None(NoSession::default()));
        }
        let digests = token.digests();
        if metadata.digests.matches(&digests) {
            return Ok(Loaded::Live(Self::live(token.clone(), record, sealed)));
        }
        let is_recent = |at: Option<Timestamp>| at.is_some_and(|at| now.since(at) < GRACE);
        let is_same_login = metadata.digests.login_matches(&digests);
        let stores_nothing = is_recent(metadata.rotated_at);
        let reason = match metadata.rotated_at {
            None => Some(Reason::NeverIssued),
            Some(_) if !stores_nothing => Some(Reason::Replaced),
            Some(_) => None,
        };
        if reason.is_some() {
            self.tell(EventKind::StaleToken, reason, Some(key.id));
        }
        Ok(Loaded::None(NoSession {
            ends: Vec::from_iter(is_same_login.then(|| End {
                key,
                login: Some(digests),
                record: Some(Arc::clone(&record)),
            })),
            stores_nothing,
            refuses_end: !is_same_login && is_recent(metadata.authenticated_at),
            ..NoSession::default()
        }))
    }

    pub(crate) async fn begin(
        &self,
        fields: Fields,
        pending: &Pending,
        deadline: Instant,
    ) -> Result<Option<(Live, CookieChange)>, Error> {
        if fields.is_empty() {
            return Ok(None);
        }
        self.create(fields, pending, deadline).await.map(Some)
    }

    /// If the answer is lost, tries another id: nobody has the first one's token.
    pub(crate) async fn create(
        &self,
        fields: Fields,
        pending: &Pending,
        deadline: Instant,
    ) -> Result<(Live, CookieChange), Error> {
        let is_identified = T::SCHEMA.is_identified(&fields);
        let mut record = Record::new(self.begun(pending), fields, Timestamp::default());
        let mut result = Err(Error::store("every new session id was taken"));
        for _ in 0..ATTEMPTS {
            let token = Token::generate()?;
            record.metadata = self.begun(pending);
            let now = record.metadata.created_at;
            record.metadata.authenticated_at = is_identified.then_some(now);
            record.metadata.digests = token.digests();
            record.remove_at = self.store().now().plus(self.ttl(&record.metadata));
            let key = self.key(&token);
            let creating = self.store().create(key, self.sealed_record(key, &record)?);
            result = match self.call("create", key, deadline, creating).await {
                Ok(Created::Done) => {
                    let cookie = self.cookie(&token, &record.metadata);
                    let live = Self::live(token, Arc::new(record), Fields::new());
                    return Ok((live, cookie));
                }
                Ok(Created::Refused) => result,
                Err(error) if error.is_unknown() && Instant::now() < deadline => Err(error),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            };
        }
        if result.as_ref().is_err_and(Error::is_unknown) {
            sleep_until(deadline).await;
        }
        result
    }

    /// Sends an update, and again only after `Late`, which is definite. If the outcome is unknown, waits
    /// until the update can no longer happen, and fails.
    pub(crate) async fn send(
        &self,
        key: Key,
        update: &mut Update,
        deadline: Instant,
    ) -> Result<Updated, Error> {
        let mut sealed = self.sealed_update(key, update)?;
        let update = sealed.as_mut().unwrap_or(update);
        for _ in 0..ATTEMPTS {
            update.not_after = self.not_after(deadline);
            let updating = self.store().update(key, update);
            match self.call("update", key, deadline, updating).await {
                Ok(Updated::Late(_)) if Instant::now() < deadline => {}
                Ok(Updated::Late(_)) => break,
                Ok(Updated::Done(answer)) => {
                    let answer = self.opened(key, answer, &update.changes);
                    return Ok(Updated::Done(answer));
                }
                Ok(updated) => return Ok(updated),
                Err(error) => {
                    if error.is_unknown() {
                        sleep_until(deadline).await;
                    }
                    return Err(error);
                }
            }
        }
        Err(Error::store("the store did not get to it in time"))
    }

    /// `false` if the session must end. A failure is only logged: it costs a little idle time.
    pub(crate) async fn touch(&self, live: &Live) -> bool {
        if !self.may_extend(live) {
            return true;
        }
        let deadline = self.deadline();
        let mut update = Update::new(live.record.metadata.digests, self.not_after(deadline));
        update.touched_at = Some(self.now());
        update.ttl = self.ttl(&update.metadata_after(&live.record.metadata));
        let touching = async {
            if !self.renew(live, self.remove_at(&update), deadline).await? {
                return Ok(false);
            }
            let updating = self.store().update(live.key, &update);
            self.call("update", live.key, deadline, updating).await?;
            Ok::<_, Error>(true)
        };
        touching.await.unwrap_or_else(|error| {
            let key = live.key;
            warn!("session {key}: its idle time could not be extended: {error}");
            true
        })
    }

    /// Ends these sessions, except those with another login by now; `true` if all have ended. If the outcome
    /// is unknown, waits until no delete can happen any more, and fails. Without a reason, reports no event.
    pub(crate) async fn end(
        &self,
        ends: &[End],
        reason: Option<Reason>,
        deadline: Instant,
    ) -> Result<bool, Error> {
        let mut are_all = true;
        for end in ends {
            let mut is_unknown = false;
            let mut result = Err(Error::store("the store did not get to it in time"));
            for attempt in 0..ATTEMPTS {
                let not_after = self.not_after(deadline);
                let delete = Delete::new(end.login, not_after);
                let deleting = self.store().delete(end.key, &delete);
                result = match self.call("delete", end.key, deadline, deleting).await {
                    Ok(Deleted::Done) => Ok(true),
                    Ok(Deleted::Other) => Ok(false),
                    Ok(Deleted::Late(_)) => result,
                    Err(error) => Err(error),
                };
                is_unknown |= result.as_ref().is_err_and(Error::is_unknown);
                if result.is_ok() || Instant::now() >= deadline {
                    break;
                }
                sleep(Duration::from_millis(5 << attempt)).await;
            }
            if is_unknown && result.is_err() {
                sleep_until(deadline).await;
                return Err(Error::unknown("nobody knows whether the session was ended"));
            }
            if result? {
                if reason.is_some() {
                    self.tell(EventKind::Ended, reason, Some(end.key.id));
                }
                self.forget(end, deadline).await;
            } else {
                are_all = false;
            }
        }
        Ok(are_all)
    }

    /// `deadline` by the store's clock, or a little earlier.
    pub(super) fn not_after(&self, deadline: Instant) -> Timestamp {
        // In this order, time between the two calls shortens the deadline, never extends it.
        let now = self.store().now();
        let left = deadline.saturating_duration_since(Instant::now());
        Timestamp::from_millis(now.plus(left).as_millis().saturating_sub(1))
    }
}

/// A call that answers at once needs no timer.
pub(super) async fn within<R>(
    deadline: Instant,
    call: impl Future<Output = Result<R, Error>>,
) -> Result<R, Error> {
    let mut call = pin!(call);
    match poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await {
        Poll::Ready(answer) => answer,
        Poll::Pending => match timeout_at(deadline + ANSWER_SLACK, call).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::unknown("the store did not answer in time")),
        },
    }
}
