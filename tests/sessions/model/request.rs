//! The model of one request.

use std::collections::VecDeque;

use rocket::http::Status;
use rocket_typed_session::{Error, SessionData, SessionId};
use session_core::store::{Deleted, Updated};
use session_core::token::{Digests, Token};

use super::board::Board;
use super::intent::Intent;
use super::program::Verb;
use super::reference::{Call, Purpose, Reference};
use super::watched::Answer;
use crate::support::lossy::Fate;

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) verbs: Vec<Verb>,
    fates: VecDeque<Fate>,
    /// What it can prove now.
    pub(crate) token: Option<Digests>,
    brought_token: bool,
    pub(crate) live: Option<SessionId>,
    /// The data as it read or left it, and its version when it was read.
    pub(crate) view: Board,
    pub(crate) version: u64,
    /// The sessions that it may end when none is open.
    pub(crate) ends: Vec<SessionId>,
    pub(crate) stores_nothing: bool,
    pub(crate) refuses_end: bool,
    pub(crate) is_reload: bool,
    pub(crate) intent: Intent,
    /// Whether a write was sent and not answered.
    is_unheard: bool,
    was_unheard: bool,
    /// The same for a load.
    pub(crate) is_unread: bool,
    was_late: bool,
    /// Whether the session that it was to end had another login by then.
    was_other: bool,
    /// Whether it was told that a commit's outcome is unknown.
    in_doubt: bool,
    /// Whether it is unknown which changes that concerned.
    is_vague: bool,
    /// The session that it wanted to leave, if it was over or had another token.
    has_left: Option<SessionId>,
    cookie: Cookie,
    pub(crate) has_ended: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) enum Cookie {
    #[default]
    Keep,
    Removed,
    Set(Digests),
}

impl Request {
    pub(crate) fn new(verbs: Vec<Verb>, fates: Vec<Fate>, token: Option<&Token>) -> Self {
        Self {
            verbs,
            fates: fates.into(),
            token: token.map(Token::digests),
            brought_token: token.is_some(),
            live: None,
            view: Board::SCHEMA.defaults(),
            version: 0,
            ends: Vec::new(),
            stores_nothing: false,
            refuses_end: false,
            is_reload: false,
            intent: Intent::default(),
            is_unheard: false,
            was_unheard: false,
            is_unread: false,
            was_late: false,
            was_other: false,
            in_doubt: false,
            is_vague: false,
            has_left: None,
            cookie: Cookie::Keep,
            has_ended: false,
        }
    }

    pub(crate) fn over(&mut self, id: SessionId) {
        self.live = None;
        self.ends = vec![id];
        self.stores_nothing = true;
        self.refuses_end = false;
        self.view = Board::SCHEMA.defaults();
    }

    /// The data of a guard that begins now.
    pub(crate) fn now(&self) -> Board {
        match self.live.is_some() && !self.intent.switches(&self.view) {
            true => self.intent.applied(&self.view),
            false => self.intent.begun(),
        }
    }

    /// The same, if it is known.
    pub(crate) fn known_now(&self) -> Option<Board> {
        (self.live.is_some() && !self.in_doubt).then(|| self.now())
    }

    /// Checks what a guard shows after it assigned a user.
    pub(crate) fn handed_on(&mut self, shown: &Board) {
        if self.live.is_some() && self.intent.switches(&self.view) {
            if self.known_now().is_some() {
                assert_eq!(*shown, self.intent.begun(), "what the next user has");
            }
            self.intent.goes_on_from(shown);
        }
    }

    fn is_noop(&self) -> bool {
        !self.intent.logs_in() && self.now() == self.view
    }

    /// A `save`, or the like, has ended.
    pub(crate) fn settled(&mut self, result: Result<(), &Error>) {
        match result {
            Ok(()) => {
                assert!(self.is_noop(), "it said that it stored what it did not");
                assert!(
                    !self.intent.rotate || self.live.is_none(),
                    "it did not rotate"
                );
            }
            Err(error) if error.is_gone() => {
                assert!(!self.intent.logs_in(), "a login was dropped");
                assert!(self.live.is_none() && self.stores_nothing, "{error}");
            }
            Err(error) if error.is_unknown() => {
                assert!(self.was_unheard || self.is_unread, "{error}");
                self.in_doubt = true;
            }
            // Refused for good: only a rotation or an end is tried again at the end.
            Err(error) if !error.is_store() => {
                assert!(self.was_other, "{error}");
                let (rotate, destroyed) = (self.intent.rotate, self.intent.destroyed);
                self.intent = Intent::default();
                (self.intent.rotate, self.intent.destroyed) = (rotate, destroyed);
                return;
            }
            // Certainly not done, so tried again at the end.
            Err(error) => return assert!(error.is_store() && self.was_late, "{error}"),
        }
        self.intent = Intent::default();
    }

    /// A reload shows what an earlier commit did.
    pub(crate) fn reloaded(&mut self) {
        self.in_doubt = false;
    }

    pub(crate) fn is_vague(&mut self) {
        self.is_vague = true;
    }
}

