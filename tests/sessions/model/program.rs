//! What the requests of a random program do.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::board::Board;
use crate::support::lossy::Fate;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Verb {
    Add(i8),
    Best(u8),
    Destroy,
    /// Assigns to the identity.
    Identify(Option<u8>),
    LogIn(u8),
    Mark(u8, u8),
    Note(u8),
    /// Sets the `once` field.
    Put,
    Reload,
    Rotate,
    Save,
    Take,
    Theme(u8),
    /// Doubles the counter and counts the note up, in a transaction.
    Transact,
    Unmark(u8),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    /// An older token, as of a slow tab or a thief.
    pub(crate) old_token: Option<usize>,
    /// Whether more than a rotation's grace passes before.
    pub(crate) is_later: bool,
    /// What happens to its writes.
    pub(crate) fates: Vec<Fate>,
    pub(crate) verbs: Vec<Verb>,
}

/// Browser tabs that share a jar; each sends its requests in order.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) setup: Script,
    /// Whether a touch is due after the setup.
    pub(crate) is_old: bool,
    pub(crate) tabs: Vec<Vec<Script>>,
    /// The order of the tabs' steps. The number after the last tab does a delayed call.
    pub(crate) order: Vec<usize>,
}

impl Verb {
    /// The verb's effect on the data, if it has no other. `unique` differs each time.
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
            | Self::LogIn(_)
            | Self::Reload
            | Self::Rotate
            | Self::Save
            | Self::Take
            | Self::Transact => {}
        }
    }

    pub(crate) fn transact(data: &mut Board) {
        data.count += data.count;
        data.note += 1;
    }
}

/// `lossy`: answers get lost, and calls come late.
pub(crate) fn programs(lossy: bool) -> impl Strategy<Value = Program> {
    let fates = move || match lossy {
        // Some calls get lost, or all of them.
        true => prop_oneof![
            8 => vec(fate(), 0..4),
            1 => vec(fate().prop_filter("lost", |fate| *fate != Fate::Answered), 4),
        ]
        .boxed(),
        false => Just(Vec::new()).boxed(),
    };
    let script = move || {
        (
            proptest::option::weighted(0.15, 0..8_usize),
            proptest::bool::weighted(0.15),
            fates(),
            vec(verb(), 0..5),
        )
            .prop_map(|(old_token, is_later, fates, verbs)| Script {
                old_token,
                is_later,
                fates,
                verbs,
            })
    };
    let tabs = vec(vec(script(), 1..4), 2..5);
    let setup = vec(data_verb(), 0..5).prop_map(|verbs| Script {
        verbs,
        ..Script::default()
    });
    let order = vec(0..5_usize, 0..100);
    (setup, any::<bool>(), tabs, order).prop_map(|(setup, is_old, tabs, order)| Program {
        setup,
        is_old,
        tabs,
        order,
    })
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        12 => Just(Fate::Answered),
        1 => Just(Fate::Delayed(Duration::ZERO)),
        1 => Just(Fate::Dropped),
        1 => Just(Fate::Unheard),
    ]
}

fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        20 => data_verb(),
        2 => Just(Verb::Destroy),
        4 => (0..3_u8).prop_map(Verb::LogIn),
        2 => Just(Verb::Reload),
        2 => Just(Verb::Rotate),
        4 => Just(Verb::Save),
        4 => Just(Verb::Take),
        4 => Just(Verb::Transact),
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
