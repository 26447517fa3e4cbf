//! What a request did that is not stored yet.

use std::sync::atomic::{AtomicUsize, Ordering};

use rocket_typed_session::SessionData;

use super::board::Board;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Identity {
    Nobody,
    Other,
    Same,
}

#[derive(Clone, Debug)]
pub(crate) struct Intent {
    /// Unique.
    pub(crate) number: usize,
    /// Pairs of the data before and after, in order.
    strokes: Vec<(Board, Board)>,
    /// The same for a transaction: only if what it read is unchanged.
    pub(crate) transaction: Option<(Board, Board)>,
    pub(crate) identity: Option<Identity>,
    pub(crate) rotate: bool,
    pub(crate) destroyed: bool,
}

impl Default for Intent {
    fn default() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            strokes: Vec::new(),
            transaction: None,
            identity: None,
            rotate: false,
            destroyed: false,
        }
    }
}

impl Intent {
    pub(crate) fn stroke(&mut self, before: Board, after: Board, is_login: bool) {
        let identity = match (before.user == after.user, after.user) {
            (true, _) => is_login.then_some(Identity::Same),
            (false, None) => Some(Identity::Nobody),
            (false, Some(_)) => Some(Identity::Other),
        };
        self.identity = match (self.identity, identity) {
            (Some(Identity::Other), Some(Identity::Same)) => self.identity,
            (earlier, later) => later.or(earlier),
        };
        self.strokes.push((before, after));
    }

    pub(crate) fn logs_in(&self) -> bool {
        matches!(self.identity, Some(Identity::Other | Identity::Same))
    }

    /// Whether the user's session ends and another begins.
    pub(crate) fn switches(&self, view: &Board) -> bool {
        let changes = matches!(self.identity, Some(Identity::Other | Identity::Nobody));
        view.user.is_some() && changes
    }

    /// The data of a session that begins with it. A counter that the request set back to its default begins
    /// there.
    pub(crate) fn begun(&self) -> Board {
        let mut data = self.applied(&Board::SCHEMA.defaults());
        let mut moved: Option<(i64, i64)> = None;
        for (before, after) in self.strokes.iter().chain(&self.transaction) {
            let delta = after.count - before.count;
            let (base, earlier) = moved.unwrap_or((before.count, 0));
            moved = Some((base, earlier + delta)).filter(|(_, delta)| *delta != 0);
        }
        if moved.is_some_and(|(base, delta)| base + delta == 0) {
            data.count = 0;
        }
        data
    }

    /// The session that begins has this data so far.
    pub(crate) fn goes_on_from(&mut self, data: &Board) {
        self.strokes = vec![(Board::SCHEMA.defaults(), data.clone())];
    }

    /// What is stored after it.
    pub(crate) fn applied(&self, stored: &Board) -> Board {
        let mut data = stored.clone();
        for (before, after) in self.strokes.iter().chain(&self.transaction) {
            data.count += after.count - before.count;
            if after.best != before.best {
                data.best = data.best.max(after.best);
            }
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
        }
        if self.identity == Some(Identity::Same) {
            // A session that begins with it needs the user.
            let user = self.strokes.iter().rev().find_map(|(_, after)| after.user);
            data.user = data.user.or(user);
        }
        data
    }
}

/// The last writer wins.
fn last<V: PartialEq>(stored: &mut V, before: V, after: V) {
    if before != after {
        *stored = after;
    }
}
