use std::rc::Rc;

use super::super::real::{ABSENT, Cookie, User};
use super::tests::Mutant;
use super::{
    At, Call, Claim, Deadline, FIRST, Heard, Message, Opened, Plan, SENDS, State, TIMEOUT, World,
};
use crate::plan::{Commit, Loaded, NoSession, Renews, plan};

impl World {
    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// `RequestSession::open`.
    pub(super) fn begin(&self, state: &mut State, who: usize) {
        let cookie = match self.requests[who].is_elsewhere {
            true => Some(FIRST),
            false => state.jar,
        };
        state.requests[who].at = At::Open(self.opened(state, cookie), None);
    }

    fn opened(&self, state: &State, cookie: Option<Cookie>) -> Opened {
        let stored = cookie.map_or(ABSENT, |cookie| state.store[usize::from(cookie.id)]);
        Opened { cookie, stored }
    }

    pub(super) fn loaded(&self, opened: Opened) -> Loaded {
        match opened.cookie {
            Some(cookie) => self.real.load(cookie, opened.stored),
            None => Loaded::None(NoSession::default()),
        }
    }

    pub(super) fn user(&self, opened: Opened) -> User {
        let opens = opened
            .cookie
            .filter(|cookie| self.real.opens(*cookie, opened.stored));
        let said = opens.and_then(|_| self.real.said(opened.stored));
        said.map_or(User::Nobody, |said| said.user)
    }

    pub(super) fn planned(&self, who: usize, opened: Opened) -> Rc<Plan> {
        if let Some(known) = self.plans.borrow().get(&(who, opened)) {
            return Rc::clone(known);
        }
        let loaded = self.loaded(opened);
        let pending = self.requests[who].doing.pending(self.user(opened));
        let mut commit = plan(&loaded, &pending, false);
        if self.is(Mutant::SwitchKeepsTheRecord)
            && loaded.live().is_some()
            && commit == (Commit::Begin { ends_others: true })
        {
            commit = Commit::Write {
                renews: Renews::Login,
                data: true,
            };
        }
        let plan = Rc::new(Plan {
            loaded,
            pending,
            commit,
        });
        self.plans
            .borrow_mut()
            .insert((who, opened), Rc::clone(&plan));
        plan
    }

    /// `RequestSession::execute` up to its first call.
    pub(super) fn commit(&self, state: &mut State, who: usize) -> Result<(), Claim> {
        let At::Open(opened, deadline) = state.requests[who].at else {
            return Ok(());
        };
        let deadline = deadline.unwrap_or(state.now + TIMEOUT);
        let plan = self.planned(who, opened);
        let has_ends = plan.ends(opened).is_some();
        match plan.commit {
            Commit::Nothing { drops: false } | Commit::Touch => self.acknowledge(state, who, None),
            Commit::Nothing { drops: true } => self.drop_changes(state, who),
            Commit::Refuse => self.fail(state, who),
            Commit::Write { .. } => {
                self.send(state, who, deadline, |number, not_after| Message::Update {
                    opened,
                    number,
                    not_after,
                });
                Ok(())
            }
            Commit::Begin { ends_others: false } => {
                self.create(state, who, opened, deadline);
                Ok(())
            }
            Commit::Begin { ends_others: true }
                if plan.loaded.live().is_some()
                    && !self.is(Mutant::SwitchCreatesFirst)
                    && !self.is(Mutant::SwitchDeletes) =>
            {
                self.send(state, who, deadline, |number, not_after| Message::Leave {
                    opened,
                    number,
                    not_after,
                });
                Ok(())
            }
            Commit::End | Commit::Begin { ends_others: true } if !has_ends => {
                self.ended(state, who, opened, deadline)
            }
            Commit::End | Commit::Begin { ends_others: true } => {
                if plan.commit != Commit::End && self.is(Mutant::SwitchCreatesFirst) {
                    self.create(state, who, opened, deadline);
                } else {
                    self.delete(state, who, opened, deadline);
                }
                Ok(())
            }
        }
    }

