//! Messages to the store: they are delayed without bound, connections break, processes crash, and the store
//! is rolled back once.
//!
//! A tick is a millisecond of the store's clock. A request sends its messages one after another. When the
//! connection of a call breaks, its answer is lost, and its bytes arrive later or never.

mod act;
mod claims;
mod deliver;
mod tests;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use self::tests::Mutant;
use super::explore::{self, Claim};
use super::real::{ABSENT, Cookie, Doing, Real, START, Stored, User};
use crate::clock::Timestamp;
use crate::plan::{Commit, Loaded, Pending};

const REQUESTS: usize = 3;
const SENDS: u8 = 3;
/// How long a commit may take, in ticks.
const TIMEOUT: u8 = 1;
/// The browser's first cookie.
const FIRST: Cookie = Cookie {
    id: 0,
    login: 0,
    verifier: 0,
};
/// The most records: the first, and one for each message that begins one.
const IDS: u8 = 1 + REQUESTS as u8 * SENDS;

pub(super) struct World {
    real: Real,
    requests: Vec<Planned>,
    /// Whose session the first cookie opens, if any.
    session_of: Option<User>,
    ticks: u8,
    /// Whether one request may crash.
    crashes: bool,
    rolls_back: bool,
    /// How far a request's first estimate of the store's time is behind.
    lag: u8,
    mutant: Option<Mutant>,
    watched: Option<Claim>,
    done: RefCell<HashMap<Input, (Stored, Heard)>>,
    plans: RefCell<HashMap<(usize, Opened), Rc<Plan>>>,
}

struct Plan {
    loaded: Loaded,
    pending: Pending,
    commit: Commit,
}

impl Plan {
    /// A request has one cookie, so it ends at most one record.
    fn ends(&self, opened: Opened) -> Option<Cookie> {
        opened.cookie.filter(|_| !self.loaded.ends().is_empty())
    }
}

/// A request, its message, the target record, and whether the message is late.
type Input = (usize, Message, Stored, bool);

#[derive(Clone, Copy)]
struct Planned {
    doing: Doing,
    /// Whether it comes from a second browser, which always has the first cookie.
    is_elsewhere: bool,
}

#[derive(Clone, Eq, Hash, PartialEq)]
pub(super) struct State {
    now: u8,
    store: Store,
    snapshot: Option<Store>,
    was_rolled_back: bool,
    has_crashed: bool,
    jar: Option<Cookie>,
    /// The ids that an acknowledged request has ended, as bits.
    ended: u16,
    requests: [Request; REQUESTS],
}

type Store = [Stored; IDS as usize];

#[derive(Clone, Copy, Eq, Hash, PartialEq)]
struct Request {
    at: At,
    flight: [Option<Message>; SENDS as usize],
    sent: u8,
    /// How often its changes were stored.
    landed: u8,
    has_left: bool,
}

#[derive(Clone, Copy, Eq, Hash, PartialEq)]
enum At {
    NotBegun,
    /// The handler is done.
    Open(Opened, Option<Deadline>),
    Called(Call),
    /// It waits for its deadline.
    InDoubt(Deadline),
    Ended(Outcome),
}

type Deadline = u8;

/// What a request loaded. The real code derives all else from this.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Opened {
    cookie: Option<Cookie>,
    stored: Stored,
}

