//! The model, without fields, encodings, differences and scripts: a session is a struct with one user for
//! life, and each call changes one session.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rocket_typed_session::{SessionData, SessionId};
use session_core::clock::Timestamp;
use session_core::merge::Change;
use session_core::record::Record;
use session_core::store::{Created, Delete, Deleted, Key, Update, Updated};
use session_core::token::Digests;

use super::board::Board;
pub(crate) use super::intent::{Identity, Intent};
use super::request::Request;
use super::watched::Answer;

/// How long a replaced token stores nothing.
const GRACE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(crate) struct Reference {
    pub(crate) sessions: BTreeMap<SessionId, Known>,
    pub(crate) requests: Vec<Request>,
    /// The intents that were stored: none twice.
    stored: BTreeSet<usize>,
    /// What was taken: no value twice.
    taken: BTreeSet<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) is_alive: bool,
    pub(crate) digests: Digests,
    pub(crate) data: Board,
    rotated_at: Option<Timestamp>,
    authenticated_at: Option<Timestamp>,
    /// Counts the writes.
    version: u64,
}

/// A call that changes something.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Create(Key, Box<Record>),
    Delete(Key, Delete),
    Update(Key, Box<Update>),
}

pub(crate) enum Purpose {
    /// The user changes.
    Leave,
    Take,
    Touch,
    Write,
}

impl Purpose {
    pub(crate) fn of(update: &Update) -> Self {
        match update.changes.get("flash") {
            _ if update.ends => Self::Leave,
            Some(Change::Take { .. }) => Self::Take,
            None if update.changes.is_empty() && update.rotation.is_none() => Self::Touch,
            _ => Self::Write,
        }
    }
}

impl Reference {
    pub(crate) fn find(&self, key: Key) -> Option<Known> {
        let known = self.sessions.get(&key.id);
        known.filter(|known| known.is_alive).cloned()
    }

    pub(crate) fn loaded(&mut self, number: usize, key: Key, found: Option<Known>, now: Timestamp) {
        let request = &mut self.requests[number];
        let digests = request.token.expect("a token");
        if request.is_reload {
            request.reloaded();
        }
        let is_recent = |at: Option<Timestamp>| at.is_some_and(|at| now.since(at) < GRACE);
        match found {
            Some(known) if known.digests.matches(&digests) => {
                request.live = Some(key.id);
                (request.view, request.version) = (known.data, known.version);
            }
            _ if request.is_reload => request.over(key.id),
            Some(known) => {
                let is_same_login = known.digests.login_matches(&digests);
                request.live = None;
                request.ends = Vec::from_iter(is_same_login.then_some(key.id));
                request.stores_nothing = is_recent(known.rotated_at);
                request.refuses_end = !is_same_login && is_recent(known.authenticated_at);
            }
            None => {
                request.live = None;
                (request.stores_nothing, request.refuses_end) = (false, false);
                request.ends.clear();
            }
        }
        if request.live.is_none() {
            request.view = Board::SCHEMA.defaults();
        }
    }

    pub(crate) fn done(
        &mut self,
        number: usize,
        intent: &Intent,
        call: &Call,
        answer: &Answer,
        is_delayed: bool,
    ) {
        match (call, answer) {
            (Call::Create(key, record), Answer::Created(created)) => {
                assert_eq!(*created, Created::Done);
                self.created(number, intent, *key, record, is_delayed);
            }
            (Call::Delete(key, delete), Answer::Deleted(Deleted::Done)) => {
                let known = self.sessions.get_mut(&key.id).expect("a known session");
                let request = &self.requests[number];
                let login = delete.login.expect("a login");
                let is_of_it = known.digests.login_matches(&login);
                assert!(is_of_it || !known.is_alive, "it ended another login");
                if std::mem::replace(&mut known.is_alive, false) {
                    assert!(!request.has_ended, "ended after the request's end");
                    let may_end = request.live == Some(key.id) || request.ends.contains(&key.id);
                    let wants = intent.destroyed || intent.identity.is_some();
                    assert!(is_delayed || (may_end && wants), "ended for no reason");
                }
            }
            (Call::Delete(key, delete), Answer::Deleted(Deleted::Other)) => {
                let known = self.find(*key).expect("a living session");
                let login = delete.login.expect("a login");
                assert!(!known.digests.login_matches(&login), "it is of this login");
            }
            (Call::Delete(_, delete), Answer::Deleted(Deleted::Late(at))) => {
                assert!(*at > delete.not_after);
            }
            (Call::Update(key, update), Answer::Updated(updated)) => {
                self.updated(number, intent, *key, update, updated);
            }
            (call, answer) => panic!("{answer:?} to {call:?}"),
        }
    }