impl Reference {
    pub(crate) fn asked(&mut self, number: usize) -> (Fate, Intent) {
        let request = &mut self.requests[number];
        assert!(
            !request.in_doubt || request.intent.destroyed,
            "it goes on in doubt"
        );
        (request.is_unheard, request.was_unheard) = (true, true);
        let fate = request.fates.pop_front().unwrap_or_default();
        (fate, request.intent.clone())
    }

    pub(crate) fn heard(&mut self, number: usize, intent: &Intent, call: &Call, answer: &Answer) {
        let request = &mut self.requests[number];
        request.is_unheard = false;
        match (call, answer) {
            (Call::Create(key, record), Answer::Created(_)) => {
                let digests = record.metadata.digests;
                request.live = Some(key.id);
                request.view = intent.begun();
                (request.token, request.cookie) = (Some(digests), Cookie::Set(digests));
                request.intent = Intent::default();
            }
            (Call::Delete(key, _), Answer::Deleted(Deleted::Done)) => {
                let mut ends = std::mem::take(&mut request.ends);
                request.over(key.id);
                // The cookie is removed even if another session begins.
                let left = request.has_left == Some(key.id) && !intent.logs_in();
                request.stores_nothing = intent.destroyed || left;
                request.ends.append(&mut ends);
                request.cookie = Cookie::Removed;
            }
            // Somebody logged in meanwhile: a login goes on, a logout is refused.
            (Call::Delete(key, _), Answer::Deleted(Deleted::Other)) => {
                request.over(key.id);
                request.ends.clear();
                (request.refuses_end, request.was_other) = (true, true);
            }
            (_, Answer::Deleted(Deleted::Late(_)) | Answer::Updated(Updated::Late(_))) => {
                request.was_late = true;
            }
            (Call::Update(key, update), Answer::Updated(updated)) => {
                match (Purpose::of(update), updated) {
                    (Purpose::Touch, _) => {}
                    (Purpose::Leave, Updated::Done(_)) => {
                        request.over(key.id);
                        (request.ends, request.stores_nothing) = (Vec::new(), false);
                        request.cookie = Cookie::Removed;
                    }
                    // Another request was first; the session still ends.
                    (Purpose::Leave, Updated::Gone) if intent.transaction.is_none() => {
                        request.has_left = Some(key.id);
                    }
                    (Purpose::Take, Updated::Done(_)) => request.view.flash = None,
                    (Purpose::Write, Updated::Done(answer)) => {
                        request.view = intent.applied(&request.view);
                        Board::SCHEMA.decode_into(&mut request.view, answer, Default::default());
                        if let Some(rotation) = update.rotation {
                            request.token = Some(rotation.digests);
                            request.cookie = Cookie::Set(rotation.digests);
                        }
                        request.intent = Intent::default();
                    }
                    (_, Updated::Conflict) => request.intent.transaction = None,
                    (_, _) => request.over(key.id),
                }
            }
            (call, answer) => panic!("{answer:?} to {call:?}"),
        }
    }

    pub(crate) fn ended(&mut self, number: usize, status: Status, cookie: Option<Option<Token>>) {
        let request = &mut self.requests[number];
        request.has_ended = true;
        let intent = &request.intent;
        let is_refused = request.live.is_none() && request.ends.is_empty() && request.refuses_end;
        let is_refused = is_refused && intent.destroyed;
        if status != Status::Ok {
            assert_eq!(status, Status::ServiceUnavailable);
            let is_unheard = request.is_unheard || request.is_unread;
            let is_in_doubt = request.in_doubt || is_unheard || request.was_late;
            assert!(
                is_in_doubt || is_refused || request.was_other || request.is_vague,
                "503 for no reason"
            );
        } else if intent.destroyed {
            assert!(!is_refused, "nobody knows what to end");
            let mut ids = request.live.iter().chain(&request.ends);
            assert!(
                ids.all(|id| !self.sessions[id].is_alive),
                "a logout ends the session"
            );
        } else {
            assert!(!intent.logs_in(), "a login was lost");
            let is_over = request.live.is_none() && request.stores_nothing;
            let is_lost = !request.is_noop() && (!is_over || request.in_doubt);
            assert!(
                !is_lost || request.is_vague,
                "an acknowledged change was lost"
            );
            assert!(!intent.rotate || request.live.is_none() || request.is_vague);
        }
        match (&request.cookie, cookie) {
            (Cookie::Set(digests), Some(Some(token))) => assert!(token.digests().matches(digests)),
            (Cookie::Keep, None) | (Cookie::Removed, Some(None)) => {
                let is_kept = matches!(request.cookie, Cookie::Keep) && request.brought_token;
                assert!(!(is_kept && intent.destroyed && status == Status::Ok));
            }
            (Cookie::Removed, None) => assert!(!request.brought_token),
            (Cookie::Keep, Some(None)) => assert!(intent.destroyed, "a cookie was removed"),
            (expected, cookie) => panic!("{cookie:?}, not {expected:?}"),
        }
    }
}