#[derive(Clone, Copy, Eq, Hash, PartialEq)]
struct Call {
    message: Message,
    deadline: Deadline,
    heard: Option<Heard>,
    /// Whether an earlier copy may have been done.
    doubt: bool,
    /// Whether the session to end has another login.
    is_left: bool,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Message {
    Update {
        opened: Opened,
        number: u8,
        not_after: u8,
    },
    Delete {
        opened: Opened,
        number: u8,
        not_after: u8,
    },
    /// An update that ends the session, so another user's can begin.
    Leave {
        opened: Opened,
        number: u8,
        not_after: u8,
    },
    Create {
        opened: Opened,
        number: u8,
    },
}

impl Message {
    fn opened(self) -> Opened {
        match self {
            Self::Update { opened, .. }
            | Self::Delete { opened, .. }
            | Self::Leave { opened, .. }
            | Self::Create { opened, .. } => opened,
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Heard {
    Done,
    Gone,
    Late,
    /// A delete: the record has another login.
    Other,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Outcome {
    Acknowledged,
    /// 503.
    Failed,
    /// Its session had ended, or its token was replaced.
    Dropped,
    Crashed,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// `RequestSession::open`, and the handler.
    Begin(usize),
    /// `RequestSession::execute` up to its first call.
    Commit(usize),
    Arrive(usize, usize),
    Hear(usize),
    Break(usize),
    /// Certainly nothing was sent.
    Refuse(usize),
    /// `sleep_until(deadline)` ends.
    Wake(usize),
    Crash(usize),
    Tick,
    Remember,
    RollBack,
}

impl explore::World for World {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        let mut store = [ABSENT; IDS as usize];
        if let Some(user) = self.session_of {
            store[0] = self.real.session_of(FIRST, user);
        }
        let idle = Request {
            at: At::NotBegun,
            flight: [None; SENDS as usize],
            sent: 0,
            landed: 0,
            has_left: false,
        };
        State {
            now: 1,
            store,
            snapshot: None,
            was_rolled_back: false,
            has_crashed: false,
            jar: self.session_of.map(|_| FIRST),
            ended: 0,
            requests: [idle; REQUESTS],
        }
    }

    fn steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::new();
        for (who, request) in state.requests.iter().take(self.requests.len()).enumerate() {
            match request.at {
                At::NotBegun => steps.push(Step::Begin(who)),
                At::Open(..) => steps.push(Step::Commit(who)),
                At::Called(call) => {
                    if call.heard.is_some() {
                        steps.push(Step::Hear(who));
                    } else {
                        steps.push(Step::Refuse(who));
                    }
                    steps.push(Step::Break(who));
                }
                At::InDoubt(deadline) if state.now >= deadline => steps.push(Step::Wake(who)),
                At::InDoubt(_) | At::Ended(_) => {}
            }
            let flight = request.flight.iter().enumerate();
            steps.extend(
                flight.filter_map(|(which, message)| message.map(|_| Step::Arrive(who, which))),
            );
            let is_busy = !matches!(request.at, At::NotBegun | At::Ended(_));
            if self.crashes && !state.has_crashed && is_busy {
                steps.push(Step::Crash(who));
            }
        }
        if state.now < 1 + self.ticks {
            steps.push(Step::Tick);
        }
        if self.rolls_back && state.snapshot.is_none() && !state.was_rolled_back {
            steps.push(Step::Remember);
        }
        if state
            .snapshot
            .is_some_and(|snapshot| snapshot != state.store)
        {
            steps.push(Step::RollBack);
        }
        steps
    }

    fn take(&self, state: &mut State, step: Step) -> Result<(), Claim> {
        match step {
            Step::Begin(who) => self.begin(state, who),
            Step::Commit(who) => self.commit(state, who)?,
            Step::Arrive(who, which) => self.arrive(state, who, which)?,
            Step::Hear(who) => self.hear(state, who)?,
            Step::Break(who) => self.break_off(state, who)?,
            Step::Refuse(who) => self.refuse(state, who)?,
            Step::Wake(who) => self.fail(state, who)?,
            Step::Crash(who) => {
                state.has_crashed = true;
                state.requests[who].at = At::Ended(Outcome::Crashed);
            }
            Step::Tick => state.now += 1,
            Step::Remember => state.snapshot = Some(state.store),
            Step::RollBack => {
                state.store = state.snapshot.take().unwrap_or(state.store);
                state.was_rolled_back = true;
                state.ended = 0;
            }
        }
        self.forget_what_has_no_effect(state);
        Ok(())
    }
}

impl World {
    /// Drops messages that can no longer have an effect, so equal states stay equal.
    fn forget_what_has_no_effect(&self, state: &mut State) {
        for request in &mut state.requests {
            let waits_for = match request.at {
                At::Called(call) => Some(call.message),
                _ => None,
            };
            for place in &mut request.flight {
                let is_over = match place {
                    Some(
                        Message::Update { not_after, .. }
                        | Message::Delete { not_after, .. }
                        | Message::Leave { not_after, .. },
                    ) => state.now > *not_after,
                    Some(Message::Create { .. }) | None => false,
                };
                if is_over && *place != waits_for {
                    *place = None;
                }
            }
            request.flight.sort_unstable_by_key(Option::is_none);
        }
    }
}

fn at(tick: u8) -> Timestamp {
    START.plus(Duration::from_millis(tick.into()))
}
