use super::super::explore::broken;
use super::super::real::{Cookie, Stored, User};
use super::act::is_thief;
use super::tests::Limit;
use super::{Answered, Asked, At, Change, Claim, Login, Opened, State, TICK, World, at};

impl World {
    /// The thief hears at once, the browser possibly later.
    pub(super) fn answer(
        &self,
        state: &mut State,
        who: usize,
        asked: Asked,
        cookie: Change,
    ) -> Result<(), Claim> {
        self.check_login_lives(state, who, asked)?;
        for said in state
            .store
            .iter()
            .filter_map(|stored| self.real.said(*stored))
        {
            if said.author != User::Nobody && said.author != said.user {
                self.broken(LEAKED)?;
            }
        }
        if is_thief(who) {
            if let Change::Set(cookie) = cookie {
                state.thief[1] = Some(cookie);
            }
            state.requests[who] = At::Ended;
            return Ok(());
        }
        if asked.doing.logs_in.is_some() {
            self.logged_in(state, asked, cookie)?;
        }
        if asked.doing.logs_out {
            self.logged_out(state, asked)?;
        }
        state.requests[who] = At::Answered(Answered { cookie, asked });
        Ok(())
    }

    fn logged_in(&self, state: &mut State, asked: Asked, cookie: Change) -> Result<(), Claim> {
        let known = match cookie {
            Change::Set(cookie) => Some(cookie),
            Change::Keep => asked.opened.cookie,
            Change::Remove => None,
        };
        let Some(cookie) = known else {
            return self.broken(NOT_LOGGED_IN);
        };
        let stored = self.stored(state, cookie);
        let is_alices = self
            .real
            .said(stored)
            .is_some_and(|said| said.user == User::Alice);
        if !self.real.opens(cookie, stored) || !is_alices {
            self.broken(NOT_LOGGED_IN)?;
        }
        if let Some(old) = asked.opened.cookie {
            let is_of_it = |other: &Cookie| other.id == old.id && other.login == old.login;
            let known = state.thief.iter().flatten().copied().filter(is_of_it);
            if known
                .chain([old])
                .any(|older| self.real.opens(older, self.stored(state, older)))
            {
                self.broken(OLDER_OPENS)?;
            }
        }
        let at = state.now;
        state.login = Some(Login { cookie, at });
        Ok(())
    }

    fn logged_out(&self, state: &mut State, asked: Asked) -> Result<(), Claim> {
        state.login = None;
        let Some(cookie) = asked.opened.cookie else {
            return Ok(());
        };
        let stored = self.stored(state, cookie);
        // The record may belong to a login that the browser is about to hear of.
        let is_new = |stored: Stored| {
            let record = self.real.record(stored);
            let login = record.and_then(|record| record.metadata.authenticated_at);
            let is_alices = self
                .real
                .said(stored)
                .is_some_and(|said| said.user == User::Alice);
            is_alices && login.is_some_and(|login| at(asked.opened.at).since(login) < TICK)
        };
        let loaded = asked.opened.stored;
        let was_its = is_new(loaded) || self.real.is_of_login(cookie, loaded);
        if self.real.is_of_login(cookie, stored) || was_its && is_new(stored) {
            self.broken(NOT_ENDED)?;
        }
        Ok(())
    }

    /// A logout is refused: with this record stored, it is unclear which login it means.
    pub(super) fn refuse(
        &self,
        state: &mut State,
        who: usize,
        asked: Asked,
        stored: Stored,
    ) -> Result<(), Claim> {
        let cookie = asked.opened.cookie;
        let is_limit = match self.real.said(stored).map(|said| said.user) {
            // The browser is about to hear of its login.
            Some(User::Alice) => {
                !cookie.is_some_and(|cookie| self.real.is_of_login(cookie, stored))
            }
            Some(User::Thief) => self.held != Some(Limit::StrangersLogin),
            Some(User::Nobody | User::Bob) | None => false,
        };
        if !is_thief(who) && !is_limit {
            self.broken(BLOCKED)?;
        }
        state.requests[who] = match is_thief(who) {
            true => At::Ended,
            false => At::Answered(Answered {
                cookie: Change::Keep,
                asked,
            }),
        };
        Ok(())
    }

    /// A completed login lasts until the browser itself ends it with its cookie.
    fn check_login_lives(&self, state: &mut State, who: usize, asked: Asked) -> Result<(), Claim> {
        let Some(login) = state.login else {
            return Ok(());
        };
        if self
            .real
            .opens(login.cookie, self.stored(state, login.cookie))
        {
            return Ok(());
        }
        state.login = None;
        let is_of_it =
            |cookie: Cookie| (cookie.id, cookie.login) == (login.cookie.id, login.cookie.login);
        match is_thief(who) || !asked.opened.cookie.is_some_and(is_of_it) {
            true => self.broken(KICKED_OUT),
            false => Ok(()),
        }
    }

    pub(super) fn deliver(&self, state: &mut State, who: usize) -> Result<(), Claim> {
        let At::Answered(Answered { cookie, asked }) = state.requests[who] else {
            return Ok(());
        };
        state.requests[who] = At::Ended;
        let before = state.browser;
        match cookie {
            Change::Keep => return Ok(()),
            Change::Remove => state.browser = None,
            Change::Set(cookie) => state.browser = Some(cookie),
        }
        let Some(login) = state.login.filter(|login| before == Some(login.cookie)) else {
            return Ok(());
        };
        let is_lost = before != state.browser
            && self
                .real
                .opens(login.cookie, self.stored(state, login.cookie));
        let is_anonymous = asked.doing.logs_in.is_none() && !asked.doing.logs_out;
        let is_beside = asked.opened.at == login.at;
        let limit = self.limit(asked.opened, cookie);
        let is_held = limit.is_none() || limit == self.held;
        match is_lost && is_anonymous && is_beside && is_held {
            true => self.broken(OVERWRITTEN),
            false => Ok(()),
        }
    }

    /// Why the response of a request that loaded this may overwrite the cookie of a parallel login.
    fn limit(&self, opened: Opened, change: Change) -> Option<Limit> {
        let (Some(cookie), Some(record)) = (opened.cookie, self.real.record(opened.stored)) else {
            return Some(Limit::NothingToGoBy);
        };
        if self.real.opens(cookie, opened.stored) {
            let is_its_own = matches!(change, Change::Set(after) if after.id == cookie.id);
            return is_its_own.then_some(Limit::RotationUnderWay);
        }
        let rotated_at = record.metadata.rotated_at.unwrap_or_default();
        (at(opened.at).since(rotated_at) >= TICK).then_some(Limit::NothingToGoBy)
    }

    fn stored(&self, state: &State, cookie: Cookie) -> Stored {
        state.store[usize::from(cookie.id)]
    }

    fn broken(&self, claim: Claim) -> Result<(), Claim> {
        broken(self.watched, claim)
    }
}

pub(super) const NOT_LOGGED_IN: Claim = "who logs in has a session of his own";
pub(super) const OLDER_OPENS: Claim = "after a login, no older cookie opens anything";
pub(super) const NOT_ENDED: Claim = "a logout ends the session of its login";
pub(super) const BLOCKED: Claim = "nobody blocks a logout";
pub(super) const KICKED_OUT: Claim = "no older cookie ends a later login";
pub(super) const LEAKED: Claim = "what was written in one user's name is in no other's session";
pub(super) const OVERWRITTEN: Claim =
    "no anonymous response overwrites the cookie of a login beside it";
