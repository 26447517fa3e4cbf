//! What the guards of a request changed, until its commit.

use std::sync::atomic::Ordering;

use tracing::{error, warn};

use super::{RequestSession, State};
use crate::changes::Changes;
use crate::error::Error;
use crate::merge::Change;
use crate::plan::{Identity, Pending};
use crate::schema::SessionData;

const MAX_ASSIGNED: usize = 64;

impl<T: SessionData> RequestSession<T> {
    /// Adds a guard's changes, or none if a counter would leave its range. Returns the fields whose latest
    /// assignment the guard had not seen.
    pub fn hand_over(&self, changes: Changes, seen: u64) -> Result<Vec<String>, Error> {
        if self.state().answered && !changes.is_empty() {
            error!(
                "session type {}: a session was modified after the response was decided, so the \
                 change is lost; in a stream, call `save().await`",
                T::SCHEMA.name()
            );
            return Ok(Vec::new());
        }
        let overwritten = self.note_assignments(&changes, seen);
        self.add(Self::pending(changes))?;
        Ok(overwritten)
    }

    /// Adds what a guard did apart from the data.
    pub fn add(&self, later: Pending) -> Result<(), Error> {
        if self.state().answered && !later.is_empty() {
            error!(
                "session type {}: a session cannot end, or get a new token or lifetime, once the \
                 response was decided; in a stream, do it before",
                T::SCHEMA.name()
            );
        }
        // If the response was decided, a later `save` reports whether it is too late.
        self.add_to(&mut self.state(), later)
    }

    /// Logs in the user in `data`, with the guard's `changes` up to then.
    pub fn log_in(&self, mut changes: Changes, data: &T) -> Result<(), Error> {
        let field = T::SCHEMA.identity();
        let field = field.ok_or_else(|| Error::usage("the session type has no identity"))?;
        if self.state().pending.destroyed {
            warn!(
                "session type {}: a login after `destroy` in the same request logs nobody in; \
                 call `clear` before `log_in` instead",
                T::SCHEMA.name()
            );
        }
        let is_same = changes.get(field.name).is_none();
        // A session that begins with this login needs the field too.
        for (name, value) in field.encoded(data)?.iter() {
            changes.insert(name.clone(), Change::Set(value.to_vec()));
        }
        let mut pending = Self::pending(changes);
        if is_same {
            pending.identity = Some(Identity::Same);
        }
        self.add(pending)
    }

    fn note_assignments(&self, changes: &Changes, seen: u64) -> Vec<String> {
        let mut state = self.state();
        let state = &mut *state;
        state.handed_over += 1;
        let now = state.handed_over;
        let mut overwritten = Vec::new();
        for (name, change) in changes.iter().take(MAX_ASSIGNED) {
            if !matches!(change, Change::Set(_) | Change::Unset) {
                continue;
            }
            match state.assigned.iter_mut().find(|(known, _)| known == name) {
                Some((_, at)) => {
                    if *at > seen {
                        // The key of an entry is data.
                        let field = name.split(':').next().unwrap_or_default();
                        overwritten.push(field.to_owned());
                    }
                    *at = now;
                }
                None => state.assigned.push((name.to_string(), now)),
            }
        }
        overwritten
    }

    /// Makes the response an error.
    pub fn fail(&self, failure: Error) {
        let mut state = self.state();
        if state.answered {
            error!("session type {}: not stored: {failure}", T::SCHEMA.name());
        }
        state.failure.get_or_insert(failure);
    }

    /// Records that a panic dropped a guard, so the request has failed.
    pub fn panicked(&self) {
        self.state().panicked = true;
    }

    pub(super) fn add_to(&self, state: &mut State, later: Pending) -> Result<(), Error> {
        let may_leave = later.identity.is_some() || later.destroyed;
        let before = may_leave.then(|| state.next::<T>());
        let logs_in = later.logs_in();
        state.pending.merge(later)?;
        if logs_in {
            self.logins.fetch_add(1, Ordering::SeqCst);
        }
        if before.is_some_and(|before| before != state.next::<T>()) {
            self.begin_epoch();
        }
        Ok(())
    }
}
