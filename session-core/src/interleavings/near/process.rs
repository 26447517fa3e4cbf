use super::cache::{TicketNumber, What};
use super::server::{Link, Load, Reply, Request};
use super::tests::Mutant;
use super::{State, TIMEOUT, Version, World};
use crate::store::redis::near::Ticket;

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Asked {
    load: Load,
    /// `None`: it will get the current link.
    link: Option<usize>,
}

#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(super) struct Own {
    pub(super) at: Writer,
    /// The version that it stored; 0: none.
    pub(super) stored: usize,
    /// What its request had loaded; only a mutant uses it.
    base: Option<Version>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Writer {
    /// Until this deadline.
    Waits(u8),
    Answered,
    /// Its caller hears of it at the deadline; after that, the write can have no effect.
    InDoubt(u8),
    /// A mutant forgets the copy only after the caller has heard.
    Forgets,
    Ended,
}

impl Own {
    const OVER: Self = Self {
        at: Writer::Ended,
        stored: 0,
        base: None,
    };
}

impl World {
    /// `RedisStore::load`: the ticket comes first.
    pub(super) fn ask(&self, state: &mut State, what: What) {
        *match what {
            What::Whole => &mut state.left.whole,
            What::Part => &mut state.left.part,
            What::Absent => &mut state.left.absent,
        } -= 1;
        let is_late = self.is(Mutant::TicketAfterTheSending) || self.is(Mutant::TicketAfterTheLink);
        let ticket = (!is_late).then(|| self.ticket(state, what));
        let link = state
            .current
            .filter(|_| self.is(Mutant::TicketAfterTheLink));
        let load = Load { what, ticket };
        state.asked.push(Asked { load, link });
        state.asked.sort_unstable();
    }

    fn ticket(&self, state: &mut State, what: What) -> TicketNumber {
        let now = self.now(state);
        self.cache.ticket(&mut state.copies, what, now)
    }

    pub(super) fn link(&self, state: &State, asked: Asked) -> Option<usize> {
        let link = asked.link.or(state.current);
        link.filter(|link| state.links[*link].is_open)
    }

    pub(super) fn send(&self, state: &mut State, index: usize) {
        let Asked { mut load, link } = state.asked.remove(index);
        let Some(link) = link.or(state.current) else {
            return;
        };
        if self.is(Mutant::TicketAfterTheLink) {
            load.ticket = Some(self.ticket(state, load.what));
        }
        state.links[link].requests.push(Request::Load(load));
    }

    /// `Copies::answered`, any time after the answer was handed out.
    pub(super) fn answered(&self, state: &mut State, index: usize) {
        let (load, record) = state.answered.remove(index);
        let what = load.what;
        let Some(mut ticket) = load.ticket else {
            return;
        };
        if let Some(mutant) = self.mutant {
            let fresh = self.ticket(state, what);
            ticket = self
                .cache
                .altered(ticket, fresh, |ticket, fresh| match mutant {
                    Mutant::CountsAreNotCompared => ticket.forgotten = fresh.forgotten,
                    Mutant::GenerationsAreNotCompared => ticket.generation = fresh.generation,
                    Mutant::VouchesFromTheAnswer => ticket.sent_at = fresh.sent_at,
                    _ => {}
                });
        }
        let what = match (self.mutant, what) {
            (Some(Mutant::PartPassesForTheWhole), What::Part) => What::Whole,
            (_, what) => what,
        };
        self.cache.answered(&mut state.copies, what, ticket, record);
    }

    /// `RedisStore::change`, until it waits for the answer.
    pub(super) fn write(&self, state: &mut State) {
        let Some(link) = state.current else {
            return;
        };
        state.left.own -= 1;
        let base = Some(state.server.version).filter(|_| self.is(Mutant::WritesThrough));
        let not_after = state.real + TIMEOUT - u8::from(!self.is(Mutant::NotAfterIsTheDeadline));
        let request = Request::Write(state.writers.len(), not_after);
        state.links[link].requests.push(request);
        state.writers.push(Own {
            at: Writer::Waits(state.now.monotonic + TIMEOUT),
            stored: 0,
            base,
        });
        if self.is(Mutant::OwnWriteForgetsAtOnce) {
            self.cache.forget(&mut state.copies);
        }
    }

    /// `Writing::answered`: forgets the copy, then the caller hears.
    pub(super) fn written(&self, state: &mut State, who: usize) {
        let own = &mut state.writers[who];
        let forgets = !self.is(Mutant::OwnWriteForgetsAtOnce);
        if own.at == Writer::Answered {
            state.heard = state.heard.max(own.stored);
            if self.is(Mutant::OwnWriteForgetsLate) {
                own.at = Writer::Forgets;
                return;
            }
        }
        let base = own.base.filter(|_| own.stored > 0);
        *own = Own::OVER;
        if forgets {
            self.cache.forget(&mut state.copies);
        }
        if let Some(base) = base {
            let ticket = self.ticket(state, What::Whole);
            let own = base.own + 1;
            let record = Some(Version { own, ..base });
            self.cache
                .answered(&mut state.copies, What::Whole, ticket, record);
        }
    }

