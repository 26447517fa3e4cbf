//! What must hold, said without fields, encodings, differences and scripts: sessions are structs, and
//! each call that a store has done changes one of them.

use std::collections::{BTreeMap, BTreeSet};

use rocket_typed_session::SessionId;
use session_core::store::{Created, Key, Taken, Update, Updated};
use session_core::token::{Token, VerifierDigest};

use super::board::Board;

/// All sessions there ever were, and what each request knows and wants.
#[derive(Debug, Default)]
pub(crate) struct Reference {
    pub(crate) sessions: BTreeMap<SessionId, Known>,
    pub(crate) requests: Vec<Request>,
    /// What was taken: no value twice.
    taken: BTreeSet<u64>,
}

#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) is_alive: bool,
    pub(crate) epoch: u32,
    pub(crate) digest: VerifierDigest,
    pub(crate) data: Board,
    /// Counts what was written.
    version: u64,
}

/// One request, as far as it matters to others.
#[derive(Debug, Default)]
pub(crate) struct Request {
    /// The epoch of the session that it opened.
    pub(crate) epoch: u32,
    /// The epoch of what was loaded last.
    pub(crate) loaded_epoch: u32,
    /// What was stored when it last asked, and how often that had been written.
    pub(crate) loaded: Option<(Board, u64)>,
    pub(crate) intent: Intent,
    /// What became of the last call that changes something; `None`: there was none.
    pub(crate) outcome: Option<Outcome>,
    /// The data as its last commit left it: what that is answered, however often it is sent.
    pub(crate) left: Board,
}

/// What a commit is for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Intent {
    /// The data as the request began with it, and as it left it.
    pub(crate) change: Option<(Board, Board)>,
    pub(crate) rotate: bool,
    /// Whether it is to be done only if what was loaded is unchanged.
    pub(crate) is_transaction: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Conflict,
    Created,
    Deleted,
    Done,
    Gone,
}

impl Known {
    pub(crate) fn opens(&self, token: &Token) -> bool {
        self.is_alive && self.digest.matches(&token.digest())
    }
}

impl Intent {
    pub(crate) fn changes_identity(&self) -> bool {
        let change = self.change.as_ref();
        change.is_some_and(|(before, after)| before.user != after.user)
    }

    pub(crate) fn rotates(&self) -> bool {
        self.rotate || self.changes_identity()
    }

    /// What is stored after it.
    fn applied(&self, stored: &Board) -> Board {
        let Some((before, after)) = &self.change else {
            return stored.clone();
        };
        let switches = before.user.is_some() && after.user.is_some() && self.changes_identity();
        // Nothing of one user is left to the next, whenever it was stored.
        let mut data = match switches {
            true => Board::default(),
            false => stored.clone(),
        };
        data.count += after.count - before.count;
        data.best = match after.best == before.best {
            true => data.best,
            false => data.best.max(after.best),
        };
        for key in before.marks.keys().chain(after.marks.keys()) {
            match after.marks.get(key) {
                value if value == before.marks.get(key) => {}
                Some(value) => drop(data.marks.insert(key.clone(), *value)),
                None => drop(data.marks.remove(key)),
            }
        }
        last(&mut data.flash, before.flash, after.flash);
        last(&mut data.user, before.user, after.user);
        last(&mut data.note, before.note, after.note);
        last(&mut data.theme, before.theme, after.theme);
        data
    }
}

/// The last writer wins.
fn last<V: PartialEq>(stored: &mut V, before: V, after: V) {
    if before != after {
        *stored = after;
    }
}

impl Reference {
    pub(crate) fn loaded(&mut self, request: usize, key: Key) {
        let known = self.sessions.get(&key.id).filter(|known| known.is_alive);
        let request = &mut self.requests[request];
        request.loaded = known.map(|known| (known.data.clone(), known.version));
        if let Some(known) = known {
            request.loaded_epoch = known.epoch;
        }
    }

