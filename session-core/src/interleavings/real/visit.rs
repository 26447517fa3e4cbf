use crate::changes::Changes;
use crate::field::Field;
use crate::field::codec::accessor;
use crate::fields::Fields;
use crate::merge::{Change, Counter, CounterRange};
use crate::options::Options;
use crate::plan::{Identity, Pending};
use crate::schema::{NoParent, Schema, SessionData};

#[derive(Debug, Default)]
pub(in super::super) struct Visit {
    views: u64,
    user: Option<String>,
    /// Who wrote last, by their own account.
    note: Option<String>,
}

impl SessionData for Visit {
    type Parent = NoParent;

    const SCHEMA: &'static Schema<Self> = &Schema::new(
        "visit",
        Options::new(),
        &[
            Field::new(
                "views",
                "u64",
                &const { accessor::<u64, Self>(|v| &v.views, |v| &mut v.views) },
            )
            .counter::<u64>(),
            Field::new(
                "user",
                "Option<String>",
                &const { accessor::<Option<String>, Self>(|v| &v.user, |v| &mut v.user) },
            )
            .identity(),
            Field::new(
                "note",
                "Option<String>",
                &const { accessor::<Option<String>, Self>(|v| &v.note, |v| &mut v.note) },
            ),
        ],
    );
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(in super::super) enum User {
    Nobody,
    Alice,
    Bob,
    Thief,
}

impl User {
    pub(super) fn text(self) -> Vec<u8> {
        format!("\"{self:?}\"").into_bytes()
    }

    pub(super) fn of(fields: &Fields, name: &str) -> Option<Self> {
        let value = fields.get(name)?;
        let users = [Self::Nobody, Self::Alice, Self::Bob, Self::Thief];
        users.into_iter().find(|user| user.text() == value)
    }
}

/// What a handler does.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(in super::super) struct Doing {
    /// `views += 1`
    pub(in super::super) adds: bool,
    /// `note = …`, in the name of the logged-in user.
    pub(in super::super) writes: bool,
    /// `user = Some(…)`
    pub(in super::super) logs_in: Option<User>,
    /// `user = None`
    pub(in super::super) leaves: bool,
    pub(in super::super) rotates: bool,
    /// `destroy()`
    pub(in super::super) logs_out: bool,
}

impl Doing {
    /// `RequestSession::pending`, in the name of `user`.
    pub(in super::super) fn pending(self, user: User) -> Pending {
        let mut changes = Changes::new();
        if self.adds {
            let counter = Counter::new(CounterRange::new(0, i64::MAX));
            changes.insert(
                "views".into(),
                Change::Add {
                    delta: 1,
                    base: 0,
                    counter,
                },
            );
        }
        if self.writes {
            let author = self.logs_in.unwrap_or(user);
            changes.insert("note".into(), Change::Set(author.text()));
        }
        if let Some(user) = self.logs_in {
            changes.insert("user".into(), Change::Set(user.text()));
        }
        if self.leaves {
            changes.insert("user".into(), Change::Unset);
        }
        let mut identity = Visit::SCHEMA.identity_change(&changes);
        if self.logs_in == Some(user) {
            identity = Some(Identity::Same);
        }
        Pending {
            identity,
            changes,
            rotate: self.rotates,
            destroyed: self.logs_out,
            ..Pending::default()
        }
    }
}
