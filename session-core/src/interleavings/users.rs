//! Logins, logouts, touches and ends of all sessions of one user. Each step is one call to the store, and any
//! step may be its process's last.
//!
//! Records and rosters are in one store, but no call touches both. The steps are those of `engine/users.rs`
//! and `request/act.rs`; the real [`Step::apply_to`] changes the roster.

mod tests;

use self::tests::Mutant;
use super::explore::{self, Claim, broken};
use crate::clock::Timestamp;
use crate::token::SessionId;
use crate::users::{Limit, Mark, Member, Roster, Step as Change, Stepped, What, WhenFull, Whom};

pub(super) const UNLISTED: Claim = "every session of the user is listed";
pub(super) const SURVIVED: Claim = "after an end of all, no session lives whose login began before";
pub(super) const REFUSED: Claim = "a login that began after an end of all is let in";
pub(super) const TOO_MANY: Claim =
    "after a login beside which nobody is at work, no more live than are allowed";
pub(super) const EXTENDED: Claim = "what is to end is not extended";

/// The most requests. Each login begins a session of the same number.
const REQUESTS: usize = 4;
/// No session expires here.
const LATER: Timestamp = Timestamp::from_millis(1 << 40);
const NOW: Timestamp = Timestamp::from_millis(1 << 30);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Doing {
    EndAll,
    Login,
    /// With the session of this request.
    Logout(usize),
    Touch(usize),
}

pub(super) struct World {
    requests: Vec<Doing>,
    max: Option<usize>,
    crashes: u8,
    mutant: Option<Mutant>,
    watched: Option<Claim>,
    ids: Vec<SessionId>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Record {
    Absent,
    Anonymous,
    Users,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum At {
    NotBegun,
    /// Its password is being checked, or it has loaded.
    Begun,
    Created,
    /// The sessions that remain, as bits.
    Deletes(u8),
    Forgets(u8),
    Writes,
    Ended,
    Crashed,
}

#[derive(Clone, Eq, Hash, PartialEq)]
pub(super) struct State {
    records: [Record; REQUESTS],
    /// Whether each session is doomed. `None`: it is not listed.
    members: [Option<bool>; REQUESTS],
    since: [u8; REQUESTS],
    ended_at: Option<u8>,
    /// Steps on the roster.
    steps: u8,
    requests: [At; REQUESTS],
    began_at: [u8; REQUESTS],
    /// The ends of all that had returned when a request began, and those that had begun by then, as bits.
    returned: [u8; REQUESTS],
    had_begun: [u8; REQUESTS],
    crashes: u8,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Next(usize),
    Crash(usize),
}

impl explore::World for World {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        State {
            records: [Record::Absent; REQUESTS],
            members: [None; REQUESTS],
            since: [0; REQUESTS],
            ended_at: None,
            steps: 1,
            requests: [At::NotBegun; REQUESTS],
            began_at: [0; REQUESTS],
            returned: [0; REQUESTS],
            had_begun: [0; REQUESTS],
            crashes: 0,
        }
    }

    fn steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::new();
        for who in 0..self.requests.len() {
            let at = state.requests[who];
            if matches!(at, At::Ended | At::Crashed) {
                continue;
            }
            steps.push(Step::Next(who));
            if at != At::NotBegun && state.crashes < self.crashes {
                steps.push(Step::Crash(who));
            }
        }
        steps
    }

    fn take(&self, state: &mut State, step: Step) -> Result<(), Claim> {
        match step {
            Step::Crash(who) => {
                state.requests[who] = At::Crashed;
                state.crashes += 1;
            }
            Step::Next(who) => self.next(state, who)?,
        }
        self.check(state)
    }
}

impl World {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn broken(&self, claim: Claim) -> Result<(), Claim> {
        broken(self.watched, claim)
    }

