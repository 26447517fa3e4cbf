use super::super::real::{Cookie, Stored, finished};
use super::tests::Mutant;
use super::{Deadline, Heard, IDS, Message, Opened, SENDS, START, World, at};
use crate::clock::Timestamp;
use crate::plan::{Commit, Loaded};
use crate::store::{Created, Delete, Deleted, Store as _, Update, Updated};
use crate::token::Digests;

impl World {
    pub(super) fn cookie_of_create(&self, who: usize, number: u8) -> Cookie {
        let number = match self.is(Mutant::CreatesUnderTheSameId) {
            true => 0,
            false => number,
        };
        let id = secret(who, number);
        Cookie {
            id,
            login: id,
            verifier: id,
        }
    }

    /// `None`: the token did not change.
    pub(super) fn cookie_of_update(
        &self,
        who: usize,
        opened: Opened,
        number: u8,
    ) -> Option<Cookie> {
        let (cookie, update) = self.update(who, opened, number)?;
        update.rotation.map(|_| cookie)
    }

    /// `Engine::update`, with secrets of this number.
    fn update(&self, who: usize, opened: Opened, number: u8) -> Option<(Cookie, Update)> {
        let plan = self.planned(who, opened);
        let (Loaded::Live(live), Commit::Write { renews, data }) = (&plan.loaded, plan.commit)
        else {
            return None;
        };
        let secret = IDS + secret(who, number);
        let cookie = opened.cookie?;
        Some(
            self.real
                .update(cookie, live, &plan.pending, (renews, data), secret),
        )
    }

    /// The cookie of the target record.
    pub(super) fn target(&self, who: usize, message: Message) -> Option<Cookie> {
        match message {
            Message::Update { opened, .. }
            | Message::Delete { opened, .. }
            | Message::Leave { opened, .. } => opened.cookie,
            Message::Create { number, .. } => Some(self.cookie_of_create(who, number)),
        }
    }

    pub(super) fn deliver(
        &self,
        who: usize,
        message: Message,
        stored: Stored,
        now: u8,
    ) -> Option<(Stored, Heard)> {
        let target = self.target(who, message)?;
        let not_after = match message {
            Message::Update { not_after, .. }
            | Message::Delete { not_after, .. }
            | Message::Leave { not_after, .. } => not_after,
            Message::Create { .. } => Deadline::MAX,
        };
        let input = (who, message, stored, now > not_after);
        if let Some(known) = self.done.borrow().get(&input) {
            return Some(*known);
        }
        self.real.set_now(at(now));
        let done = match message {
            Message::Update { .. } | Message::Leave { .. } => {
                let mut update = match message {
                    Message::Update { opened, number, .. } => self.update(who, opened, number)?.1,
                    _ => self.leave(who, message.opened())?,
                };
                update.not_after = at(not_after);
                update.loaded = self.compared(update.loaded, stored);
                self.real.on(target, stored, |store, key| {
                    match finished(store.update(key, &update)).unwrap() {
                        Updated::Done(_) => Heard::Done,
                        Updated::Gone => Heard::Gone,
                        Updated::Late(_) => Heard::Late,
                        Updated::Conflict | Updated::Overflow(_) => unreachable!("{message:?}"),
                    }
                })
            }
            Message::Delete { opened, .. } => {
                let ends = self.planned(who, opened).loaded.ends();
                let login = ends.first().and_then(|end| end.login);
                let login = login.filter(|_| !self.is(Mutant::DeletesNameNoLogin));
                let delete = Delete::new(login, at(not_after));
                self.real.on(target, stored, |store, key| {
                    match finished(store.delete(key, &delete)).unwrap() {
                        Deleted::Done => Heard::Done,
                        Deleted::Late(_) => Heard::Late,
                        Deleted::Other => Heard::Other,
                    }
                })
            }
            Message::Create { opened, .. } => {
                let plan = self.planned(who, opened);
                let fields = self.real.begin_with(plan.loaded.live(), &plan.pending);
                let record = self.real.begun(target, fields, &plan.pending);
                self.real.on(target, stored, |store, key| {
                    // Refused only if the same id is sent again.
                    let _: Created = finished(store.create(key, record)).unwrap();
                    Heard::Done
                })
            }
        };
        self.real.set_now(START);
        self.done.borrow_mut().insert(input, done);
        Some(done)
    }

    /// `RequestSession::leave`.
    fn leave(&self, who: usize, opened: Opened) -> Option<Update> {
        let plan = self.planned(who, opened);
        let loaded = plan.loaded.live()?.record.metadata.digests;
        let mut update = Update::new(loaded, Timestamp::default());
        update.ends = true;
        Some(update)
    }

    /// The digests that an update names. Some mutants do not compare a half.
    fn compared(&self, loaded: Digests, stored: Stored) -> Digests {
        let Some(record) = self.real.record(stored) else {
            return loaded;
        };
        let (mut digests, stored) = (loaded.to_bytes(), record.metadata.digests.to_bytes());
        let half = digests.len() / 2;
        let ignored = match self.mutant {
            Some(Mutant::NoDigestIsCompared) => 0..2 * half,
            Some(Mutant::OnlyLoginIsCompared) => half..2 * half,
            Some(Mutant::OnlyVerifierIsCompared) => 0..half,
            _ => 0..0,
        };
        digests[ignored.clone()].copy_from_slice(&stored[ignored]);
        Digests::from_bytes(digests)
    }
}

/// A number that no other message of the world has.
fn secret(who: usize, number: u8) -> u8 {
    1 + SENDS * u8::try_from(who).unwrap_or_default() + number
}
