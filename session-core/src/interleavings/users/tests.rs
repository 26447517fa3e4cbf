use super::super::explore::{Claim, assert_each_breaks, explore};
use super::super::is_deep;
use super::Doing::{EndAll, Login, Logout, Touch};
use super::{Doing, EXTENDED, SURVIVED, TOO_MANY, UNLISTED, World};
use crate::token::Token;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mutant {
    /// A login that began before an end of all is admitted.
    ComparesNoTime,
    CountsNobody,
    /// The create of a session already says who is logged in.
    CreateSaysWho,
    /// A doomed session is forgotten before it is deleted.
    ForgetsFirst,
    /// A login does not hear of sessions doomed before.
    RemindsNobody,
    TouchAsksNobody,
    /// A session says who is logged in before it is listed.
    WritesBeforeTheIndex,
}

/// What its requests do, how many sessions are allowed, and how many processes may crash.
struct Named(&'static str, &'static [Doing], Option<usize>, u8);

const WORLDS: &[Named] = &[
    Named("login & end of all", &[Login, EndAll], None, 1),
    Named(
        "login, login & end of all",
        &[Login, Login, EndAll],
        None,
        1,
    ),
    Named(
        "login, end of all & end of all",
        &[Login, EndAll, EndAll],
        None,
        2,
    ),
    Named(
        "login, logout & end of all",
        &[Login, Logout(0), EndAll],
        None,
        1,
    ),
    Named(
        "login, touch & end of all",
        &[Login, Touch(0), EndAll],
        None,
        2,
    ),
    Named(
        "three logins, one allowed",
        &[Login, Login, Login],
        Some(1),
        1,
    ),
    Named(
        "four logins, two allowed",
        &[Login, Login, Login, Login],
        Some(2),
        0,
    ),
    Named(
        "two logins, one allowed, & end of all",
        &[Login, Login, EndAll],
        Some(1),
        1,
    ),
];

const LARGER: &[Named] = &[
    Named(
        "four logins, one allowed",
        &[Login, Login, Login, Login],
        Some(1),
        2,
    ),
    Named(
        "three logins, two allowed, & end of all",
        &[Login, Login, Login, EndAll],
        Some(2),
        2,
    ),
    Named(
        "two logins, touch & end of all",
        &[Login, Login, Touch(0), EndAll],
        Some(1),
        2,
    ),
];

fn world(named: &Named, mutant: Option<Mutant>, watched: Option<Claim>) -> World {
    let Named(_, requests, max, crashes) = *named;
    let mut ids: Vec<_> = (0..super::REQUESTS)
        .map(|_| Token::generate().unwrap().id())
        .collect();
    ids.sort_unstable();
    World {
        requests: requests.to_vec(),
        max,
        crashes,
        mutant,
        watched,
        ids,
    }
}

#[test]
fn no_interleaving_breaks_a_claim() {
    let mut states = 0;
    let larger: &[Named] = if is_deep() { LARGER } else { &[] };
    for named in WORLDS.iter().chain(larger) {
        let explored = explore(&world(named, None, None));
        println!("{}: {explored}", named.0);
        assert!(explored.broken.is_none(), "{}: {explored}", named.0);
        states += explored.states;
    }
    println!("users: {states} states, no violation");
}

#[test]
fn each_rule_that_is_left_out_breaks_a_claim() {
    use Mutant::*;
    let rules: &[(Mutant, Claim)] = &[
        (ComparesNoTime, SURVIVED),
        (CountsNobody, TOO_MANY),
        (CreateSaysWho, SURVIVED),
        (ForgetsFirst, UNLISTED),
        (RemindsNobody, TOO_MANY),
        (TouchAsksNobody, EXTENDED),
        (WritesBeforeTheIndex, UNLISTED),
    ];
    assert_each_breaks(rules, |mutant, claim| {
        let without = move |named| world(named, Some(mutant), Some(claim));
        WORLDS.iter().map(move |named| (named.0, without(named)))
    });
}