    pub(crate) fn created(&mut self, request: usize, key: Key, digest: VerifierDigest) -> Created {
        let request = &mut self.requests[request];
        if request.outcome.is_none() {
            let (_, after) = request.intent.change.clone().expect("data to store");
            let known = Known {
                is_alive: true,
                epoch: 0,
                digest,
                data: after,
                version: 0,
            };
            assert!(self.sessions.insert(key.id, known).is_none(), "a new id");
            request.outcome = Some(Outcome::Created);
            request.epoch = 0;
        }
        Created::Done
    }

    /// Checks what the store answered to an update, and does it.
    pub(crate) fn updated(&mut self, request: usize, key: Key, update: &Update, answer: &Updated) {
        let request = &mut self.requests[request];
        let known = self.sessions.get_mut(&key.id).expect("a known session");
        let intent = &request.intent;
        let is_touch = intent.change.is_none() && !intent.rotate;
        let is_again = request.outcome == Some(Outcome::Done);
        let unchanged = || request.loaded.as_ref().is_some_and(|l| l.0 == known.data);
        let unwritten = || {
            request
                .loaded
                .as_ref()
                .is_some_and(|l| l.1 == known.version)
        };
        let outcome = if !known.is_alive {
            Outcome::Gone
        } else if is_again {
            Outcome::Done
        } else if known.epoch != request.epoch {
            Outcome::Gone
        } else if intent.is_transaction && !unchanged() {
            Outcome::Conflict
        } else {
            Outcome::Done
        };
        match answer {
            // The same data may be stored in another way.
            Updated::Conflict if outcome == Outcome::Done => {
                assert!(intent.is_transaction && !is_again && !unwritten());
                request.outcome = Some(Outcome::Conflict);
                return;
            }
            Updated::Conflict => assert_eq!(outcome, Outcome::Conflict),
            Updated::Done(_) => assert_eq!(outcome, Outcome::Done, "stale, over or changed"),
            Updated::Gone => assert_eq!(outcome, Outcome::Gone, "lost"),
        }
        request.outcome = Some(outcome);
        if outcome == Outcome::Done && !is_touch && !is_again {
            assert_eq!(update.rotation.is_some(), intent.rotates());
            known.data = intent.applied(&known.data);
            known.version += 1;
            if let Some(rotation) = update.rotation {
                known.epoch += 1;
                known.digest = rotation.digest;
                request.epoch = known.epoch;
            }
        }
        if !is_again {
            request.left = known.data.clone();
        }
        if let Updated::Done(merged) = answer {
            let stored = [
                ("count", request.left.count as u64),
                ("best", request.left.best),
            ];
            for (name, value) in merged.iter() {
                let value = String::from_utf8(value.to_vec()).unwrap();
                let expected = stored.iter().find(|(known, _)| known == name).unwrap().1 as i64;
                assert_eq!(value, expected.to_string(), "{name}");
            }
        }
    }

    pub(crate) fn taken(&mut self, request: usize, key: Key, answer: &Taken) {
        let known = self.sessions.get_mut(&key.id).expect("a known session");
        let is_current = known.is_alive && known.epoch == self.requests[request].epoch;
        match answer {
            Taken::Gone => assert!(!is_current, "it was there"),
            Taken::Done(value) => {
                assert!(is_current, "stale, or over");
                let value = value
                    .as_ref()
                    .map(|value| std::str::from_utf8(value).unwrap());
                let value = value.filter(|value| *value != "null");
                let value: Option<u64> = value.map(|value| value.parse().unwrap());
                assert_eq!(value, known.data.flash.take());
                known.version += 1;
                assert!(value.is_none_or(|value| self.taken.insert(value)), "twice");
            }
        }
    }

    pub(crate) fn deleted(&mut self, request: usize, key: Key) {
        self.sessions.get_mut(&key.id).unwrap().is_alive = false;
        self.requests[request].outcome = Some(Outcome::Deleted);
    }
}
