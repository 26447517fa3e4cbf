//! What was done to a session in one request, and how far it has come.

use std::mem;

use session_core::changes::Changes;
use session_core::commit::{CookieChange, Live, Opened, Pending, Prepared};
use session_core::error::Error;

pub(crate) struct Work {
    pub(crate) opened: Opened,
    /// A commit of which it is not known that it was done: its call failed or was cancelled, or is
    /// under way. Before anything else is committed, it is sent again, as it is.
    pub(crate) unsettled: Option<Unsettled>,
    /// What is not decided yet.
    pub(crate) pending: Pending,
    pub(crate) cookie: CookieChange,
    /// What a guard could not hand over.
    pub(crate) failure: Option<Error>,
    /// Whether the response has been decided, so that no header can be added.
    pub(crate) answered: bool,
}

impl Work {
    pub(crate) fn live(&self) -> Option<&Live> {
        self.opened.live().filter(|_| !self.pending.destroyed)
    }

    pub(crate) fn is_over(&self) -> bool {
        let is_over = matches!(self.opened, Opened::Over(_) | Opened::StaleInGrace);
        is_over || self.pending.destroyed
    }

    /// What a guard begins with: the living session, and what this request did to it so far.
    pub(crate) fn seen(&self) -> Seen {
        let over = self.pending.destroyed;
        Seen {
            live: self.live().cloned(),
            // A failed login must not look like one to the catcher that answers for it.
            unsettled: self.unsettled.clone().filter(|_| !over && !self.answered),
            changes: match over {
                true => Changes::new(),
                false => self.pending.changes.clone(),
            },
        }
    }

    /// What has to be sent again. A request that failed drops its data, but not what is for safety.
    pub(crate) fn take_unsettled(&mut self, failed: bool) -> Option<Unsettled> {
        let unsettled = self.unsettled.take()?;
        if !failed {
            return Some(unsettled);
        }
        let prepared = unsettled.prepared.for_safety()?;
        let otherwise = Pending::default();
        Some(Unsettled {
            prepared,
            otherwise,
        })
    }

    /// Puts back what was not committed, before what was done since.
    pub(crate) fn put_back(&mut self, earlier: Pending) -> Result<(), Error> {
        let later = mem::replace(&mut self.pending, earlier);
        self.pending.merge(later)
    }
}

/// A commit on its way.
#[derive(Clone)]
pub(crate) struct Unsettled {
    pub(crate) prepared: Prepared,
    /// What of it is to be committed all the same if it is refused: without the data that was
    /// refused, or what was pending before a transaction.
    pub(crate) otherwise: Pending,
}

pub(crate) struct Seen {
    pub(crate) live: Option<Live>,
    pub(crate) unsettled: Option<Unsettled>,
    pub(crate) changes: Changes,
}

impl Seen {
    pub(crate) fn is_as_read(&self) -> bool {
        self.unsettled.is_none() && self.changes.is_empty()
    }
}
