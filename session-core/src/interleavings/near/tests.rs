use std::cell::Cell;

use super::super::explore::{Claim, Explored, assert_each_breaks, explore};
use super::super::is_deep;
use super::cache::Cache;
use super::claims::{DEAF, MISSING, OWN, STALE, TORN};
use super::worlds::{HIDDEN_SLEEP, LARGER, Named, WORLDS};
use super::{Bounds, World};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mutant {
    AgeMayBeAllThatIsAllowed,
    /// The server announces changes over a separate connection.
    ChangesComeAnotherWay,
    ChangesAreIgnored,
    ClosedLinkForgetsNothing,
    ConnectForgetsNothing,
    /// The count of forgotten copies is read when the answer comes.
    CountIsReadWithTheAnswer,
    /// An answer is kept even if something was forgotten since its load was sent.
    CountsAreNotCompared,
    /// An answer counts even if it came over an earlier link.
    GenerationsAreNotCompared,
    LostAnswerForgetsNothing,
    /// After a lost answer, a load is kept even if the write may still happen.
    LostAnswerOnlyForgets,
    MonotonicIsNotLookedAt,
    /// An invalidation without keys forgets no copies.
    NoKeysMeanNothing,
    /// A write may happen in the tick in which its caller hears.
    NotAfterIsTheDeadline,
    /// The server does not announce a connection's own writes to it.
    OwnWritesAreNotTold,
    OwnWriteForgetsLate,
    /// An own write forgets the copy when it is sent, not when it is answered.
    OwnWriteForgetsAtOnce,
    PartPassesForTheWhole,
    /// The next link is prepared while the current one is in use.
    ReplacesTheCurrentLink,
    SetBackIsNotNoticed,
    SuspendsForGood,
    /// After a lost answer, loads are kept again from the write's own deadline.
    SuspendsFromTheSending,
    SuspendsTooShortly,
    TicketAfterTheLink,
    TicketAfterTheSending,
    /// An answer vouches for the time at which it came.
    VouchesFromTheAnswer,
    WallIsNotLookedAt,
    /// An own write is kept as its request knows it.
    WritesThrough,
}

fn world(bounds: Bounds, mutant: Option<Mutant>, watched: Option<Claim>) -> World {
    World {
        cache: Cache::new(),
        bounds,
        mutant,
        watched,
        hits: Cell::new(0),
    }
}

fn worlds() -> impl Iterator<Item = &'static Named> {
    let larger: &[Named] = if is_deep() { LARGER } else { &[] };
    WORLDS.iter().chain(larger)
}

#[test]
fn no_interleaving_breaks_a_claim() {
    let mut states = 0;
    for named in worlds() {
        let world = world(named.1, None, None);
        let explored = explore(&world);
        println!("{}: {explored}", named.0);
        assert!(explored.broken.is_none(), "{}: {explored}", named.0);
        assert!(world.hits.get() > 0, "{}: no copy ever counts", named.0);
        states += explored.states;
    }
    println!("near: {states} states, no violation");
}

#[test]
fn each_rule_that_is_left_out_breaks_a_claim() {
    use Mutant::*;
    let rules: &[(Mutant, Claim)] = &[
        (AgeMayBeAllThatIsAllowed, STALE),
        (ChangesAreIgnored, STALE),
        (ChangesComeAnotherWay, STALE),
        (ConnectForgetsNothing, STALE),
        (CountIsReadWithTheAnswer, OWN),
        (CountsAreNotCompared, OWN),
        (CountsAreNotCompared, STALE),
        (GenerationsAreNotCompared, STALE),
        (LostAnswerForgetsNothing, OWN),
        (LostAnswerOnlyForgets, OWN),
        (MonotonicIsNotLookedAt, STALE),
        (NoKeysMeanNothing, STALE),
        (NotAfterIsTheDeadline, OWN),
        (OwnWriteForgetsAtOnce, OWN),
        (OwnWriteForgetsLate, OWN),
        (OwnWritesAreNotTold, STALE),
        (PartPassesForTheWhole, MISSING),
        (ReplacesTheCurrentLink, STALE),
        (SetBackIsNotNoticed, STALE),
        (SuspendsForGood, DEAF),
        (SuspendsTooShortly, OWN),
        (TicketAfterTheLink, STALE),
        (TicketAfterTheSending, STALE),
        (VouchesFromTheAnswer, STALE),
        (WallIsNotLookedAt, STALE),
        (WritesThrough, STALE),
        (WritesThrough, TORN),
    ];
    assert_each_breaks(rules, |mutant, claim| {
        let without = move |named: &Named| world(named.1, Some(mutant), Some(claim));
        WORLDS.iter().map(move |named| (named.0, without(named)))
    });
}

/// These rules do more than the claims need. If nobody hears that a link is closed, no answer over it vouches
/// for the copies, so they soon expire. And a write ends by its own deadline, even if its caller gave up just
/// before.
#[test]
fn two_rules_are_generous() {
    for named in worlds() {
        let mutants = [
            (Mutant::ClosedLinkForgetsNothing, named.1.closes),
            (Mutant::SuspendsFromTheSending, named.1.own),
        ];
        for (mutant, _) in mutants.into_iter().filter(|(_, count)| *count > 0) {
            let Explored { broken, .. } = explore(&world(named.1, Some(mutant), None));
            assert!(broken.is_none(), "{mutant:?}: {}: {broken:?}", named.0);
        }
    }
}

/// If the wall clock is set back by as long as the machine slept, the sleep is undetectable.
#[test]
fn a_clock_may_hide_a_sleep() {
    let explored = explore(&world(HIDDEN_SLEEP, None, None));
    assert_eq!(explored.broken.map(|(claim, _)| claim), Some(STALE));
}
