//! Cookies: a browser sends parallel requests and gets their responses late, in any order or never. A thief
//! has a copy of its first cookie, or planted it.
//!
//! The store is reliable here, and each commit is one step; a tick is 30 seconds.

mod act;
mod claims;
mod tests;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use self::tests::{Limit, Mutant};
use super::explore::{self, Claim};
use super::real::{ABSENT, Cookie, Doing, Real, START, Stored, User};
use crate::clock::Timestamp;
use crate::plan::{Commit, Loaded, Pending};
use crate::store::Updated;

/// The most requests, and the most commits of each.
const BROWSERS: usize = 3;
const THIEFS: usize = 2;
const ATTEMPTS: u8 = 3;
const REQUESTS: usize = BROWSERS + THIEFS;
/// The most records: the first, and one for each commit.
const IDS: u8 = 1 + REQUESTS as u8 * ATTEMPTS;
/// As long as a replaced cookie counts as just replaced.
const TICK: Duration = Duration::from_secs(30);
const FIRST: Cookie = Cookie {
    id: 0,
    login: 0,
    verifier: 0,
};

pub(super) struct World {
    real: Real,
    browser: Vec<Doing>,
    thief: usize,
    /// Whose session the first cookie opens, if any.
    session_of: Option<User>,
    ticks: u8,
    mutant: Option<Mutant>,
    /// A documented limit that this world does not grant.
    held: Option<Limit>,
    watched: Option<Claim>,
    plans: RefCell<HashMap<Asked, Rc<Plan>>>,
    updates: RefCell<HashMap<Input, Written>>,
}

/// The request, its attempt, what it asks, the record, and the time.
type Input = (usize, u8, Asked, Stored, u8);

/// The record after an update, the answer, and the cookie if it changes.
type Written = (Stored, Updated, Option<Cookie>);

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Asked {
    doing: Doing,
    opened: Opened,
}

struct Plan {
    loaded: Loaded,
    pending: Pending,
    commit: Commit,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Opened {
    cookie: Option<Cookie>,
    stored: Stored,
    at: u8,
}

#[derive(Clone, Eq, Hash, PartialEq)]
pub(super) struct State {
    now: u8,
    store: [Stored; IDS as usize],
    browser: Option<Cookie>,
    /// The first cookie, if the thief has it, and the last one that he was given.
    thief: [Option<Cookie>; 2],
    /// The browser's requests, then the thief's.
    requests: [At; REQUESTS],
    /// The browser's last completed login, until its own logout.
    login: Option<Login>,
}

#[derive(Clone, Copy, Eq, Hash, PartialEq)]
struct Login {
    cookie: Cookie,
    at: u8,
}

#[derive(Clone, Copy, Eq, Hash, PartialEq)]
enum At {
    NotBegun,
    /// Loaded, with its handler done; the number counts its attempts to commit.
    Open(Asked, u8),
    Answered(Answered),
    Ended,
}

#[derive(Clone, Copy, Eq, Hash, PartialEq)]
struct Answered {
    cookie: Change,
    asked: Asked,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Change {
    Keep,
    Remove,
    Set(Cookie),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// The browser sends its request of this number; the request loads.
    Begin(usize),
    /// The thief does something, with his first or last cookie.
    Steal(usize, Attack, usize),
    Commit(usize),
    Deliver(usize),
    Tick,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Attack {
    LogIn,
    LogOut,
    Rotate,
    Write,
}

impl Attack {
    fn doing(self) -> Doing {
        let mut doing = Doing::default();
        match self {
            Self::LogIn => doing.logs_in = Some(User::Thief),
            Self::LogOut => doing.logs_out = true,
            Self::Rotate => doing.rotates = true,
            Self::Write => doing.writes = true,
        }
        doing
    }
}

impl explore::World for World {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        let mut store = [ABSENT; IDS as usize];
        if let Some(user) = self.session_of {
            store[0] = self.real.session_of(FIRST, user);
        }
        let first = self.session_of.map(|_| FIRST);
        State {
            now: 0,
            store,
            browser: first,
            thief: [first, None],
            requests: [At::NotBegun; REQUESTS],
            login: None,
        }
    }

    fn steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::new();
        for (who, request) in state.requests.iter().enumerate() {
            match request {
                At::NotBegun if who < self.browser.len() => steps.push(Step::Begin(who)),
                At::NotBegun | At::Ended => {}
                At::Open(..) => steps.push(Step::Commit(who)),
                At::Answered(_) => steps.push(Step::Deliver(who)),
            }
        }
        let mut thiefs = BROWSERS..BROWSERS + self.thief;
        let next = thiefs.find(|who| state.requests[*who] == At::NotBegun);
        if let Some(who) = next {
            let attacks = [Attack::LogIn, Attack::LogOut, Attack::Rotate, Attack::Write];
            for (which, _) in state
                .thief
                .iter()
                .enumerate()
                .filter(|(_, cookie)| cookie.is_some())
            {
                steps.extend(attacks.map(|attack| Step::Steal(who, attack, which)));
            }
        }
        if state.now < self.ticks {
            steps.push(Step::Tick);
        }
        steps
    }

    fn take(&self, state: &mut State, step: Step) -> Result<(), Claim> {
        match step {
            Step::Begin(who) => {
                let cookie = state.browser;
                self.begin(state, who, self.browser[who], cookie);
            }
            Step::Steal(who, attack, which) => {
                let cookie = state.thief[which];
                self.begin(state, who, attack.doing(), cookie);
            }
            Step::Commit(who) => self.commit(state, who)?,
            Step::Deliver(who) => self.deliver(state, who)?,
            Step::Tick => state.now += 1,
        }
        Ok(())
    }
}

fn at(tick: u8) -> Timestamp {
    START.plus(TICK * u32::from(tick))
}
