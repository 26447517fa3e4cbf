//! The near cache: a process keeps copies of a record, and the server announces changes. Messages are
//! delayed, tasks resume late, connections are replaced, clocks are set.
//!
//! The real [`Copies`](crate::store::redis::near::Copies) decides. The steps are those of `RedisStore::load`,
//! `RedisStore::change`, `Shared` and `NearCache`.

mod cache;
mod claims;
mod process;
mod server;
mod tests;
mod worlds;

use std::cell::Cell;

use self::cache::{Cache, CopiesNumber, Now, What};
use self::process::{Asked, Own, Writer};
use self::server::{Link, Load, Server};
use self::tests::Mutant;
use super::explore::{self, Claim};

/// How long a write may take, in ticks.
const TIMEOUT: u8 = 2;

/// The wall clock's first time, and by how much it may be set.
const NOON: u8 = 8;
const SET_BY: u8 = 4;

/// How often other processes wrote the record, and how often this one did.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Version {
    others: u8,
    own: u8,
    is_whole: bool,
}

impl Version {
    fn number(self) -> usize {
        usize::from(self.others + self.own)
    }
}

#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(super) struct Bounds {
    /// How long a copy may count, in ticks.
    within: u8,
    /// Loads, by what they want.
    whole: u8,
    part: u8,
    absent: u8,
    /// Writes by this process, and by others.
    own: u8,
    others: u8,
    empties: u8,
    /// Links that the process opens after the first, and sees closed.
    links: u8,
    closes: u8,
    /// Ticks, and further ones while the machine sleeps.
    ticks: u8,
    sleeps: u8,
    set_back: u8,
    set_ahead: u8,
}

pub(super) struct World {
    cache: Cache,
    bounds: Bounds,
    mutant: Option<Mutant>,
    watched: Option<Claim>,
    hits: Cell<usize>,
}

#[derive(Clone, Eq, Hash, PartialEq)]
pub(super) struct State {
    left: Bounds,
    /// The server's clock, and the process's.
    real: u8,
    now: Now,
    server: Server,
    links: Vec<Link>,
    current: Option<usize>,
    is_connecting: bool,
    copies: CopiesNumber,
    /// Loads to send, and answered loads whose tasks have not resumed. Sorted, because their order does not
    /// matter.
    asked: Vec<Asked>,
    answered: Vec<(Load, Option<Version>)>,
    writers: Vec<Own>,
    /// The newest own write whose caller has heard.
    heard: usize,
    /// Until then, no loaded record is kept.
    suspended_until: u8,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// `RedisStore::load` until it gets a connection.
    Ask(What),
    Send(usize),
    Answered(usize),
    /// `RedisStore::change` until it waits.
    Write,
    /// It resumes after the answer; or no answer came, or its caller was dropped.
    Written(usize),
    Unanswered(usize),
    /// A caller hears that its write's outcome is unknown.
    Hear(usize),
    Execute(usize),
    Read(usize),
    /// `give_back`, and the start and end of `Shared::connect`.
    GiveBack,
    Connect,
    Connected,
    Close(usize),
    /// Another process writes.
    Change,
    Empty,
    Tick,
    /// Time passes that only the wall clock shows.
    Sleep,
    SetBack,
    SetAhead,
}