    /// `Engine::send`, `Engine::end` and `Engine::begin`.
    fn send(
        &self,
        state: &mut State,
        who: usize,
        deadline: Deadline,
        message: impl FnOnce(u8, u8) -> Message,
    ) {
        let request = &mut state.requests[who];
        // `Engine::not_after`. A message allowed in the deadline's millisecond could land after the response.
        let not_after = match self.is(Mutant::NotAfterIsTheDeadline) {
            true => deadline,
            false => deadline - 1,
        };
        // A lower estimate, until an answer tells the time.
        let not_after = match request.sent {
            0 => not_after - self.lag,
            _ => not_after,
        };
        let mut message = message(request.sent, not_after);
        match &mut message {
            Message::Update { not_after, .. } | Message::Leave { not_after, .. }
                if self.is(Mutant::UpdatesHaveNoBound) =>
            {
                *not_after = Deadline::MAX;
            }
            Message::Delete { not_after, .. } if self.is(Mutant::DeletesHaveNoBound) => {
                *not_after = Deadline::MAX;
            }
            Message::Update { .. }
            | Message::Delete { .. }
            | Message::Leave { .. }
            | Message::Create { .. } => {}
        }
        let (doubt, is_left) = match request.at {
            At::Called(call) => (call.doubt, call.is_left),
            _ => (false, false),
        };
        let call = Call {
            message,
            deadline,
            heard: None,
            doubt,
            is_left,
        };
        request.at = At::Called(call);
        request.sent += 1;
        if let Some(place) = request.flight.iter_mut().find(|place| place.is_none()) {
            *place = Some(message);
        }
    }

    fn delete(&self, state: &mut State, who: usize, opened: Opened, deadline: Deadline) {
        self.send(state, who, deadline, |number, not_after| Message::Delete {
            opened,
            number,
            not_after,
        });
    }

    /// `Engine::begin`: each attempt has its own id.
    fn create(&self, state: &mut State, who: usize, opened: Opened, deadline: Deadline) {
        self.send(state, who, deadline, |number, _| Message::Create {
            opened,
            number,
        });
        let request = &mut state.requests[who];
        if let At::Called(call) = &mut request.at {
            call.doubt = false;
        }
    }

    /// `RequestSession::act` after its `end`.
    fn ended(
        &self,
        state: &mut State,
        who: usize,
        opened: Opened,
        deadline: Deadline,
    ) -> Result<(), Claim> {
        let plan = self.planned(who, opened);
        let has_begun = self.is(Mutant::SwitchCreatesFirst) && plan.ends(opened).is_some();
        if plan.commit == Commit::End {
            return self.acknowledge(state, who, None);
        }
        if has_begun {
            let cookie = self.cookie_of_create(who, state.requests[who].sent - 2);
            return self.acknowledge(state, who, Some(cookie));
        }
        if self
            .real
            .begin_with(plan.loaded.live(), &plan.pending)
            .is_empty()
        {
            return self.acknowledge(state, who, None);
        }
        self.create(state, who, opened, deadline);
        Ok(())
    }

    pub(super) fn hear(&self, state: &mut State, who: usize) -> Result<(), Claim> {
        let At::Called(call) = state.requests[who].at else {
            return Ok(());
        };
        let heard = match call.heard {
            Some(Heard::Gone) if self.is(Mutant::GoneIsDone) => Some(Heard::Done),
            Some(Heard::Late) if self.is(Mutant::LateIsDone) => Some(Heard::Done),
            Some(Heard::Other) if self.is(Mutant::OtherIsDone) => Some(Heard::Done),
            heard => heard,
        };
        match (heard, call.message) {
            (None, _) => Ok(()),
            // `Engine::written`.
            (Some(Heard::Done), Message::Update { opened, number, .. }) => {
                let cookie = self.cookie_of_update(who, opened, number);
                self.acknowledge(state, who, cookie)
            }
            (Some(Heard::Done), Message::Delete { opened, .. }) => {
                let plan = self.planned(who, opened);
                let logs_in = self.requests[who].doing.logs_in.is_some();
                let has_left = plan.commit != Commit::End && plan.loaded.live().is_some();
                let is_mutant =
                    self.is(Mutant::SwitchDeletes) || self.is(Mutant::SwitchCreatesFirst);
                if has_left && !logs_in && !is_mutant {
                    // Another request had ended it, or replaced its token.
                    self.set_cookie(state, who, None);
                    return self.drop_changes(state, who);
                }
                self.ended(state, who, opened, call.deadline)
            }
            (Some(Heard::Done), Message::Leave { opened, .. }) => {
                self.ended(state, who, opened, call.deadline)
            }
            // `RequestSession::leave`: the session is to end anyway.
            (Some(Heard::Gone), Message::Leave { opened, .. }) => {
                self.delete(state, who, opened, call.deadline);
                Ok(())
            }
            // `RequestSession::end`: a login continues; anything else is refused.
            (Some(Heard::Other), Message::Delete { opened, .. }) => {
                if self.requests[who].doing.logs_in.is_none() {
                    return self.fail(state, who);
                }
                let call = Call {
                    is_left: true,
                    ..call
                };
                state.requests[who].at = At::Called(call);
                self.ended(state, who, opened, call.deadline)
            }
            (Some(Heard::Done), Message::Create { opened, number }) => {
                let request = &mut state.requests[who];
                request.landed += u8::from(self.requests[who].doing.adds);
                let has_ends = self.planned(who, opened).ends(opened).is_some();
                if self.is(Mutant::SwitchCreatesFirst) && has_ends {
                    self.delete(state, who, opened, call.deadline);
                    return Ok(());
                }
                self.acknowledge(state, who, Some(self.cookie_of_create(who, number)))
            }
            // A login starts again, with what is stored now.
            (Some(Heard::Gone), Message::Update { opened, .. }) => {
                let logs_in = self.requests[who].doing.logs_in.is_some();
                if !logs_in || state.requests[who].sent >= SENDS {
                    return self.drop_changes(state, who);
                }
                if self.is(Mutant::GoneLoginIsDropped) {
                    return self.acknowledge(state, who, None);
                }
                let again = self.opened(state, opened.cookie);
                state.requests[who].at = At::Open(again, Some(call.deadline));
                Ok(())
            }
            // It was certainly not done, so it is sent again.
            (Some(Heard::Late), _) => self.try_again(state, who, call),
            (Some(Heard::Gone), Message::Delete { .. } | Message::Create { .. })
            | (
                Some(Heard::Other),
                Message::Update { .. } | Message::Leave { .. } | Message::Create { .. },
            ) => Ok(()),
        }
    }

