//! One browser tab: sends requests through the engine, and compares what comes back.

use std::cell::RefCell;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rocket_typed_session::SessionData;
use session_core::commit::{Committed, CookieChange, Opened, Pending};
use session_core::engine::Engine;
use session_core::error::Error;
use session_core::expiry::Expiry;
use session_core::record::Fields;
use session_core::store::Store;
use session_core::testing::ManualClock;
use session_core::token::Token;

use super::board::Board;
use super::program::Verb;
use super::reference::{Intent, Outcome, Reference};
use super::schedule::Turnstile;
use super::watched::Watched;
use crate::app::{ABSOLUTE, IDLE, MINUTE};

/// What the browser has, and every token that it ever got.
#[derive(Debug, Default)]
pub(crate) struct Jar {
    token: Option<Token>,
    pub(crate) issued: Vec<Token>,
}

pub(crate) struct Tab<'j> {
    pub(crate) turnstile: Arc<Turnstile>,
    store: Arc<Watched>,
    engine: Engine<Board>,
    jar: &'j RefCell<Jar>,
}

/// A request that is under way.
struct Running {
    opened: Opened,
    data: Board,
    /// The data when it was read or committed last.
    before: Board,
    rotate: bool,
    destroyed: bool,
}

impl<'j> Tab<'j> {
    pub(crate) fn new(
        store: &Arc<dyn Store>,
        clock: &Arc<ManualClock>,
        reference: &Arc<Mutex<Reference>>,
        jar: &'j RefCell<Jar>,
    ) -> Self {
        let turnstile = Arc::new(Turnstile::default());
        let store = Arc::new(Watched::new(store, &turnstile, reference));
        let mut expiry = Expiry::new(IDLE, ABSOLUTE);
        expiry.touch_interval = 3 * MINUTE;
        let engine = Engine::new(Arc::clone(&store) as _, Arc::clone(clock) as _, expiry);
        Self {
            turnstile,
            store,
            engine,
            jar,
        }
    }

    pub(crate) async fn request(&self, verbs: &[Verb]) {
        self.store.begin_request();
        let mut running = self.open().await;
        for &verb in verbs.iter() {
            if running.destroyed {
                break;
            }
            match verb {
                Verb::Destroy => running.destroyed = true,
                Verb::LoseAnswer => self.store.lose_answer(true),
                Verb::Rotate => running.rotate = true,
                Verb::Save => self.commit(&mut running, false).await,
                Verb::Take => self.take(&mut running).await,
                Verb::Transact => self.transact(&mut running).await,
                verb => verb.apply(&mut running.data, unique()),
            }
        }
        self.commit(&mut running, false).await;
    }

    async fn open(&self) -> Running {
        let token = self.jar.borrow().token.clone();
        let opened = match &token {
            Some(token) => self.open_by(token).await,
            None => Opened::Absent,
        };
        let loaded = self.store.request(|request| request.loaded.clone());
        let data = match (&opened, loaded) {
            (Opened::Live(live), Some((data, _))) => {
                let read = Board::SCHEMA.decode(&live.record.fields, self.engine.now());
                assert_eq!(read.data, data, "what was read");
                data
            }
            (Opened::Absent, None) => Board::SCHEMA.defaults(),
            (Opened::StaleInGrace, Some(_)) => Board::SCHEMA.defaults(),
            (opened, loaded) => panic!("{opened:?}, but {loaded:?}"),
        };
        Running {
            opened,
            before: data.clone(),
            data,
            rotate: false,
            destroyed: false,
        }
    }

    async fn open_by(&self, token: &Token) -> Opened {
        let opened = self.engine.open(token).await.unwrap();
        if matches!(opened, Opened::Live(_)) {
            self.store
                .request(|request| request.epoch = request.loaded_epoch);
        }
        opened
    }