impl explore::World for World {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        let mut state = State {
            left: self.bounds,
            real: 0,
            now: Now {
                monotonic: 0,
                wall: NOON,
            },
            server: Server::new(),
            links: Vec::new(),
            current: None,
            is_connecting: false,
            copies: self.cache.none(self.bounds.within, self.mutant),
            asked: Vec::new(),
            answered: Vec::new(),
            writers: Vec::new(),
            heard: 0,
            suspended_until: 0,
        };
        self.connect(&mut state);
        self.connected(&mut state);
        state
    }

    fn steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::new();
        let left = &state.left;
        let mut may = |step: Step, can: bool| can.then(|| steps.push(step));
        may(Step::Ask(What::Whole), left.whole > 0);
        may(Step::Ask(What::Part), left.part > 0);
        may(Step::Ask(What::Absent), left.absent > 0);
        for (index, asked) in state.asked.iter().enumerate() {
            may(Step::Send(index), self.link(state, *asked).is_some());
        }
        for index in 0..state.answered.len() {
            may(Step::Answered(index), true);
        }
        let has_link = state.current.is_some_and(|link| state.links[link].is_open);
        let has_record = !state.server.is_emptied;
        may(Step::Write, left.own > 0 && has_link && has_record);
        for (who, own) in state.writers.iter().enumerate() {
            may(Step::Unanswered(who), matches!(own.at, Writer::Waits(_)));
            let is_written = matches!(own.at, Writer::Answered | Writer::Forgets);
            may(Step::Written(who), is_written);
            let is_due = |deadline| state.now.monotonic >= deadline;
            let hears = matches!(own.at, Writer::InDoubt(deadline) if is_due(deadline));
            may(Step::Hear(who), hears);
        }
        for (index, link) in state.links.iter().enumerate() {
            may(Step::Execute(index), !link.requests.is_empty());
            may(Step::Read(index), !link.replies.is_empty());
            may(Step::Close(index), link.is_open && left.closes > 0);
        }
        let replaces = left.links > 0;
        may(
            Step::GiveBack,
            replaces && state.current.is_some() && !state.is_connecting,
        );
        let has_none = state.current.is_none() || self.is(Mutant::ReplacesTheCurrentLink);
        may(Step::Connect, replaces && has_none && !state.is_connecting);
        may(Step::Connected, state.is_connecting);
        may(Step::Change, left.others > 0 && has_record);
        may(Step::Empty, left.empties > 0 && has_record);
        may(Step::Tick, left.ticks > 0);
        may(Step::Sleep, left.sleeps > 0);
        may(Step::SetBack, left.set_back > 0);
        may(Step::SetAhead, left.set_ahead > 0);
        steps
    }

    fn take(&self, state: &mut State, step: Step) -> Result<(), Claim> {
        match step {
            Step::Ask(what) => self.ask(state, what),
            Step::Send(index) => self.send(state, index),
            Step::Answered(index) => self.answered(state, index),
            Step::Write => self.write(state),
            Step::Written(who) => self.written(state, who),
            Step::Unanswered(who) => self.unanswered(state, who),
            Step::Hear(who) => Self::hear(state, who),
            Step::Execute(index) => self.execute(state, index),
            Step::Read(index) => self.read(state, index),
            Step::GiveBack => state.current = None,
            Step::Connect => {
                state.left.links -= 1;
                self.connect(state);
            }
            Step::Connected => self.connected(state),
            Step::Close(index) => self.close(state, index),
            Step::Change => {
                state.left.others -= 1;
                self.change(state);
            }
            Step::Empty => {
                state.left.empties -= 1;
                self.empty(state);
            }
            Step::Tick => {
                state.left.ticks -= 1;
                state.now.monotonic += 1;
                self.pass(state);
            }
            Step::Sleep => {
                state.left.sleeps -= 1;
                self.pass(state);
            }
            Step::SetBack => {
                state.left.set_back -= 1;
                state.now.wall -= SET_BY;
            }
            Step::SetAhead => {
                state.left.set_ahead -= 1;
                state.now.wall += SET_BY;
            }
        }
        self.hang_up(state);
        self.check(state)
    }
}

impl World {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn now(&self, state: &State) -> Now {
        let Now { monotonic, wall } = state.now;
        match self.mutant {
            Some(Mutant::WallIsNotLookedAt) => Now {
                wall: NOON + monotonic,
                monotonic,
            },
            Some(Mutant::MonotonicIsNotLookedAt) => Now {
                monotonic: wall,
                wall,
            },
            _ => state.now,
        }
    }

    fn pass(&self, state: &mut State) {
        state.real += 1;
        state.now.wall += 1;
        state.server.pass(self.bounds.within);
    }
}