    /// The bytes may still arrive.
    pub(super) fn break_off(&self, state: &mut State, who: usize) -> Result<(), Claim> {
        let At::Called(mut call) = state.requests[who].at else {
            return Ok(());
        };
        call.doubt = true;
        match call.message {
            Message::Create { opened, .. } => {
                if state.now < call.deadline && state.requests[who].sent < SENDS {
                    self.create(state, who, opened, call.deadline);
                    Ok(())
                } else {
                    self.fail(state, who)
                }
            }
            Message::Delete { opened, .. } if self.is(Mutant::EndInDoubtIsDone) => {
                self.ended(state, who, opened, call.deadline)
            }
            Message::Delete { .. } => self.try_again(state, who, call),
            Message::Update { .. } if self.is(Mutant::SendsUpdatesAgain) => {
                self.try_again(state, who, call)
            }
            Message::Update { opened, .. } if self.is(Mutant::BeginsAnotherInDoubt) => {
                self.create(state, who, opened, call.deadline);
                Ok(())
            }
            Message::Update { .. } | Message::Leave { .. } => self.wait(state, who, call.deadline),
        }
    }

    pub(super) fn refuse(&self, state: &mut State, who: usize) -> Result<(), Claim> {
        let At::Called(call) = state.requests[who].at else {
            return Ok(());
        };
        for place in &mut state.requests[who].flight {
            if *place == Some(call.message) {
                *place = None;
            }
        }
        match call.message {
            Message::Delete { .. } => self.try_again(state, who, call),
            Message::Update { .. } | Message::Leave { .. } if call.doubt => {
                self.wait(state, who, call.deadline)
            }
            Message::Update { .. } | Message::Leave { .. } | Message::Create { .. } => {
                self.fail(state, who)
            }
        }
    }

    /// Fails at once if certainly nothing was done, otherwise at the deadline.
    fn try_again(&self, state: &mut State, who: usize, call: Call) -> Result<(), Claim> {
        if state.now < call.deadline && state.requests[who].sent < SENDS - 1 {
            state.requests[who].at = At::Called(call);
            self.send(state, who, call.deadline, |number, not_after| {
                match call.message {
                    Message::Update { opened, .. } => Message::Update {
                        opened,
                        number,
                        not_after,
                    },
                    Message::Delete { opened, .. } => Message::Delete {
                        opened,
                        number,
                        not_after,
                    },
                    Message::Leave { opened, .. } => Message::Leave {
                        opened,
                        number,
                        not_after,
                    },
                    Message::Create { opened, .. } => Message::Create { opened, number },
                }
            });
            return Ok(());
        }
        match call.doubt && !self.is(Mutant::OnlyTheLastAttemptCounts) {
            true => self.wait(state, who, call.deadline),
            false => self.fail(state, who),
        }
    }

    /// `sleep_until(deadline)`.
    fn wait(&self, state: &mut State, who: usize, deadline: Deadline) -> Result<(), Claim> {
        if self.is(Mutant::DoesNotWait) {
            return self.fail(state, who);
        }
        state.requests[who].at = At::InDoubt(deadline);
        Ok(())
    }
}