    fn created(
        &mut self,
        number: usize,
        intent: &Intent,
        key: Key,
        record: &Record,
        is_delayed: bool,
    ) {
        let request = &self.requests[number];
        // A late create's token was never issued.
        if !is_delayed {
            assert!(
                !self.stored.contains(&intent.number),
                "stored in two sessions"
            );
            let alive = |id: &SessionId| self.sessions[id].is_alive;
            if let Some(live) = &request.live {
                assert!(!alive(live), "one begins before the other has ended");
            }
            if intent.logs_in() {
                assert!(
                    !request.ends.iter().any(alive),
                    "a login ends what its token may end"
                );
            } else {
                let switches = intent.identity == Some(Identity::Nobody);
                assert!(
                    switches || !request.stores_nothing,
                    "it could overwrite a login's cookie"
                );
            }
        }
        let data = intent.begun();
        let known = Known {
            is_alive: true,
            digests: record.metadata.digests,
            rotated_at: None,
            authenticated_at: data.user.map(|_| record.metadata.created_at),
            data,
            version: 0,
        };
        assert!(self.sessions.insert(key.id, known).is_none(), "a new id");
    }

    fn updated(
        &mut self,
        number: usize,
        intent: &Intent,
        key: Key,
        update: &Update,
        answer: &Updated,
    ) {
        let request = &self.requests[number];
        let known = self.sessions.get_mut(&key.id).expect("a known session");
        let is_current = known.is_alive && known.digests.matches(&update.loaded);
        match answer {
            Updated::Late(at) => return assert!(*at > update.not_after),
            Updated::Gone => return assert!(!is_current, "it was there"),
            Updated::Conflict => {
                assert!(is_current && intent.transaction.is_some());
                return assert_ne!(known.version, request.version, "nobody wrote");
            }
            Updated::Done(_) => assert!(is_current, "stale, or over"),
            Updated::Overflow(name) => panic!("{name} overflows"),
        }
        let Updated::Done(answer) = answer else {
            return;
        };
        let is_touch = matches!(Purpose::of(update), Purpose::Touch);
        assert!(
            is_touch || !request.has_ended,
            "it landed after the request's end"
        );
        let answered = |name: &str| {
            let value = answer.get(name).map(|value| str::from_utf8(value).unwrap());
            value
                .filter(|value| *value != "null")
                .map(|value| value.parse::<i64>().unwrap())
        };
        match Purpose::of(update) {
            Purpose::Touch => return,
            Purpose::Leave => {
                if intent.transaction.is_some() {
                    assert_eq!(known.data, request.view, "left on what is not stored");
                }
                assert!(intent.identity.is_some(), "left for no reason");
                known.is_alive = false;
            }
            Purpose::Take => {
                let value = known.data.flash.take();
                assert_eq!(answered("flash"), value.map(|value| value as i64));
                assert!(
                    value.is_none_or(|value| self.taken.insert(value)),
                    "taken twice"
                );
            }
            Purpose::Write => {
                assert!(self.stored.insert(intent.number), "stored twice");
                if intent.transaction.is_some() {
                    assert_eq!(
                        known.data, request.view,
                        "changed since the transaction read it"
                    );
                }
                let before = known.data.user;
                known.data = intent.applied(&known.data);
                let is_same = before.is_none() || before == known.data.user;
                assert!(is_same, "an id belongs to one user for life");
                let (count, best) = (known.data.count, known.data.best as i64);
                assert!(answered("count").is_none_or(|value| value == count));
                assert!(answered("best").is_none_or(|value| value == best));
                let rotation = update.rotation.map(|rotation| rotation.is_login);
                let expected = intent.logs_in().then_some(true);
                assert_eq!(rotation, expected.or(intent.rotate.then_some(false)));
                if let Some(rotation) = update.rotation {
                    known.digests = rotation.digests;
                    // When it was decided: the clock may have moved while it was under way.
                    known.rotated_at = Some(rotation.at);
                    if rotation.is_login {
                        known.authenticated_at = Some(rotation.at);
                    }
                }
            }
        }
        known.version += 1;
    }
}