    /// `Writing` is dropped without an answer.
    pub(super) fn unanswered(&self, state: &mut State, who: usize) {
        let own = &mut state.writers[who];
        let Writer::Waits(deadline) = own.at else {
            return;
        };
        own.at = Writer::InDoubt(deadline);
        let now = self.now(state);
        let until = state.now.monotonic + TIMEOUT;
        state.suspended_until = state.suspended_until.max(until);
        let copies = &mut state.copies;
        match self.mutant {
            Some(Mutant::LostAnswerForgetsNothing) => {}
            Some(Mutant::LostAnswerOnlyForgets) => self.cache.forget(copies),
            Some(Mutant::SuspendsTooShortly) => self.cache.suspend(copies, now, TIMEOUT - 1),
            Some(Mutant::SuspendsFromTheSending) => {
                let left = deadline.saturating_sub(state.now.monotonic);
                self.cache.suspend(copies, now, left);
            }
            Some(Mutant::SuspendsForGood) => self.cache.suspend(copies, now, u8::MAX),
            _ => self.cache.suspend(copies, now, TIMEOUT),
        }
    }

    /// `RequestSession::in_doubt`.
    pub(super) fn hear(state: &mut State, who: usize) {
        let stored = state.writers[who].stored;
        state.heard = state.heard.max(stored);
        state.writers[who] = Own::OVER;
    }

    /// The driver forgets a changed copy itself. It hands an answer to a task, which may resume at any time.
    pub(super) fn read(&self, state: &mut State, index: usize) {
        let replies = &mut state.links[index].replies;
        let is_answer = |reply: &Reply| matches!(reply, Reply::Loaded(..) | Reply::Written(_));
        let first = match self.is(Mutant::ChangesComeAnotherWay) {
            true => replies.iter().position(is_answer).unwrap_or_default(),
            false => 0,
        };
        match replies.remove(first) {
            Reply::Loaded(mut load, record) => {
                let fresh = |state: &mut State| self.ticket(state, load.what);
                load.ticket = match (self.mutant, load.ticket) {
                    (Some(Mutant::TicketAfterTheSending), _) => Some(fresh(state)),
                    (Some(Mutant::CountIsReadWithTheAnswer), Some(ticket)) => {
                        let alter = |ticket: &mut Ticket, fresh: Ticket| {
                            ticket.forgotten = fresh.forgotten;
                        };
                        Some(self.cache.altered(ticket, fresh(state), alter))
                    }
                    (_, ticket) => ticket,
                };
                state.answered.push((load, record));
                state.answered.sort_unstable();
            }
            Reply::Written(who) => {
                let own = &mut state.writers[who];
                if matches!(own.at, Writer::Waits(_)) {
                    own.at = Writer::Answered;
                }
            }
            Reply::Changed if self.is(Mutant::ChangesAreIgnored) => {}
            Reply::Changed => self.cache.forget(&mut state.copies),
            Reply::AllChanged if self.is(Mutant::NoKeysMeanNothing) => {}
            Reply::AllChanged => self.cache.forget_all(&mut state.copies),
        }
    }

    /// `NearCache::begin`.
    pub(super) fn connect(&self, state: &mut State) {
        if !self.is(Mutant::ConnectForgetsNothing) {
            self.cache.forget_all(&mut state.copies);
        }
        state.is_connecting = true;
    }

    pub(super) fn connected(&self, state: &mut State) {
        state.current = Some(state.links.len());
        state.links.push(Link::new());
        state.is_connecting = false;
    }

    /// A load waiting on the link may be resent with the same ticket.
    pub(super) fn close(&self, state: &mut State, index: usize) {
        state.left.closes -= 1;
        let link = &mut state.links[index];
        for load in link.loads() {
            state.asked.push(Asked { load, link: None });
        }
        state.asked.sort_unstable();
        link.close();
        if !self.is(Mutant::ClosedLinkForgetsNothing) {
            self.cache.forget_all(&mut state.copies);
        }
    }

    /// When the last handle of a connection is gone, the connection closes.
    pub(super) fn hang_up(&self, state: &mut State) {
        for (index, link) in state.links.iter_mut().enumerate() {
            let waits = |who: usize| matches!(state.writers[who].at, Writer::Waits(_));
            let mut requests = link.requests.iter();
            let asks = requests.any(|request| match request {
                Request::Load(_) => true,
                Request::Write(who, _) => waits(*who),
            });
            let mut replies = link.replies.iter();
            let hears = replies.any(|reply| match reply {
                Reply::Loaded(..) => true,
                Reply::Written(who) => waits(*who),
                Reply::Changed | Reply::AllChanged => false,
            });
            let holds = |asked: &Asked| asked.link == Some(index);
            let is_held = asks || hears || state.asked.iter().any(holds);
            if link.is_open && state.current != Some(index) && !is_held {
                link.close();
            }
        }
    }
}
