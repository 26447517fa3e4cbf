use super::super::explore::{Claim, assert_each_breaks, explore};
use super::super::is_deep;
use super::claims::{ABSENT, DENIED, FORGOT, LOST, STUCK, TWICE};
use super::nodes::Change::{self, End, Import, Migrate, MoveKey, Own, Promote, Stable, Start};
use super::nodes::NodeId::{First, Replica, Second};
use super::{Bounds, Kind, World};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mutant {
    /// Every call is sent after ASKING.
    AsksAlways,
    /// A call that was told to ask is sent without ASKING.
    AsksLikeAnybody,
    AskIsMoved,
    /// An update whose connection was cut is treated as not sent.
    CutIsNotDone,
    FirstMapWins,
    /// A node that waits for the others is believed.
    GivesUpAtOnce,
    LooksNowhereElse,
    MovedIsNotFollowed,
    TrustsWhoIsDown,
    UpdatesAreSentAgain,
    /// An unanswered update is sent to the slot's new owner.
    UpdatesLeave,
}

const TO_AND_FRO: &[Change] = &[
    Import(Second),
    Migrate(First, Second),
    MoveKey(First, Second),
    Own(Second),
    Import(First),
    Migrate(Second, First),
    MoveKey(Second, First),
    Own(First),
];

const THERE: &[Change] = TO_AND_FRO.split_at(4).0;

const GIVEN_UP: &[Change] = &[
    Import(Second),
    Migrate(First, Second),
    Stable(First),
    Stable(Second),
];

const FAILOVER: &[Change] = &[End(First), Promote, Start(First)];

const ADD: Kind = Kind::Add(0);
const TWO: &[Kind] = &[ADD, Kind::Add(1)];
const BOTH: &[Kind] = &[ADD, Kind::Read];

const NOTHING: Bounds = Bounds {
    map: First,
    changes: &[],
    calls: &[],
    cuts: 0,
};

const WORLDS: &[(&str, Bounds)] = &[
    (
        "two updates, a slot moves",
        Bounds {
            changes: THERE,
            calls: TWO,
            ..NOTHING
        },
    ),
    (
        "an update, a read, a slot moves, cuts",
        Bounds {
            changes: THERE,
            calls: BOTH,
            cuts: 2,
            ..NOTHING
        },
    ),
    (
        "an update, a slot moves to and fro",
        Bounds {
            changes: TO_AND_FRO,
            calls: &[ADD],
            cuts: 1,
            ..NOTHING
        },
    ),
    (
        "a read, a slot moves to and fro",
        Bounds {
            changes: TO_AND_FRO,
            calls: &[Kind::Read],
            cuts: 1,
            ..NOTHING
        },
    ),
    (
        "a slot does not move after all",
        Bounds {
            changes: GIVEN_UP,
            calls: BOTH,
            cuts: 1,
            ..NOTHING
        },
    ),
    (
        "a map that was never right",
        Bounds {
            map: Second,
            changes: THERE,
            calls: BOTH,
            ..NOTHING
        },
    ),
    (
        "a map that names a replica",
        Bounds {
            map: Replica,
            changes: GIVEN_UP,
            calls: BOTH,
            ..NOTHING
        },
    ),
    (
        "two updates, a master ends",
        Bounds {
            changes: FAILOVER,
            calls: TWO,
            cuts: 1,
            ..NOTHING
        },
    ),
    (
        "an update, a read, a master ends",
        Bounds {
            changes: FAILOVER,
            calls: BOTH,
            ..NOTHING
        },
    ),
];

const LARGER: &[(&str, Bounds)] = &[(
    "an update, a read, a master ends, cuts",
    Bounds {
        changes: FAILOVER,
        calls: BOTH,
        cuts: 2,
        ..NOTHING
    },
)];

fn world(bounds: &Bounds, mutant: Option<Mutant>, watched: Option<Claim>) -> World {
    World {
        bounds: bounds.clone(),
        mutant,
        watched,
    }
}

#[test]
fn no_interleaving_breaks_a_claim() {
    let mut states = 0;
    let larger = if is_deep() { LARGER } else { &[] };
    for (name, bounds) in WORLDS.iter().chain(larger) {
        let explored = explore(&world(bounds, None, None));
        println!("{name}: {explored}");
        assert!(explored.broken.is_none(), "{name}: {explored}");
        states += explored.states;
    }
    println!("routes: {states} states, no violation");
}

#[test]
fn each_rule_that_is_left_out_breaks_a_claim() {
    use Mutant::*;
    let rules: &[(Mutant, Claim)] = &[
        (AsksAlways, ABSENT),
        (AsksLikeAnybody, STUCK),
        (AskIsMoved, STUCK),
        (CutIsNotDone, DENIED),
        (CutIsNotDone, TWICE),
        (FirstMapWins, FORGOT),
        (GivesUpAtOnce, STUCK),
        (LooksNowhereElse, STUCK),
        (MovedIsNotFollowed, STUCK),
        (TrustsWhoIsDown, STUCK),
        (UpdatesAreSentAgain, TWICE),
        (UpdatesLeave, TWICE),
        (AsksAlways, LOST),
    ];
    assert_each_breaks(rules, |mutant, claim| {
        let without = move |bounds: &Bounds| world(bounds, Some(mutant), Some(claim));
        WORLDS
            .iter()
            .map(move |(name, bounds)| (*name, without(bounds)))
    });
}
