use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rocket_typed_session::SessionData;
use session_core::changes::Changes;
use session_core::engine::Engine;
use session_core::error::Error;
use session_core::expiry::Lifetime;
use session_core::plan::{CookieChange, Pending};
use session_core::request::{Candidates, RequestSession};
use session_core::token::{SessionId, Token};

use super::board::Board;
use super::ledger::{Assignment, Ledger, micros};
use super::options::Options;
use super::world::{NEAR, World};

pub(crate) async fn run(world: &Arc<World>, options: &Options) -> Ledger {
    let until = Instant::now() + Duration::from_millis(options.millis);
    let process = options.worker.unwrap_or(0);
    let engine = Engine::<Board>::new(Arc::clone(&world.store), Lifetime::default());
    let engine = Arc::new(engine);
    let tasks = (0..options.tasks).map(|task| {
        let number = process << 16 | task;
        Task {
            world: Arc::clone(world),
            engine: Arc::clone(&engine),
            sessions: options.sessions,
            number,
            random: mix(options.seed) ^ mix(number + 1),
            near: options.has_near_cache(),
            serial: 0,
            token: None,
            ledger: Ledger::default(),
        }
    });
    let tasks = tasks.map(|mut task| {
        tokio::spawn(async move {
            while Instant::now() < until {
                task.request().await;
            }
            task.ledger
        })
    });
    let mut total = Ledger::default();
    for task in tasks.collect::<Vec<_>>() {
        total.add(task.await.unwrap());
    }
    total
}

struct Task {
    world: Arc<World>,
    engine: Arc<Engine<Board>>,
    sessions: u64,
    number: u64,
    random: u64,
    /// The store has a near cache, so some requests are GETs.
    near: bool,
    serial: u64,
    /// The fingerprint of the token that loaded the session.
    token: Option<String>,
    ledger: Ledger,
}

struct Change {
    before: Board,
    after: Board,
    mark: String,
    began: u64,
}

impl Task {
    async fn request(&mut self) {
        self.ledger.requests += 1;
        let number = self.below(self.sessions);
        let token = self.world.token(number).await;
        let mut request = RequestSession::new(Arc::clone(&self.engine), false);
        let mut began = micros();
        if self.near && self.below(2) == 0 {
            request = request.reading_copies();
            began = began.saturating_sub(NEAR.as_micros() as u64);
        }
        let tokens = Vec::from_iter(token.clone());
        let candidates = || Candidates {
            tokens,
            tampered: false,
        };
        // A store that times out on a slow machine is not the library's fault.
        if request.open(candidates).await.is_err() {
            return;
        }
        self.look_at(&request, began);
        self.token = token.as_ref().map(fingerprint);
        // Other requests come in between.
        for _ in 0..self.below(8) {
            tokio::task::yield_now().await;
        }
        if request.id().is_none() && token.is_some() && self.below(4) > 0 {
            // The token was revoked. The browser soon gets another one.
            if self.below(20) == 0 {
                self.world.set_token(number, None).await;
            }
            return;
        }
        // Sessions with even numbers never end, which leaves something to count. Token changes are rare,
        // because late writes must still find their token.
        match self.below(1000) {
            0 if number % 2 == 1 => self.destroy(&request, number).await,
            of @ 1..3 => {
                let user = match of {
                    1 if number % 2 == 1 => None,
                    1 => Some(0),
                    _ => Some(self.number as u8 % 3),
                };
                self.log_in(&request, number, user).await;
                // A login ends a session of another user, or one whose token was rotated.
                if let Some(token) = token
                    && request.id().is_none_or(|id| id != token.id())
                {
                    self.ledger.session(&token.id()).may_have_ended = true;
                }
            }
            3 => {
                let mut pending = Pending::default();
                pending.rotate = true;
                request.add(pending).unwrap();
                self.change(&request, number).await;
            }
            4..100 => self.take(&request).await,
            100..270 => self.transact(&request).await,
            _ => {
                if self.below(3) == 0 {
                    self.save(&request).await;
                }
                self.change(&request, number).await;
            }
        }
    }

    /// A session contains only what was written for its user, or before there was one.
    fn look_at(&mut self, request: &RequestSession<Board>, began: u64) {
        let data = request.view().unwrap().data;
        let of = data.user.map_or(0, |user| u64::from(user) + 1);
        let marks = data
            .marks
            .values()
            .filter(|mark| **mark & 7 != 0 && **mark & 7 != of);
        for mark in marks {
            let fault = format!("LEAKED: {mark} was written for another than user {of}");
            self.ledger.faults.push(fault);
        }
        if let Some(id) = request.id() {
            self.ledger.session(&id).saw(data.theme, began);
        }
    }

