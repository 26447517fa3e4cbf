use std::rc::Rc;

use super::super::real::{ABSENT, Cookie, Doing, User, finished};
use super::tests::Mutant;
use super::{
    ATTEMPTS, Asked, At, BROWSERS, Change, Claim, IDS, Opened, Plan, State, World, Written, at,
};
use crate::plan::{Commit, End, Loaded, NoSession, Renews, plan};
use crate::store::{Delete, Deleted, Store as _, Update, Updated};

impl World {
    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// `RequestSession::open`, and the handler.
    pub(super) fn begin(
        &self,
        state: &mut State,
        who: usize,
        doing: Doing,
        cookie: Option<Cookie>,
    ) {
        let opened = self.opened(state, cookie);
        state.requests[who] = At::Open(Asked { doing, opened }, 0);
    }

    fn opened(&self, state: &State, cookie: Option<Cookie>) -> Opened {
        let stored = cookie.map_or(ABSENT, |cookie| state.store[usize::from(cookie.id)]);
        Opened {
            cookie,
            stored,
            at: state.now,
        }
    }

    pub(super) fn planned(&self, asked: Asked) -> Rc<Plan> {
        if let Some(known) = self.plans.borrow().get(&asked) {
            return Rc::clone(known);
        }
        let opened = asked.opened;
        self.real.set_now(at(opened.at));
        let mut loaded = match opened.cookie {
            Some(cookie) => self.real.load(cookie, opened.stored),
            None => Loaded::None(NoSession::default()),
        };
        if let Loaded::None(none) = &mut loaded {
            if self.is(Mutant::RotatedTokenStores) {
                none.stores_nothing = false;
            }
            if self.is(Mutant::LogoutNeedsBothHalves) {
                none.ends.clear();
            }
            if self.is(Mutant::RotatedLogoutIsRefused) && !none.ends.is_empty() {
                none.ends.clear();
                none.refuses_end = true;
            }
            if self.is(Mutant::OldLoginMayEnd) && opened.stored != ABSENT {
                let record = self.real.record(opened.stored);
                let of = |cookie| {
                    let key = self.real.key(cookie);
                    let login = Some(record.as_ref()?.metadata.digests);
                    Some(End {
                        key,
                        login,
                        record: None,
                    })
                };
                none.ends = Vec::from_iter(opened.cookie.and_then(of));
            }
            if self.is(Mutant::OldLoginIsNotRefused) {
                none.refuses_end = false;
            }
        }
        let live = loaded.live().and_then(|_| self.real.said(opened.stored));
        let user = live.map_or(User::Nobody, |said| said.user);
        let pending = asked.doing.pending(user);
        let mut commit = plan(&loaded, &pending, false);
        if let Commit::Write {
            renews: renews @ Renews::Login,
            ..
        } = &mut commit
        {
            if self.is(Mutant::LoginKeepsTheToken) {
                *renews = Renews::Nothing;
            }
            if self.is(Mutant::LoginKeepsItsHalf) {
                *renews = Renews::Verifier;
            }
        }
        if let Commit::Begin { ends_others } = &mut commit
            && loaded.live().is_none()
            && self.is(Mutant::LoginEndsNothing)
        {
            *ends_others = false;
        }
        if loaded.live().is_none() && pending.logs_in() && self.is(Mutant::StaleLoginIsDropped) {
            commit = Commit::Nothing { drops: true };
        }
        let plan = Rc::new(Plan {
            loaded,
            pending,
            commit,
        });
        self.plans.borrow_mut().insert(asked, Rc::clone(&plan));
        plan
    }

    /// `RequestSession::execute`.
    pub(super) fn commit(&self, state: &mut State, who: usize) -> Result<(), Claim> {
        let At::Open(asked, attempt) = state.requests[who] else {
            return Ok(());
        };
        let plan = self.planned(asked);
        match plan.commit {
            Commit::Nothing { .. } | Commit::Touch => self.answer(state, who, asked, Change::Keep),
            Commit::Refuse => self.refuse(state, who, asked, asked.opened.stored),
            Commit::End => match self.end(state, &plan.loaded.ends()) {
                true => self.answer(state, who, asked, Change::Remove),
                false => self.refuse_end(state, who, asked),
            },
            Commit::Begin { ends_others } => {
                let ends = plan.loaded.ends();
                let has_left = self.leave(state, asked, &plan);
                let are_all = !ends_others || has_left == Some(true) || self.end(state, &ends);
                if !are_all && !plan.pending.logs_in() {
                    return self.refuse_end(state, who, asked);
                }
                if has_left == Some(false) && !plan.pending.logs_in() {
                    return self.answer(state, who, asked, Change::Remove);
                }
                let change = match self.begin_another(state, (who, attempt), &plan) {
                    Some(cookie) => Change::Set(cookie),
                    None if ends_others && are_all && !ends.is_empty() => Change::Remove,
                    None => Change::Keep,
                };
                self.answer(state, who, asked, change)
            }
            Commit::Write { .. } => {
                let Some((stored, updated, cookie)) = self.write(state, who, asked, attempt) else {
                    return Ok(());
                };
                if updated != Updated::Gone {
                    let place = asked
                        .opened
                        .cookie
                        .map_or(0, |cookie| usize::from(cookie.id));
                    state.store[place] = stored;
                    return self.answer(
                        state,
                        who,
                        asked,
                        cookie.map_or(Change::Keep, Change::Set),
                    );
                }
                let begins_anew = self.is(Mutant::GoneBeginsAnother) && !plan.pending.logs_in();
                if begins_anew {
                    let cookie = self.begin_another(state, (who, attempt), &plan);
                    return self.answer(
                        state,
                        who,
                        asked,
                        cookie.map_or(Change::Keep, Change::Set),
                    );
                }
                if !plan.pending.logs_in()
                    || attempt + 1 == ATTEMPTS
                    || self.is(Mutant::GoneLoginIsDropped)
                {
                    return self.answer(state, who, asked, Change::Keep);
                }
                let opened = self.opened(state, asked.opened.cookie);
                state.requests[who] = At::Open(Asked { opened, ..asked }, attempt + 1);
                Ok(())
            }
        }
    }

