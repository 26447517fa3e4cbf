//! What the requests of a random program do.

use proptest::collection::vec;
use proptest::prelude::*;

use super::board::Board;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Verb {
    Add(i8),
    Best(u8),
    Destroy,
    /// Logs somebody in, another one in, or out.
    Identify(Option<u8>),
    /// The answer of the next call that changes something is lost, so it is sent again.
    LoseAnswer,
    Mark(u8, u8),
    Note(u8),
    /// Puts a value into the field that one request obtains.
    Put,
    Rotate,
    Save,
    Take,
    Theme(u8),
    /// Doubles the counter and says so in the note, if nobody else changes anything meanwhile.
    Transact,
    Unmark(u8),
}

/// Several browser tabs with one jar, each of which sends some requests one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// What is in the session before; `None`: there is none.
    pub(crate) setup: Option<Vec<Verb>>,
    /// Whether time has passed since, so that a touch is due.
    pub(crate) is_old: bool,
    pub(crate) tabs: Vec<Vec<Vec<Verb>>>,
    /// In which order they take their steps.
    pub(crate) order: Vec<usize>,
}

impl Verb {
    /// What it does to the data, if that is all that it does. `unique` is another number each time.
    pub(crate) fn apply(self, data: &mut Board, unique: u64) {
        match self {
            Self::Add(delta) => data.count += i64::from(delta),
            Self::Best(value) => data.best = data.best.max(value.into()),
            Self::Identify(user) => data.user = user,
            Self::Mark(key, value) => drop(data.marks.insert(key.to_string(), value.into())),
            Self::Note(value) => data.note = value.into(),
            Self::Put => data.flash = Some(unique),
            Self::Theme(value) => data.theme = value.into(),
            Self::Unmark(key) => drop(data.marks.remove(&key.to_string())),
            Self::Destroy
            | Self::LoseAnswer
            | Self::Rotate
            | Self::Save
            | Self::Take
            | Self::Transact => {}
        }
    }

    /// What a transaction does.
    pub(crate) fn transact(data: &mut Board) {
        data.count += data.count;
        data.note += 1;
    }
}

pub(crate) fn programs() -> impl Strategy<Value = Program> {
    let request = || vec(verb(), 0..5);
    let tabs = vec(vec(request(), 1..4), 2..5);
    let setup = proptest::option::weighted(0.8, vec(data_verb(), 1..5));
    let order = vec(0..4_usize, 0..100);
    (setup, any::<bool>(), tabs, order).prop_map(|(setup, is_old, tabs, order)| Program {
        setup,
        is_old,
        tabs,
        order,
    })
}

fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        10 => data_verb(),
        1 => Just(Verb::Destroy),
        2 => Just(Verb::LoseAnswer),
        1 => Just(Verb::Rotate),
        2 => Just(Verb::Save),
        2 => Just(Verb::Take),
        2 => Just(Verb::Transact),
    ]
}

fn data_verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        3 => (-3..9_i8).prop_map(Verb::Add),
        2 => (0..9_u8).prop_map(Verb::Best),
        2 => proptest::option::of(0..3_u8).prop_map(Verb::Identify),
        3 => (0..3_u8, 0..9_u8).prop_map(|(key, value)| Verb::Mark(key, value)),
        2 => (0..9_u8).prop_map(Verb::Note),
        2 => Just(Verb::Put),
        2 => (0..9_u8).prop_map(Verb::Theme),
        2 => (0..3_u8).prop_map(Verb::Unmark),
    ]
}
