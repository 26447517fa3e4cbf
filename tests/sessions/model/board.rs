//! A session with one field for each way to merge.

use std::collections::BTreeMap;

use rocket_typed_session::SessionData;
use session_core::field::{Field, accessor, entries};
use session_core::options::Options;
use session_core::schema::Schema;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Board {
    pub(crate) count: i64,
    pub(crate) best: u64,
    pub(crate) marks: BTreeMap<String, u64>,
    pub(crate) flash: Option<u64>,
    pub(crate) user: Option<u8>,
    pub(crate) note: u64,
    pub(crate) theme: u64,
}

impl SessionData for Board {
    const SCHEMA: &'static Schema<Self> = &Schema::new(
        "board",
        Options::new(),
        &[
            Field::new(
                "count",
                "i64",
                &const { accessor::<i64, Self>(|b| &b.count, |b| &mut b.count) },
            )
            .counter::<i64>(),
            Field::new(
                "best",
                "u64",
                &const { accessor::<u64, Self>(|b| &b.best, |b| &mut b.best) },
            )
            .max::<u64>(),
            Field::entries(
                "marks",
                "BTreeMap<String, u64>",
                &const { entries::<BTreeMap<String, u64>, Self>(|b| &b.marks, |b| &mut b.marks) },
            ),
            Field::new(
                "flash",
                "Option<u64>",
                &const { accessor::<Option<u64>, Self>(|b| &b.flash, |b| &mut b.flash) },
            )
            .once::<Option<u64>>(),
            Field::new(
                "user",
                "Option<u8>",
                &const { accessor::<Option<u8>, Self>(|b| &b.user, |b| &mut b.user) },
            )
            .identity::<Option<u8>>(),
            Field::new(
                "note",
                "u64",
                &const { accessor::<u64, Self>(|b| &b.note, |b| &mut b.note) },
            ),
            Field::new(
                "theme",
                "u64",
                &const { accessor::<u64, Self>(|b| &b.theme, |b| &mut b.theme) },
            ),
        ],
        Self::default,
    );
}