    /// `RequestSession::leave`: whether its update ended a session. `None`: there was none.
    fn leave(&self, state: &mut State, asked: Asked, plan: &Plan) -> Option<bool> {
        let (Loaded::Live(live), Some(cookie)) = (&plan.loaded, asked.opened.cookie) else {
            return None;
        };
        let mut update = Update::new(live.record.metadata.digests, at(u8::MAX));
        update.ends = true;
        let stored = &mut state.store[usize::from(cookie.id)];
        let updated;
        (*stored, updated) = self.real.on(cookie, *stored, |store, key| {
            finished(store.update(key, &update)).unwrap()
        });
        Some(matches!(updated, Updated::Done(_)))
    }

    /// `Engine::end`: whether all are ended.
    fn end(&self, state: &mut State, ends: &[End]) -> bool {
        let mut are_all = true;
        for place in 0..IDS {
            let cookie = Cookie {
                id: place,
                login: 0,
                verifier: 0,
            };
            let stored = &mut state.store[usize::from(place)];
            if *stored == ABSENT {
                continue;
            }
            let key = self.real.key(cookie);
            if let Some(end) = ends.iter().find(|end| end.key == key) {
                let login = end.login.filter(|_| !self.is(Mutant::EndNamesNoLogin));
                let delete = Delete::new(login, at(u8::MAX));
                let deleted;
                (*stored, deleted) = self.real.on(cookie, *stored, |store, key| {
                    finished(store.delete(key, &delete)).unwrap()
                });
                are_all &= deleted == Deleted::Done;
            }
        }
        are_all || self.is(Mutant::OtherIsDone)
    }

    /// `RequestSession::end`, if somebody logged in since the load.
    fn refuse_end(&self, state: &mut State, who: usize, asked: Asked) -> Result<(), Claim> {
        let now = self.opened(state, asked.opened.cookie);
        self.refuse(state, who, asked, now.stored)
    }

    /// `Engine::begin`. `None`: there is nothing to store.
    fn begin_another(
        &self,
        state: &mut State,
        (who, attempt): (usize, u8),
        plan: &Plan,
    ) -> Option<Cookie> {
        let fields = self.real.begin_with(plan.loaded.live(), &plan.pending);
        if fields.is_empty() {
            return None;
        }
        let id = secret(who, attempt);
        let cookie = Cookie {
            id,
            login: id,
            verifier: id,
        };
        self.real.set_now(at(state.now));
        let record = self.real.begun(cookie, fields, &plan.pending);
        state.store[usize::from(id)] = self.real.number(record);
        Some(cookie)
    }

    /// `RequestSession::write`.
    fn write(&self, state: &State, who: usize, asked: Asked, attempt: u8) -> Option<Written> {
        let plan = self.planned(asked);
        let (Loaded::Live(live), Commit::Write { renews, data }) = (&plan.loaded, plan.commit)
        else {
            return None;
        };
        let cookie = asked.opened.cookie?;
        let stored = state.store[usize::from(cookie.id)];
        let input = (who, attempt, asked, stored, state.now);
        if let Some(known) = self.updates.borrow().get(&input) {
            return Some(known.clone());
        }
        self.real.set_now(at(state.now));
        let secret = secret(who, attempt);
        let (after, mut update) =
            self.real
                .update(cookie, live, &plan.pending, (renews, data), secret);
        update.not_after = at(u8::MAX);
        let (stored, updated) = self.real.on(cookie, stored, |store, key| {
            finished(store.update(key, &update)).unwrap()
        });
        let written = (stored, updated, update.rotation.map(|_| after));
        self.updates.borrow_mut().insert(input, written.clone());
        Some(written)
    }
}

pub(super) fn is_thief(who: usize) -> bool {
    who >= BROWSERS
}

/// A number that no other commit of the world has.
fn secret(who: usize, attempt: u8) -> u8 {
    1 + ATTEMPTS * u8::try_from(who).unwrap_or_default() + attempt
}