    async fn change(&mut self, request: &RequestSession<Board>, number: u64) {
        let change = self.edit(request, |_| {});
        let changes = self.changes(request, &change);
        let seen = request.view().unwrap().seen;
        request.hand_over(changes, seen).unwrap();
        self.end(request, number, Some(change)).await;
    }

    async fn save(&mut self, request: &RequestSession<Board>) {
        let change = self.edit(request, |_| {});
        let changes = self.changes(request, &change);
        let before = request.id();
        let saved = match request.keep(changes) {
            Ok(_) => request.save().await.map(drop),
            Err(error) => Err(error),
        };
        // This may begin a session, whose cookie is set at the end of the request.
        self.note(before.or(request.id()), &change, &saved);
    }

    /// Ends another user's session, if there is one, and begins a new one.
    async fn log_in(&mut self, request: &RequestSession<Board>, number: u64, user: Option<u8>) {
        let change = self.edit(request, |board| board.user = user);
        let (before, old) = (change.before.user, request.id());
        let changes = self.changes(request, &change);
        match user {
            Some(_) => request.log_in(changes, &change.after).unwrap(),
            None => drop(request.hand_over(changes, 0).unwrap()),
        }
        let is_done = self.end(request, number, Some(change)).await;
        let ends =
            old.filter(|old| before.is_some() && before != user && request.id() == Some(*old));
        match ends {
            Some(_) if is_done => {
                let fault = format!("LEAKED: a session of user {before:?} is that of {user:?} now");
                self.ledger.faults.push(fault);
            }
            // The outcome may be unknown.
            Some(old) => self.ledger.session(&old).may_have_ended = true,
            None => {}
        }
    }

    async fn destroy(&mut self, request: &RequestSession<Board>, number: u64) {
        let Some(id) = request.id() else { return };
        let mut pending = Pending::default();
        pending.destroyed = true;
        request.add(pending).unwrap();
        self.ledger.session(&id).may_have_ended = true;
        if self.end(request, number, None).await {
            self.ledger.session(&id).ended_at.get_or_insert(micros());
        }
    }

    async fn transact(&mut self, request: &RequestSession<Board>) {
        let Some(id) = request.id() else { return };
        let began = micros();
        let tried = request.try_transaction(|view| {
            let before = Board::SCHEMA.encode(&view.data)?;
            let mut after = view.data;
            after.note += 1;
            let record = view.record.as_deref();
            Ok(Some(self.engine.changes(record, &before, &after)?))
        });
        let tried = tried.await.map(drop);
        if tried.as_ref().is_err_and(Error::is_conflict) {
            self.ledger.conflicts += 1;
        } else if self.counts(&tried) {
            let entries = self.ledger.session(&id);
            entries.note.note(1, tried.is_ok());
            if tried.is_ok() {
                entries.done = entries.done.max(began);
            }
        }
        request.answer(false).await;
    }

    /// Takes the value of the field, or sets one if there is none.
    async fn take(&mut self, request: &RequestSession<Board>) {
        let Some(id) = request.id() else { return };
        self.serial += 1;
        let value = self.number << 32 | self.serial;
        if request.view().unwrap().data.flash.is_none() {
            let tried = request.try_transaction(|view| {
                let before = Board::SCHEMA.encode(&view.data)?;
                let mut after = view.data;
                if after.flash.is_some() {
                    return Ok(None);
                }
                after.flash = Some(value);
                let record = view.record.as_deref();
                Ok(Some(self.engine.changes(record, &before, &after)?))
            });
            if let Ok(Some(_)) = tried.await {
                self.ledger.session(&id).put.insert(value);
            }
        } else {
            match request.take("flash").await {
                Ok(value) => {
                    let value = value.and_then(|value| serde_json::from_slice(&value).ok());
                    let value: Option<Option<u64>> = value;
                    self.ledger.taken.extend(value.flatten());
                }
                Err(error) if error.is_unknown() => {
                    self.ledger.session(&id).unheard_takes += 1;
                }
                Err(_) => {}
            }
        }
        request.answer(false).await;
    }