    /// Commits as the end of a request does, or a `save` in the middle. A call whose answer was lost
    /// is made again.
    async fn commit(&self, running: &mut Running, is_transaction: bool) {
        let Running {
            opened,
            data,
            before,
            rotate,
            destroyed,
        } = running;
        let changed = data != before;
        let intent = Intent {
            change: changed.then(|| (before.clone(), data.clone())),
            rotate: *rotate,
            is_transaction,
        };
        let (rotates, rotate) = (intent.rotates(), mem::take(rotate));
        self.store.begin_commit(intent);
        let mut pending = Pending::default();
        pending.rotate = rotate;
        pending.destroyed = *destroyed;
        let none = Fields::new();
        let stored = opened.live().map_or(&none, |live| &live.record.fields);
        let encoded = [&*before, &*data].map(|data| Board::SCHEMA.encode(data).unwrap());
        let now = self.engine.now();
        pending.changes = Board::SCHEMA
            .changes(stored, &encoded[0], &encoded[1], now)
            .unwrap();
        assert_eq!(pending.changes.is_empty(), !changed);
        let was = opened.clone();
        let prepared = match self.engine.prepare(was.clone(), &pending) {
            Ok(prepared) if is_transaction => self.engine.expecting(prepared),
            Ok(prepared) => prepared,
            Err(error) => {
                assert!(error.is_gone() && *destroyed && matches!(was, Opened::StaleInGrace));
                return;
            }
        };
        let mut committed = self.engine.execute(&prepared).await;
        if committed.as_ref().is_err_and(Error::is_store) {
            committed = self.engine.execute(&prepared).await;
        }
        self.store.lose_answer(false);
        let outcome = self.store.request(|request| request.outcome);
        let expected = expected(&was, *destroyed, changed || rotate);
        assert!(expected.contains(&outcome), "{outcome:?} of {expected:?}");
        let committed = match committed {
            Ok(committed) => committed,
            Err(error) => {
                assert!(
                    error.is_conflict() && outcome == Some(Outcome::Conflict),
                    "{error}"
                );
                return;
            }
        };
        assert_ne!(outcome, Some(Outcome::Conflict));
        let was_dropped = match was {
            Opened::Over(_) | Opened::StaleInGrace => (changed || rotate) && !*destroyed,
            _ => outcome == Some(Outcome::Gone) && (changed || rotate),
        };
        assert_eq!(committed.gone, was_dropped);
        self.keep_cookie(&committed, outcome, *destroyed, rotates);
        match committed.opened.live() {
            // Nothing of the previous user is left in the guard.
            Some(live) if pending.changes.resets() => {
                *data = Board::SCHEMA.decode(&live.record.fields, now).data;
            }
            _ => drop(Board::SCHEMA.decode_into(data, &committed.merged, now)),
        }
        *before = data.clone();
        *opened = committed.opened;
    }

    /// A cookie is set for a new session and a new token, and removed at the end of a session; in no
    /// other case is anything said about it.
    fn keep_cookie(
        &self,
        committed: &Committed,
        outcome: Option<Outcome>,
        destroyed: bool,
        rotates: bool,
    ) {
        let is_new = outcome == Some(Outcome::Created);
        let is_new = is_new || (outcome == Some(Outcome::Done) && rotates);
        let mut jar = self.jar.borrow_mut();
        match &committed.cookie {
            CookieChange::Keep => assert!(!is_new && !destroyed, "the cookie is missing"),
            CookieChange::Remove => {
                assert!(destroyed, "a cookie was removed");
                jar.token = None;
            }
            CookieChange::Set { token, .. } => {
                assert!(is_new, "a cookie was set");
                jar.token = Some(token.clone());
                jar.issued.push(token.clone());
            }
        }
    }

    async fn take(&self, running: &mut Running) {
        if running.data.flash != running.before.flash {
            self.commit(running, false).await;
        }
        let Opened::Live(live) = &running.opened else {
            return;
        };
        if let Ok((live, _)) = self.engine.take(live, "flash").await {
            running.opened = Opened::Live(live);
        }
        (running.data.flash, running.before.flash) = (None, None);
    }

    async fn transact(&self, running: &mut Running) {
        self.commit(running, false).await;
        let Some(live) = running.opened.live().cloned() else {
            return;
        };
        for _ in 0..3 {
            let Opened::Live(live) = self.open_by(&live.token).await else {
                return;
            };
            running.data = Board::SCHEMA
                .decode(&live.record.fields, self.engine.now())
                .data;
            running.before = running.data.clone();
            running.opened = Opened::Live(live);
            Verb::transact(&mut running.data);
            self.commit(running, true).await;
            if running.data == running.before {
                return;
            }
            running.data = running.before.clone();
        }
    }
}

/// What may become of the call to the store; `None`: there is none.
fn expected(was: &Opened, destroyed: bool, writes: bool) -> &'static [Option<Outcome>] {
    match was {
        Opened::Live(_) | Opened::Over(_) if destroyed => &[Some(Outcome::Deleted)],
        Opened::Live(_) if writes => &[
            Some(Outcome::Done),
            Some(Outcome::Gone),
            Some(Outcome::Conflict),
        ],
        // A touch.
        Opened::Live(_) => &[None, Some(Outcome::Done), Some(Outcome::Gone)],
        Opened::Absent | Opened::Stale if destroyed => &[None],
        // Nothing is written into no session but data.
        Opened::Absent | Opened::Stale => &[None, Some(Outcome::Created)],
        Opened::Over(_) | Opened::Several(_) | Opened::StaleInGrace => &[None],
    }
}

fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
