use super::super::explore::broken;
use super::super::real::{ABSENT, Cookie, Stored, User};
use super::tests::Mutant;
use super::{At, Call, Claim, Heard, Message, Outcome, State, World};
use crate::plan::Commit;

impl World {
    pub(super) fn arrive(&self, state: &mut State, who: usize, which: usize) -> Result<(), Claim> {
        let Some(message) = state.requests[who].flight[which].take() else {
            return Ok(());
        };
        let Some(target) = self.target(who, message) else {
            return Ok(());
        };
        let place = usize::from(target.id);
        let before = state.store[place];
        let Some((after, heard)) = self.deliver(who, message, before, state.now) else {
            return Ok(());
        };
        state.store[place] = after;
        let request = &mut state.requests[who];
        if let At::Called(call) = &mut request.at
            && call.message == message
        {
            call.heard = Some(heard);
        }
        if after == before {
            return Ok(());
        }
        let is_begun = matches!(message, Message::Create { .. });
        let has_ended = matches!(request.at, At::Ended(outcome) if outcome != Outcome::Crashed);
        if let (Message::Update { opened, .. }, Heard::Done) = (message, heard) {
            request.landed += u8::from(self.requests[who].doing.adds);
            if opened
                .cookie
                .is_none_or(|cookie| !self.real.opens(cookie, before))
            {
                self.broken(STALE)?;
            }
        }
        if let (Message::Leave { opened, .. }, Heard::Done) = (message, heard) {
            request.has_left = true;
            if opened
                .cookie
                .is_none_or(|cookie| !self.real.opens(cookie, before))
            {
                self.broken(STALE)?;
            }
        }
        if let Message::Create { opened, .. } = message
            && !request.has_left
            && matches!(request.at, At::Called(_))
            && self.requests[who].doing.logs_in.is_none()
            && let Some(cookie) = opened
                .cookie
                .filter(|cookie| self.real.opens(*cookie, opened.stored))
            && state.ended & 1 << cookie.id != 0
        {
            self.broken(AFTER_THE_END)?;
        }
        if let Message::Delete { opened, .. } = message
            && !opened
                .cookie
                .is_some_and(|cookie| self.real.is_of_login(cookie, before))
        {
            self.broken(OTHERS_ENDED)?;
        }
        if request.landed > 1 {
            self.broken(TWICE)?;
        }
        if has_ended && !is_begun && !state.was_rolled_back {
            self.broken(LATE)?;
        }
        if state.ended & 1 << place != 0 && after != ABSENT {
            self.broken(RESURRECTED)?;
        }
        self.check_record(who, before, after)
    }

    fn check_record(&self, who: usize, before: Stored, after: Stored) -> Result<(), Claim> {
        let Some(said) = self.real.said(after) else {
            return Ok(());
        };
        if said.author != User::Nobody && said.author != said.user {
            self.broken(LEAKED)?;
        }
        let views = self.real.said(before).map_or(0, |said| said.views);
        if said.views != views + u64::from(self.requests[who].doing.adds) {
            self.broken(TWICE)?;
        }
        Ok(())
    }

    fn broken(&self, claim: Claim) -> Result<(), Claim> {
        broken(self.watched, claim)
    }

    /// The client is told that its request succeeded.
    pub(super) fn acknowledge(
        &self,
        state: &mut State,
        who: usize,
        cookie: Option<Cookie>,
    ) -> Result<(), Claim> {
        let (opened, is_left) = match state.requests[who].at {
            At::Open(opened, _) => (opened, false),
            At::Called(call) => (call.message.opened(), call.is_left),
            At::NotBegun | At::InDoubt(_) | At::Ended(_) => return Ok(()),
        };
        let doing = self.requests[who].doing;
        if doing.adds && state.requests[who].landed != 1 {
            self.broken(LOST)?;
        }
        if doing.logs_in.is_some() && cookie.is_none() {
            self.broken(NOT_LOGGED_IN)?;
        }
        let plan = self.planned(who, opened);
        if matches!(
            plan.commit,
            Commit::End | Commit::Begin { ends_others: true }
        ) {
            if let Some(ended) = plan.ends(opened).filter(|_| !is_left) {
                self.check_ended(state, ended)?;
                // Unless a rollback has brought it back.
                let is_over = state.store[usize::from(ended.id)] == ABSENT;
                state.ended |= u16::from(is_over) << ended.id;
            }
            if !is_left {
                self.set_cookie(state, who, None);
            }
        }
        if cookie.is_some() {
            self.set_cookie(state, who, cookie);
        }
        state.requests[who].at = At::Ended(Outcome::Acknowledged);
        Ok(())
    }

    /// If the session was ended, the cookie goes.
    pub(super) fn fail(&self, state: &mut State, who: usize) -> Result<(), Claim> {
        if let At::Called(Call {
            message,
            is_left: false,
            ..
        }) = state.requests[who].at
        {
            let opened = message.opened();
            let plan = self.planned(who, opened);
            let is_at_second = match message {
                Message::Create { .. } => true,
                Message::Delete { .. } => self.is(Mutant::SwitchCreatesFirst),
                Message::Update { .. } | Message::Leave { .. } => false,
            };
            let is_switch = plan.commit == Commit::Begin { ends_others: true };
            if let Some(ended) = plan.ends(opened).filter(|_| is_switch && is_at_second) {
                self.set_cookie(state, who, None);
                self.check_ended(state, ended)?;
            }
        }
        state.requests[who].at = At::Ended(Outcome::Failed);
        Ok(())
    }

    pub(super) fn drop_changes(&self, state: &mut State, who: usize) -> Result<(), Claim> {
        if state.requests[who].landed != 0 {
            self.broken(DROPPED)?;
        }
        state.requests[who].at = At::Ended(Outcome::Dropped);
        Ok(())
    }

    fn check_ended(&self, state: &State, ended: Cookie) -> Result<(), Claim> {
        match state.store[usize::from(ended.id)] != ABSENT && !state.was_rolled_back {
            true => self.broken(NOT_ENDED),
            false => Ok(()),
        }
    }

    pub(super) fn set_cookie(&self, state: &mut State, who: usize, cookie: Option<Cookie>) {
        if !self.requests[who].is_elsewhere {
            state.jar = cookie;
        }
    }
}

pub(super) const AFTER_THE_END: Claim =
    "after an end that was acknowledged, only a login begins a session";
pub(super) const TWICE: Claim = "a change is stored once, and adds one";
pub(super) const LOST: Claim = "an acknowledged +1 is counted";
pub(super) const LATE: Claim = "nothing of a request lands after its response";
pub(super) const STALE: Claim = "a replaced token stores nothing";
pub(super) const RESURRECTED: Claim = "a session whose end was acknowledged never comes back";
pub(super) const NOT_ENDED: Claim = "a session whose end is acknowledged is over";
pub(super) const OTHERS_ENDED: Claim = "an end leaves another login alone";
pub(super) const LEAKED: Claim = "what was written in one user's name is in no other's session";
pub(super) const NOT_LOGGED_IN: Claim = "who is told to be logged in has a session";
pub(super) const DROPPED: Claim = "what is said to be dropped is not stored";
