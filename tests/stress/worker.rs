//! The tasks of one process: each sends one request after the other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rocket_typed_session::{Clock, Expiry, SessionData, SystemClock, Timestamp};
use session_core::commit::{Committed, CookieChange, Live, Opened, Pending, Prepared};
use session_core::engine::Engine;
use session_core::error::Error;
use session_core::record::Fields;

use super::board::Board;
use super::ledger::{Entries, Ledger, micros};
use super::options::Options;
use super::world::World;

/// Runs the tasks of this process to the end of the round.
pub(crate) async fn run(world: &Arc<World>, options: &Options) -> Ledger {
    let until = Instant::now() + Duration::from_millis(options.millis);
    let process = options.worker.unwrap_or(0);
    let tasks = (0..options.tasks).map(|task| {
        let number = process << 16 | task;
        Task {
            world: Arc::clone(world),
            engine: Engine::new(
                Arc::clone(&world.store),
                Arc::new(Ahead(SKEW * process as u32)),
                Expiry::default(),
            ),
            sessions: options.sessions,
            number,
            random: mix(options.seed) ^ mix(number + 1),
            serial: 0,
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
    total.repeated = world.repeated.load(Ordering::Relaxed);
    total
}

/// How much each process' clock is ahead of that of the one before, as between hosts.
const SKEW: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Ahead(Duration);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(self.0)
    }
}

struct Task {
    world: Arc<World>,
    engine: Engine<Board>,
    sessions: u64,
    number: u64,
    random: u64,
    serial: u64,
    ledger: Ledger,
}

impl Task {
    async fn request(&mut self) {
        self.ledger.requests += 1;
        let session = self.below(self.sessions);
        let opened = match self.world.token(session).await {
            Some(token) => self.engine.open(&token).await.unwrap(),
            None => Opened::Absent,
        };
        // Somebody works for a while, and others come in between.
        for _ in 0..self.below(8) {
            tokio::task::yield_now().await;
        }
        let mut live = match opened {
            Opened::Live(live) => live,
            opened => {
                self.change(opened, Some(session), false).await;
                return;
            }
        };
        // Every other session is never ended, so that there is something to count in the end.
        match self.below(40) {
            0 if session % 2 == 1 => self.destroy(live).await,
            1 => self.rotate(live, session).await,
            2..5 => self.take(&mut live).await,
            5..9 => self.transact(live).await,
            _ => {
                let opened = self.change(Opened::Live(live), None, false).await;
                // As after a `save` in the middle.
                if let Some(live) = opened.filter(|_| self.random.is_multiple_of(3)) {
                    self.change(Opened::Live(live), None, false).await;
                }
            }
        }
    }

    /// Changes some fields. `session` is where a new token is to be put.
    async fn change(
        &mut self,
        opened: Opened,
        session: Option<u64>,
        is_login: bool,
    ) -> Option<Live> {
        let before = read(&opened);
        let mut after = before.clone();
        let mark = self.below(3);
        let mark = format!("{}-{mark}", self.number);
        self.serial += 1;
        let serial = self.number << 32 | self.serial;
        for _ in 0..=self.below(3) {
            match self.below(8) {
                0..3 => after.count += 1 + self.below(9) as i64,
                3 => after.best = after.best.max(self.below(1 << 40)),
                4 => drop(after.marks.insert(mark.clone(), serial)),
                5 => drop(after.marks.remove(&mark)),
                6 => after.theme = serial,
                _ => after.flash = Some(serial),
            }
        }
        if is_login {
            after.user = match after.user {
                Some(_) => None,
                None => Some(1),
            };
        }
        let mut pending = pending(&opened, &before, &after);
        pending.rotate = session.is_some() && !is_login;
        if pending.is_empty() {
            return None;
        }
        let prepared = self.engine.prepare(opened.clone(), &pending).ok()?;
        let began = micros();
        let committed = self.execute(&prepared).await.unwrap();
        let live = committed.opened.live()?.clone();
        if let (CookieChange::Set { token, .. }, Some(session)) = (&committed.cookie, session) {
            self.world.set_token(session, token).await;
        }
        let rotates = pending.rotate || is_login;
        let entries = self.done(&opened, &live, began, rotates);
        entries.count += after.count - before.count;
        if after.best != before.best {
            entries.best = entries.best.max(after.best);
        }
        if after.theme != before.theme {
            entries.themes.retain(|theme| theme >> 32 != serial >> 32);
            entries.themes.insert(after.theme);
        }
        if after.marks.get(&mark) != before.marks.get(&mark) {
            let value = after.marks.get(&mark).copied();
            entries.marks.insert(mark, value);
        }
        Some(live)
    }

    /// Raises the note by one, if nobody changed anything in between.
    async fn transact(&mut self, live: Live) {
        let opened = Opened::Live(live);
        let before = read(&opened);
        let mut after = before.clone();
        after.note += 1;
        let pending = pending(&opened, &before, &after);
        let prepared = self.engine.prepare(opened.clone(), &pending).unwrap();
        let prepared = self.engine.expecting(prepared);
        let began = micros();
        match self.execute(&prepared).await {
            Ok(committed) => {
                if let Some(live) = committed.opened.live() {
                    self.done(&opened, live, began, false).note += 1;
                }
            }
            Err(error) => {
                assert!(error.is_conflict(), "{error}");
                self.ledger.conflicts += 1;
            }
        }
    }

    async fn rotate(&mut self, live: Live, session: u64) {
        let is_login = self.below(2) == 0;
        self.change(Opened::Live(live), Some(session), is_login)
            .await;
    }

    async fn take(&mut self, live: &mut Live) {
        let began = micros();
        if let Ok((after, value)) = self.engine.take(live, "flash").await {
            let before = Opened::Live(live.clone());
            self.done(&before, &after, began, false);
            let value = value.and_then(|value| serde_json::from_slice::<u64>(&value).ok());
            self.ledger.taken.extend(value);
            *live = after;
        }
    }

    async fn destroy(&mut self, live: Live) {
        let id = live.token.id();
        let mut pending = Pending::default();
        pending.destroyed = true;
        let prepared = self.engine.prepare(Opened::Live(live), &pending).unwrap();
        self.execute(&prepared).await.unwrap();
        let at = micros();
        self.ledger.session(&id).deleted_at.get_or_insert(at);
    }

    /// Executes until the answer is heard, as the end of a request does after a `save`.
    async fn execute(&mut self, prepared: &Prepared) -> Result<Committed, Error> {
        loop {
            match self.engine.execute(prepared).await {
                Err(error) if error.is_store() => {
                    assert!(error.to_string().contains("as asked"), "{error}");
                }
                answer => {
                    let is_gone = answer.as_ref().is_ok_and(|committed| committed.gone);
                    self.ledger.gone += u64::from(is_gone);
                    return answer;
                }
            }
        }
    }

    /// Notes that a call was done that had begun then.
    fn done(&mut self, before: &Opened, after: &Live, began: u64, rotates: bool) -> &mut Entries {
        let answered = micros();
        self.ledger.commits += 1;
        let entries = self.ledger.session(&after.token.id());
        if let Opened::Live(before) = before {
            let epoch = entries
                .epochs
                .entry(before.record.metadata.epoch)
                .or_default();
            epoch.done = epoch.done.max(began);
            epoch.rotated.extend(rotates.then_some(answered));
        }
        entries
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = mix(self.random);
        self.random % bound
    }
}

fn read(opened: &Opened) -> Board {
    let now = Timestamp::default();
    match opened.live() {
        Some(live) => Board::SCHEMA.decode(&live.record.fields, now).data,
        None => Board::SCHEMA.defaults(),
    }
}

fn pending(opened: &Opened, before: &Board, after: &Board) -> Pending {
    let none = Fields::new();
    let stored = opened.live().map_or(&none, |live| &live.record.fields);
    let [before, after] = [before, after].map(|data| Board::SCHEMA.encode(data).unwrap());
    let now = Timestamp::default();
    Pending::of(Board::SCHEMA.changes(stored, &before, &after, now).unwrap())
}

/// SplitMix64: the next of a row of numbers that look random.
pub(crate) fn mix(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