    /// Returns whether all is stored.
    async fn end(
        &mut self,
        request: &RequestSession<Board>,
        number: u64,
        change: Option<Change>,
    ) -> bool {
        let old = request.id();
        let answer = request.answer(false).await;
        let cookie = match &answer.cookie {
            CookieChange::Keep => None,
            CookieChange::Remove => Some(None),
            CookieChange::Set { token, .. } => Some(Some(token)),
        };
        if let Some(token) = cookie {
            self.world.set_token(number, token).await;
            if let Some(token) = token {
                let entries = self.ledger.session(&token.id());
                entries.began = true;
                if old == Some(token.id())
                    && let Some(before) = self.token.replace(fingerprint(token))
                {
                    let used = entries.tokens.entry(before).or_default();
                    used.replaced_at.get_or_insert(micros());
                }
            }
        }
        if let Some(change) = change {
            let new = request.id();
            let is_gone = answer.result.is_ok() && new.is_none();
            // The session was over, so the change was dropped.
            let result = if is_gone {
                Err(Error::gone())
            } else {
                answer.result.clone()
            };
            self.note(new.or(old), &change, &result);
        }
        answer.result.is_ok()
    }

    fn note(&mut self, id: Option<SessionId>, change: &Change, result: &Result<(), Error>) {
        let Some(id) = id.filter(|_| change.before != change.after) else {
            return;
        };
        if !self.counts(result) {
            return;
        }
        let Change {
            before,
            after,
            mark,
            began,
        } = change;
        let token = self.token.clone();
        let is_acknowledged = result.is_ok();
        let entries = self.ledger.session(&id);
        entries
            .count
            .note(after.count - before.count, is_acknowledged);
        if after.best != before.best {
            entries.best.tried.insert(after.best);
            if is_acknowledged {
                entries.best.least = entries.best.least.max(after.best);
            }
        }
        if after.theme != before.theme {
            let (began, ended) = (*began, micros());
            let theme = Assignment {
                began,
                ended,
                is_acknowledged,
            };
            entries.themes.insert(after.theme, theme);
        }
        let [value, was] = [after, before].map(|board| board.marks.get(mark).copied());
        if value != was {
            let before = || BTreeSet::from([None]);
            let may_be = entries.marks.entry(mark.clone()).or_insert_with(before);
            if is_acknowledged {
                may_be.clear();
            }
            may_be.insert(value);
        }
        if is_acknowledged {
            entries.done = entries.done.max(*began);
            if let Some(token) = token {
                let used = entries.tokens.entry(token).or_default();
                used.done = used.done.max(*began);
            }
        }
    }

    /// Whether the change was done, or may have been.
    fn counts(&mut self, result: &Result<(), Error>) -> bool {
        match result {
            Ok(()) => self.ledger.commits += 1,
            Err(error) if error.is_unknown() => self.ledger.unknown += 1,
            Err(error) => {
                self.ledger.gone += u64::from(error.is_gone());
                return false;
            }
        }
        true
    }

    fn changes(&self, request: &RequestSession<Board>, change: &Change) -> Changes {
        let before = Board::SCHEMA.encode(&change.before).unwrap();
        let record = request.record();
        let changes = self
            .engine
            .changes(record.as_deref(), &before, &change.after);
        changes.unwrap()
    }

    fn edit(&mut self, request: &RequestSession<Board>, also: impl FnOnce(&mut Board)) -> Change {
        let before = request.view().unwrap().data;
        let mut after = before.clone();
        also(&mut after);
        let mark = self.below(3);
        let mark = format!("{}-{mark}", self.number);
        self.serial += 1;
        let serial = self.number << 32 | self.serial;
        // When the user changes, nothing may be written for the earlier user.
        let user = if before.user == after.user {
            after.user
        } else {
            None
        };
        let of = user.map_or(0, |user| u64::from(user) + 1);
        for _ in 0..=self.below(3) {
            match self.below(7) {
                0..3 => after.count += 1 + self.below(9) as i64,
                3 => after.best = after.best.max(self.below(1 << 40)),
                4 => drop(after.marks.insert(mark.clone(), serial << 3 | of)),
                5 => drop(after.marks.remove(&mark)),
                _ => after.theme = serial,
            }
        }
        let began = micros();
        Change {
            before,
            after,
            mark,
            began,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = mix(self.random);
        self.random % bound
    }
}

/// The end of the token, which identifies it.
fn fingerprint(token: &Token) -> String {
    token.expose().split_off(Token::TEXT_LEN - 12)
}

/// SplitMix64.
pub(crate) fn mix(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