    fn next(&self, state: &mut State, who: usize) -> Result<(), Claim> {
        state.requests[who] = match (state.requests[who], self.requests[who]) {
            (At::NotBegun, _) => {
                state.began_at[who] = state.steps;
                let ends = |is: fn(At) -> bool| {
                    let doing = self.requests.iter().enumerate();
                    let ends = doing.filter(|(end, doing)| {
                        **doing == Doing::EndAll && is(state.requests[*end])
                    });
                    ends.fold(0, |bits, (end, _)| bits | 1 << end)
                };
                state.returned[who] = ends(|at| at == At::Ended);
                state.had_begun[who] = ends(|at| at != At::NotBegun);
                match self.requests[who] {
                    // A token that opens nothing ends and extends nothing.
                    Doing::Logout(session) | Doing::Touch(session)
                        if state.records[session] != Record::Users =>
                    {
                        At::Ended
                    }
                    _ => At::Begun,
                }
            }
            (At::Begun, Doing::Login) => match self.mutant {
                Some(Mutant::CreateSaysWho) => self.admit(state, who)?,
                Some(Mutant::WritesBeforeTheIndex) => {
                    state.records[who] = Record::Users;
                    At::Created
                }
                _ => {
                    state.records[who] = Record::Anonymous;
                    At::Created
                }
            },
            (At::Created, _) => self.admit(state, who)?,
            (At::Begun, Doing::EndAll) => match self.step(state, What::Doom(Whom::All)) {
                Stepped::Doomed(ids, _) if self.is(Mutant::ForgetsFirst) => {
                    At::Forgets(self.bits(&ids))
                }
                Stepped::Doomed(ids, _) => At::Deletes(self.bits(&ids)),
                _ => At::Ended,
            },
            (At::Begun, Doing::Logout(session)) => At::Deletes(1 << session),
            (At::Begun, Doing::Touch(session)) => {
                let id = self.ids[session];
                let remove_at = LATER;
                let is_listed = state.members[session] == Some(false);
                let renewed = self.step(state, What::Renew { id, remove_at });
                let may = renewed == Stepped::Done(Vec::new()) || self.is(Mutant::TouchAsksNobody);
                if may && !is_listed && state.records[session] == Record::Users {
                    self.broken(EXTENDED)?;
                }
                match may {
                    true => At::Ended,
                    false => At::Deletes(1 << session),
                }
            }
            (At::Deletes(bits), doing) if bits != 0 => {
                let session = bits.trailing_zeros() as usize;
                state.records[session] = Record::Absent;
                let left = bits & (bits - 1);
                let all = self.doomed(state) | 1 << session;
                match left {
                    0 if self.is(Mutant::ForgetsFirst) => Self::then(doing),
                    0 => At::Forgets(self.absent(state) & all | self.absent(state) & bits),
                    left => At::Deletes(left),
                }
            }
            (At::Deletes(_), doing) => Self::then(doing),
            (At::Forgets(bits), doing) => {
                let ids = self.of_bits(bits);
                self.step(state, What::Forget(ids));
                match self.is(Mutant::ForgetsFirst) && bits != 0 {
                    true => At::Deletes(bits),
                    false => Self::then(doing),
                }
            }
            (At::Writes, _) => {
                match state.records[who] {
                    Record::Absent if self.is(Mutant::CreateSaysWho) => {
                        state.records[who] = Record::Users;
                    }
                    Record::Anonymous => state.records[who] = Record::Users,
                    // Gone, so it is no longer listed either.
                    Record::Absent => {
                        self.step(state, What::Forget(vec![self.ids[who]]));
                    }
                    Record::Users => {}
                }
                let others = (0..REQUESTS).filter(|other| *other != who);
                let is_idle = |other: usize| {
                    matches!(
                        state.requests[other],
                        At::NotBegun | At::Ended | At::Crashed
                    )
                };
                if others.into_iter().all(is_idle) {
                    self.check_number(state)?;
                }
                At::Ended
            }
            (at @ (At::Ended | At::Crashed), _) => at,
        };
        Ok(())
    }

    fn then(doing: Doing) -> At {
        match doing {
            Doing::Login => At::Writes,
            Doing::EndAll | Doing::Logout(_) | Doing::Touch(_) => At::Ended,
        }
    }

