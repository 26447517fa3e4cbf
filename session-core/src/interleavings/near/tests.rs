//! The worlds, what each rule is good for, and what is known not to hold.

use std::cell::Cell;

use super::super::explore::{Claim, Explored, assert_each_breaks, explore};
use super::super::is_deep;
use super::cache::Cache;
use super::claims::{DEAF, MISSING, OWN, STALE, TORN};
use super::worlds::{HIDDEN_SLEEP, LARGER, Named, WORLDS};
use super::{Bounds, World};

/// A rule that is left out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mutant {
    /// A copy that is just as old as it may be counts.
    AgeMayBeAllThatIsAllowed,
    /// The server tells what changes over a connection of its own.
    ChangesComeAnotherWay,
    ChangesAreIgnored,
    ClosedLinkForgetsNothing,
    ConnectForgetsNothing,
    /// What was forgotten by then is noted when the answer comes, not when the load is sent.
    CountIsReadWithTheAnswer,
    /// An answer is kept even if something was forgotten since its load was sent.
    CountsAreNotCompared,
    /// An answer counts even if it came over an earlier link.
    GenerationsAreNotCompared,
    LostAnswerForgetsNothing,
    /// After a lost answer, a load is kept even if the write may still be done.
    LostAnswerOnlyForgets,
    /// Only the wall clock counts.
    MonotonicIsNotLookedAt,
    /// What names no keys forgets no copies.
    NoKeysMeanNothing,
    /// A write may be done in the very tick in which its caller hears.
    NotAfterIsTheDeadline,
    /// The server does not tell a connection of its own writes.
    OwnWritesAreNotTold,
    OwnWriteForgetsLate,
    /// An own write forgets the copy when it is sent, not when it is answered.
    OwnWriteForgetsAtOnce,
    PartPassesForTheWhole,
    /// The next link is prepared while the current one is in use.
    ReplacesTheCurrentLink,
    /// A clock that shows an earlier time than before still tells how old a copy is.
    SetBackIsNotNoticed,
    SuspendsForGood,
    /// After a lost answer, loads are kept again from the write's own deadline.
    SuspendsFromTheSending,
    SuspendsTooShortly,
    TicketAfterTheLink,
    TicketAfterTheSending,
    /// An answer vouches for the time at which it came.
    VouchesFromTheAnswer,
    /// Only the monotonic clock counts.
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

/// Two rules do more than the claims need. If nobody hears that a link is closed, no answer over it vouches
/// for the copies any more, so they soon count for nothing. And a write ends by its own deadline, even if
/// it was given up just before.
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

/// If the wall clock is set back by as long as the machine slept, nobody can tell that it slept.
#[test]
fn a_clock_may_hide_a_sleep() {
    let explored = explore(&world(HIDDEN_SLEEP, None, None));
    assert_eq!(explored.broken.map(|(claim, _)| claim), Some(STALE));
}
