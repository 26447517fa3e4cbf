//! The application: its handler does what the program says and compares what it sees.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rocket::{State, get};
use rocket_typed_session::{Error, Session, TransactError};

use super::board::Board;
use super::intent::Intent;
use super::program::Verb;
use super::request::Request;
use super::schedule::request;
use super::watched::Watched;

#[get("/")]
pub(crate) async fn act(mut guard: Session<Board>, store: &State<Arc<Watched>>) {
    let number = request();
    let verbs = store.reference().requests[number].verbs.clone();
    let mut act = Act {
        store: store.inner(),
        number,
        before: guard.clone(),
        unsaved: None,
    };
    assert_eq!(
        *guard,
        act.request(|request| request.now()),
        "what was read"
    );
    for verb in verbs {
        match verb {
            Verb::Destroy => {
                guard.destroy();
                act.request(|request| request.intent.destroyed = true);
                return;
            }
            Verb::LogIn(user) => act.log_in(&mut guard, user),
            Verb::Reload => {
                if act.reload(&mut guard).await.is_err() {
                    break;
                }
            }
            Verb::Rotate => {
                guard.rotate_token();
                act.request(|request| request.intent.rotate = true);
            }
            Verb::Save => drop(act.save(&mut guard).await),
            Verb::Take => {
                if act.take(&mut guard).await.is_err() {
                    return;
                }
            }
            Verb::Transact => {
                if act.transact(&mut guard).await.is_err() {
                    break;
                }
            }
            Verb::Identify(user) => act.identify(&mut guard, user),
            verb => verb.apply(&mut guard, unique()),
        }
    }
    act.stroke(&guard, false);
}

struct Act<'s> {
    store: &'s Arc<Watched>,
    number: usize,
    before: Board,
    /// The intent before the guard assigned a user: a reload returns to it.
    unsaved: Option<Intent>,
}

impl Act<'_> {
    fn request<R>(&self, ask: impl FnOnce(&mut Request) -> R) -> R {
        ask(&mut self.store.reference().requests[self.number])
    }

    /// Tells the model what the handler changed.
    fn stroke(&mut self, now: &Board, is_login: bool) {
        if *now != self.before || is_login {
            let before = std::mem::replace(&mut self.before, now.clone());
            self.request(|request| request.intent.stroke(before, now.clone(), is_login));
        }
    }

    /// The guard must show what the model says, if the model knows.
    fn compare(&mut self, guard: &Board) {
        let expected = self.request(|request| request.known_now());
        assert_eq!(*guard, expected.unwrap_or_else(|| guard.clone()));
        self.before = guard.clone();
    }

    fn log_in(&mut self, guard: &mut Session<Board>, user: u8) {
        let mut now = (**guard).clone();
        now.user = Some(user);
        self.stroke(&now, true);
        self.unsaved = None;
        guard.log_in(user);
        self.compare(guard);
    }

    /// The changes before are one stroke, the user is another. When the user changes, the guard goes on from
    /// what the next user has.
    fn identify(&mut self, guard: &mut Session<Board>, user: Option<u8>) {
        if self.unsaved.is_none() {
            self.unsaved = Some(self.request(|request| request.intent.clone()));
        }
        self.stroke(guard, false);
        let mut now = self.before.clone();
        now.user = user;
        self.stroke(&now, false);
        Verb::Identify(user).apply(guard, 0);
        let shown = (**guard).clone();
        self.request(|request| request.handed_on(&shown));
        self.before = shown;
    }

    async fn reload(&mut self, guard: &mut Session<Board>) -> Result<(), Error> {
        self.request(|request| request.is_reload = true);
        let reloaded = guard.reload().await;
        self.request(|request| request.is_reload = false);
        match reloaded {
            Ok(()) => {
                if let Some(intent) = self.unsaved.take() {
                    self.request(|request| request.intent = intent);
                }
                self.request(Request::reloaded);
                self.compare(guard);
            }
            Err(error) if error.is_gone() => {
                self.request(|request| assert!(request.live.is_none(), "it was there"));
            }
            Err(error) => return self.unread(error),
        }
        Ok(())
    }

    /// It failed because a load was not answered.
    fn unread(&self, error: Error) -> Result<(), Error> {
        self.request(|request| {
            assert!(error.is_unknown() && request.is_unread, "{error}");
            request.is_vague();
        });
        Err(error)
    }

    async fn save(&mut self, guard: &mut Session<Board>) -> Result<(), Error> {
        self.stroke(guard, false);
        self.unsaved = None;
        let saved = guard.save().await;
        self.request(|request| request.settled(saved.as_ref().copied()));
        if saved.is_ok() {
            self.compare(guard);
        }
        saved
    }

    async fn take(&mut self, guard: &mut Session<Board>) -> Result<(), Error> {
        // A new value of the field, or a login, is stored first; all else stays with the guard.
        let is_saved = (guard.flash, guard.user) != (self.before.flash, self.before.user)
            || self.request(|request| request.intent.identity.is_some());
        if is_saved {
            self.stroke(guard, false);
            self.unsaved = None;
        }
        let taken = Board::take_flash(guard).await;
        match is_saved {
            true => self.before = (**guard).clone(),
            false => self.before.flash = None,
        }
        if let Err(error) = &taken {
            self.request(|request| request.is_vague());
            self.request(|request| request.settled(Err(error)));
        }
        taken.map(drop)
    }

    async fn transact(&mut self, guard: &mut Session<Board>) -> Result<(), Error> {
        if self.save(guard).await.is_err() {
            return Ok(());
        }
        self.request(|request| request.is_reload = true);
        let done = guard.transact(|board| {
            let before = board.clone();
            self.request(|request| {
                request.reloaded();
                assert_eq!(before, request.view, "what was read");
            });
            Verb::transact(board);
            let change = Some((before, board.clone()));
            self.request(|request| request.intent.transaction = change);
            Ok::<_, ()>(())
        });
        let done = done.await;
        self.request(|request| request.is_reload = false);
        match done {
            Ok(()) => {
                self.request(|request| request.settled(Ok(())));
                self.compare(guard);
            }
            Err(TransactError::Failed(error))
                if error.is_unknown() && self.request(|request| request.is_unread) =>
            {
                return self.unread(error);
            }
            Err(TransactError::Failed(error)) => {
                self.request(|request| request.settled(Err(&error)));
                self.before = (**guard).clone();
            }
            Err(TransactError::Aborted(()) | TransactError::Conflict) => {}
        }
        Ok(())
    }
}

fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