    fn admit(&self, state: &mut State, who: usize) -> Result<At, Claim> {
        let began_at = match self.is(Mutant::ComparesNoTime) {
            true => u8::MAX,
            false => state.began_at[who],
        };
        let limit = self.max.filter(|_| !self.is(Mutant::CountsNobody));
        let before = state.members;
        state.since[who] = state.steps;
        let entered = self.step(
            state,
            What::Admit {
                id: self.ids[who],
                remove_at: LATER,
                label: String::new(),
                began_at: Mark::new(began_at.into()),
                limit: limit.map(|max| Limit::new(max, WhenFull::EndOldest)),
            },
        );
        let Stepped::Done(doomed) = entered else {
            let ends = state.had_begun[who];
            let all_returned = ends == state.returned[who];
            let is_first = !self.requests.iter().enumerate().any(|(end, doing)| {
                *doing == Doing::EndAll
                    && ends & 1 << end == 0
                    && state.requests[end] != At::NotBegun
            });
            if all_returned && is_first {
                self.broken(REFUSED)?;
            }
            return Ok(At::Ended);
        };
        let mut bits = self.bits(&doomed);
        if self.is(Mutant::RemindsNobody) {
            let reminded = (0..REQUESTS).filter(|session| before[*session] == Some(true));
            bits &= !reminded.fold(0, |bits, session| bits | 1 << session);
        }
        Ok(At::Deletes(bits))
    }

    fn step(&self, state: &mut State, what: What) -> Stepped {
        let mut roster = Roster::default();
        for (session, is_doomed) in state.members.iter().enumerate() {
            if let Some(is_doomed) = is_doomed {
                let member = Member {
                    entered_at: Mark::new(state.since[session].into()),
                    remove_at: LATER,
                    is_doomed: *is_doomed,
                    label: String::new(),
                };
                roster.members.insert(self.ids[session], member);
            }
        }
        roster.set_ended(state.ended_at.map(|at| Mark::new(at.into())), LATER);
        let now = NOW.max(Timestamp::from_millis(state.steps.into()));
        let present = Mark::new(state.steps.into());
        let stepped = Change::new(what, LATER).apply_to(&mut roster, now, present);
        state.steps += 1;
        for (session, id) in self.ids.iter().enumerate() {
            state.members[session] = roster.members.get(id).map(|member| member.is_doomed);
        }
        let ended_at = roster.ended_at.map(Mark::number);
        state.ended_at = ended_at.and_then(|at| u8::try_from(at).ok());
        stepped
    }

    fn bits(&self, ids: &[SessionId]) -> u8 {
        let listed = (0..self.ids.len()).filter(|session| ids.contains(&self.ids[*session]));
        listed.fold(0, |bits, session| bits | 1 << session)
    }

    fn of_bits(&self, bits: u8) -> Vec<SessionId> {
        let listed = (0..self.ids.len()).filter(|session| bits & 1 << session != 0);
        listed.map(|session| self.ids[session]).collect()
    }

    fn doomed(&self, state: &State) -> u8 {
        let doomed = (0..REQUESTS).filter(|session| state.members[*session] == Some(true));
        doomed.fold(0, |bits, session| bits | 1 << session)
    }

    fn absent(&self, state: &State) -> u8 {
        let absent = (0..REQUESTS).filter(|session| state.records[*session] == Record::Absent);
        absent.fold(0, |bits, session| bits | 1 << session)
    }

    fn check(&self, state: &State) -> Result<(), Claim> {
        let is_users = |session: &usize| state.records[*session] == Record::Users;
        let alive: Vec<usize> = (0..REQUESTS).filter(is_users).collect();
        if alive
            .iter()
            .any(|session| state.members[*session].is_none())
        {
            self.broken(UNLISTED)?;
        }
        for (end, doing) in self.requests.iter().enumerate() {
            let has_returned = *doing == Doing::EndAll && state.requests[end] == At::Ended;
            let began_before = |session: &&usize| state.had_begun[**session] & 1 << end == 0;
            if has_returned && alive.iter().any(|session| began_before(&session)) {
                self.broken(SURVIVED)?;
            }
        }
        let is_idle = |at: &At| matches!(at, At::NotBegun | At::Ended);
        match state.requests.iter().all(is_idle) {
            true => self.check_number(state),
            false => Ok(()),
        }
    }

    fn check_number(&self, state: &State) -> Result<(), Claim> {
        let alive = state
            .records
            .iter()
            .filter(|record| **record == Record::Users);
        let alive = alive.count();
        match self.max.is_some_and(|max| alive > max) {
            true => self.broken(TOO_MANY),
            false => Ok(()),
        }
    }
}
