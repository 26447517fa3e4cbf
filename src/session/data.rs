//! What a guard changed, and when it switches to another session.

use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::thread;

use session_core::changes::Changes;
use session_core::error::Error as EngineError;
use session_core::plan::Pending;
use session_core::schema::SessionData;
use tracing::warn;

use super::Session;

/// The request's session at an epoch, and at later ones.
pub(super) struct Fresh<T> {
    epoch: u64,
    data: T,
    next: OnceLock<Box<Self>>,
}

impl<T: SessionData> Session<T> {
    /// Whether this guard has changed the user and still holds what it read before.
    fn changes_user(&self) -> bool {
        let before = self.before.as_ref().and_then(|before| before.as_ref().ok());
        before.is_some_and(|before| self.request.changes_user(before, &self.view.data))
    }

    /// The data that the next user starts with, and the changes that led there.
    fn next_user(&self) -> (T, Changes) {
        let changes = self.changes();
        let next = changes.and_then(|changes| self.request.next_user(&changes));
        next.unwrap_or_else(|error| {
            self.request.fail(error);
            (T::SCHEMA.defaults(), Changes::new())
        })
    }

    pub(super) fn go_on_with_next_user(&mut self) {
        self.next_user.take();
        if self.changes_user() {
            (self.view.data, self.earlier) = self.next_user();
            (self.view.record, self.before) = (None, None);
        }
    }

    pub(super) fn ask(&self, what: impl FnOnce(&mut Pending)) {
        let mut pending = Pending::default();
        what(&mut pending);
        if let Err(error) = self.request.add(pending) {
            self.request.fail(error);
        }
    }

    fn hand_over(&self, changes: Changes) {
        match self.request.hand_over(changes, self.view.seen) {
            Ok(overwritten) if cfg!(debug_assertions) && !overwritten.is_empty() => warn!(
                "session type {}: two guards of one request assigned `{}`, and the one that was \
                 dropped last wins; use one guard in a handler, or pass it on by `&mut`",
                T::SCHEMA.name(),
                overwritten.join("`, `")
            ),
            Ok(_) => {}
            Err(error) => self.request.fail(error),
        }
    }

    pub(super) fn is_stale(&self) -> bool {
        self.request.epoch() != self.view.epoch
    }

    /// Switches to the request's present session. Returns whether changes were dropped.
    pub(super) fn catch_up(&mut self) -> bool {
        if !self.is_stale() {
            if self.request.logins() != self.view.logins {
                // It is the same session, so this guard's changes still apply.
                match self.take_changes() {
                    Ok(changes) => self.hand_over(changes),
                    Err(error) => self.request.fail(error),
                }
                if let Err(error) = self.refresh() {
                    self.request.fail(error);
                }
            }
            return false;
        }
        let drops = match self.changes() {
            Ok(changes) => self.drop_changes(&changes),
            // Changes that cannot be stored are lost too.
            Err(_) => true,
        };
        if let Err(error) = self.refresh() {
            self.request.fail(error);
        }
        drops
    }

    fn drop_changes(&self, changes: &Changes) -> bool {
        if changes.is_empty() {
            return false;
        }
        warn!(
            "session type {}: dropped a guard's changes, because in the same request the session that it \
             read ended, or another user's began",
            T::SCHEMA.name()
        );
        true
    }

    fn fresh(&self) -> &T {
        let mut cell = &self.fresh;
        loop {
            let fresh = cell.get_or_init(|| {
                let (epoch, data) = match self.request.view() {
                    Ok(view) => (view.epoch, view.data),
                    Err(error) => {
                        self.request.fail(error);
                        (self.request.epoch(), T::SCHEMA.defaults())
                    }
                };
                let next = OnceLock::new();
                Box::new(Fresh { epoch, data, next })
            });
            if fresh.epoch == self.request.epoch() {
                return &fresh.data;
            }
            cell = &fresh.next;
        }
    }

    /// What changed since the guard began, or since the changes were last taken.
    pub(super) fn changes(&self) -> Result<Changes, EngineError> {
        let Some(before) = &self.before else {
            return Ok(self.earlier.clone());
        };
        let before = before.as_ref().map_err(Clone::clone)?;
        let engine = self.request.engine();
        let later = engine.changes(self.view.record.as_deref(), before, &self.view.data)?;
        if self.earlier.is_empty() {
            return Ok(later);
        }
        let mut changes = self.earlier.clone();
        changes.merge(later)?;
        Ok(changes)
    }

    pub(super) fn take_changes(&mut self) -> Result<Changes, EngineError> {
        let changes = self.changes();
        self.before = None;
        self.earlier = Changes::new();
        changes
    }

    pub(super) fn refresh(&mut self) -> Result<(), EngineError> {
        self.view = self.request.view()?;
        (self.before, self.earlier) = (None, Changes::new());
        (self.next_user, self.fresh) = (OnceLock::new(), OnceLock::new());
        Ok(())
    }
}

impl<T: SessionData> Deref for Session<T> {
    type Target = T;

    fn deref(&self) -> &T {
        if self.is_stale() {
            return self.fresh();
        }
        if !self.changes_user() {
            return &self.view.data;
        }
        self.next_user.get_or_init(|| Box::new(self.next_user().0))
    }
}

impl<T: SessionData> DerefMut for Session<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.catch_up();
        self.go_on_with_next_user();
        if self.before.is_none() {
            self.before = Some(T::SCHEMA.encode(&self.view.data));
        }
        &mut self.view.data
    }
}

impl<T: SessionData> Drop for Session<T> {
    fn drop(&mut self) {
        if thread::panicking() {
            return self.request.panicked();
        }
        if self.before.is_none() && self.earlier.is_empty() {
            return;
        }
        // A field's `Serialize` may panic, and a drop must not.
        match catch_unwind(AssertUnwindSafe(|| self.take_changes())) {
            Ok(Ok(changes)) if self.is_stale() => {
                self.drop_changes(&changes);
            }
            Ok(Ok(changes)) => self.hand_over(changes),
            Ok(Err(error)) => self.request.fail(error),
            Err(_) => self.request.fail(EngineError::usage(
                "the `Serialize` of a session's field panicked",
            )),
        }
    }
}
