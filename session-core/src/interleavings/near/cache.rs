//! The real copies. A state holds only their number; results are cached.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash};
use std::time::Duration;

use super::super::explore::Mix;
use super::Version;
use super::tests::Mutant;
use crate::store::redis::near::{Copies, Moment, Ticket};
use crate::store::{Key, Wanted};
use crate::token::Token;

const TICK: Duration = Duration::from_secs(1);

pub(super) type CopiesNumber = u32;
pub(super) type TicketNumber = u16;

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(in super::super) enum What {
    Whole,
    /// One field.
    Part,
    /// A session that does not exist: the answer says only that the link is alive.
    Absent,
}

/// In ticks.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Now {
    pub(super) monotonic: u8,
    pub(super) wall: u8,
}

#[derive(Clone, Copy, Eq, Hash, PartialEq)]
enum Call {
    Answered(What, TicketNumber, Option<Version>),
    Forget,
    ForgetAll,
    Get(What, Now),
    Suspend(Now, u8),
    Ticket(What, Now),
}

#[derive(Clone, Copy)]
enum Answer {
    Copy(Option<Version>),
    Nothing,
    Ticket(TicketNumber),
}

pub(super) struct Cache {
    start: Moment,
    key: Key,
    absent: Key,
    part: Wanted,
    copies: RefCell<Numbered<Copies<Version>>>,
    tickets: RefCell<Numbered<Ticket>>,
    done: RefCell<Map<(CopiesNumber, Call), (CopiesNumber, Answer)>>,
}

type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

struct Numbered<T> {
    all: Vec<T>,
    numbers: Map<T, usize>,
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    fn new() -> Self {
        Self {
            all: Vec::new(),
            numbers: Map::default(),
        }
    }

    fn number(&mut self, item: T) -> usize {
        if let Some(number) = self.numbers.get(&item) {
            return *number;
        }
        self.all.push(item.clone());
        self.numbers.insert(item, self.all.len() - 1);
        self.all.len() - 1
    }
}

impl Cache {
    pub(super) fn new() -> Self {
        let key = || Key::new("visit", Token::generate().unwrap().id());
        Self {
            start: Moment::now(),
            key: key(),
            absent: key(),
            part: Wanted::Fields(["part".into()].into()),
            copies: RefCell::new(Numbered::new()),
            tickets: RefCell::new(Numbered::new()),
            done: RefCell::default(),
        }
    }

    /// The copies before the first connection.
    pub(super) fn none(&self, within: u8, mutant: Option<Mutant>) -> CopiesNumber {
        let beyond = match mutant {
            Some(Mutant::AgeMayBeAllThatIsAllowed) => Duration::from_nanos(1),
            _ => Duration::ZERO,
        };
        self.number(Copies::new(TICK * within.into() + beyond, 1))
    }

    pub(super) fn get(&self, copies: CopiesNumber, what: What, now: Now) -> Option<Version> {
        // Before the copies run out, one reader asks the server, and the next does not.
        let (after, first) = self.call(copies, Call::Get(what, now));
        match first {
            Answer::Copy(None) => match self.call(after, Call::Get(what, now)).1 {
                Answer::Copy(copy) => copy,
                _ => None,
            },
            Answer::Copy(copy) => copy,
            _ => None,
        }
    }

    pub(super) fn ticket(&self, copies: &mut CopiesNumber, what: What, now: Now) -> TicketNumber {
        match self.call(*copies, Call::Ticket(what, now)) {
            (after, Answer::Ticket(ticket)) => {
                *copies = after;
                ticket
            }
            _ => unreachable!("a ticket is a ticket"),
        }
    }

    pub(super) fn altered(
        &self,
        ticket: TicketNumber,
        fresh: TicketNumber,
        alter: impl FnOnce(&mut Ticket, Ticket),
    ) -> TicketNumber {
        let mut tickets = self.tickets.borrow_mut();
        let mut altered = tickets.all[usize::from(ticket)];
        alter(&mut altered, tickets.all[usize::from(fresh)]);
        TicketNumber::try_from(tickets.number(altered)).unwrap()
    }

    pub(super) fn answered(
        &self,
        copies: &mut CopiesNumber,
        what: What,
        ticket: TicketNumber,
        record: Option<Version>,
    ) {
        *copies = self.call(*copies, Call::Answered(what, ticket, record)).0;
    }

    pub(super) fn forget(&self, copies: &mut CopiesNumber) {
        *copies = self.call(*copies, Call::Forget).0;
    }

    pub(super) fn forget_all(&self, copies: &mut CopiesNumber) {
        *copies = self.call(*copies, Call::ForgetAll).0;
    }

    pub(super) fn suspend(&self, copies: &mut CopiesNumber, now: Now, ticks: u8) {
        *copies = self.call(*copies, Call::Suspend(now, ticks)).0;
    }

    fn call(&self, number: CopiesNumber, call: Call) -> (CopiesNumber, Answer) {
        if let Some(known) = self.done.borrow().get(&(number, call)) {
            return *known;
        }
        let mut copies = self.copies.borrow().all[number as usize].clone();
        let mut answer = Answer::Nothing;
        match call {
            Call::Answered(what, ticket, record) => {
                let ticket = self.tickets.borrow().all[usize::from(ticket)];
                copies.answered(self.key(what), self.wanted(what), ticket, record);
            }
            Call::Forget => copies.forget(self.key.id),
            Call::ForgetAll => copies.forget_all(),
            Call::Get(what, now) => {
                let now = self.moment(now);
                answer = Answer::Copy(copies.get(self.key(what), self.wanted(what), now));
            }
            Call::Suspend(now, ticks) => {
                copies.suspend(self.key.id, self.moment(now), TICK * ticks.into());
            }
            Call::Ticket(what, now) => {
                let ticket = copies.ticket(self.key(what), self.moment(now));
                let number = self.tickets.borrow_mut().number(ticket);
                answer = Answer::Ticket(TicketNumber::try_from(number).unwrap());
            }
        }
        let done = (self.number(copies), answer);
        self.done.borrow_mut().insert((number, call), done);
        done
    }

    fn number(&self, copies: Copies<Version>) -> CopiesNumber {
        CopiesNumber::try_from(self.copies.borrow_mut().number(copies)).unwrap()
    }

    fn key(&self, what: What) -> Key {
        match what {
            What::Whole | What::Part => self.key,
            What::Absent => self.absent,
        }
    }

    fn wanted(&self, what: What) -> &Wanted {
        match what {
            What::Whole | What::Absent => &Wanted::All,
            What::Part => &self.part,
        }
    }

    fn moment(&self, now: Now) -> Moment {
        Moment {
            monotonic: self.start.monotonic + TICK * now.monotonic.into(),
            wall: self.start.wall + TICK * now.wall.into(),
        }
    }
}
