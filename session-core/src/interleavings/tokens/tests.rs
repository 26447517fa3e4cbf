use std::cell::RefCell;

use super::super::explore::{Claim, assert_each_breaks, explore};
use super::super::is_deep;
use super::super::real::{Doing, Real, User};
use super::World;
use super::claims::{BLOCKED, KICKED_OUT, NOT_ENDED, NOT_LOGGED_IN, OLDER_OPENS, OVERWRITTEN};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mutant {
    EndNamesNoLogin,
    GoneBeginsAnother,
    GoneLoginIsDropped,
    /// A login with a cookie that opens nothing leaves the other session of its login alone.
    LoginEndsNothing,
    /// A login renews only the verifier.
    LoginKeepsItsHalf,
    LoginKeepsTheToken,
    LogoutNeedsBothHalves,
    /// An end that met another login counts as done.
    OtherIsDone,
    /// A logout with a cookie from just before a login counts as done.
    OldLoginIsNotRefused,
    /// A cookie of an older login ends the session.
    OldLoginMayEnd,
    /// A logout with a cookie whose verifier was replaced is refused.
    RotatedLogoutIsRefused,
    /// A request with a just replaced cookie begins another session.
    RotatedTokenStores,
    /// A login with a cookie that opens nothing is dropped.
    StaleLoginIsDropped,
}

/// Known limits, which the worlds grant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Limit {
    /// The response of a request may overwrite the cookie of a parallel login, if that request had no cookie,
    /// an ended session's, or one that was replaced long ago.
    NothingToGoBy,
    /// So may the response of a request that changed the cookie itself, before the login did.
    RotationUnderWay,
    /// If somebody else logged in on an anonymous session, its browser cannot log out of it for a moment. It
    /// can log in.
    StrangersLogin,
}

const WRITE: Doing = Doing {
    adds: false,
    writes: true,
    logs_in: None,
    leaves: false,
    rotates: false,
    logs_out: false,
};
const ROTATE: Doing = Doing {
    rotates: true,
    ..WRITE
};
const LOGOUT: Doing = Doing {
    logs_out: true,
    ..WRITE
};
const LOGIN: Doing = Doing {
    logs_in: Some(User::Alice),
    ..WRITE
};

/// What the browser does, whose session its first cookie opens, and how many requests the thief sends.
struct Named(&'static str, &'static [Doing], Option<User>, usize);

const WORLDS: &[Named] = &[
    Named(
        "login, a thief has the anonymous cookie",
        &[LOGIN],
        Some(User::Nobody),
        2,
    ),
    Named(
        "login, the cookie is the thief's own",
        &[LOGIN],
        Some(User::Thief),
        2,
    ),
    Named(
        "login again, a thief has the cookie",
        &[LOGIN],
        Some(User::Alice),
        2,
    ),
    Named(
        "logout, a thief has the cookie",
        &[LOGOUT],
        Some(User::Alice),
        2,
    ),
    Named(
        "login & logout, a thief has the cookie",
        &[LOGIN, LOGOUT],
        Some(User::Nobody),
        1,
    ),
    Named(
        "rotate & logout, a thief has the cookie",
        &[ROTATE, LOGOUT],
        Some(User::Alice),
        1,
    ),
    Named(
        "login & write & write",
        &[LOGIN, WRITE, WRITE],
        Some(User::Nobody),
        0,
    ),
    Named(
        "login & rotate & write",
        &[LOGIN, ROTATE, WRITE],
        Some(User::Nobody),
        0,
    ),
    Named(
        "login & login & write",
        &[LOGIN, LOGIN, WRITE],
        Some(User::Nobody),
        0,
    ),
    Named(
        "login & write without a cookie",
        &[LOGIN, WRITE, WRITE],
        None,
        0,
    ),
    Named(
        "login & write, a thief has the cookie",
        &[LOGIN, WRITE],
        Some(User::Nobody),
        1,
    ),
];

const LARGER: &[Named] = &[
    Named(
        "login & logout, a busy thief",
        &[LOGIN, LOGOUT],
        Some(User::Nobody),
        2,
    ),
    Named(
        "login & write, a busy thief",
        &[LOGIN, WRITE],
        Some(User::Nobody),
        2,
    ),
    Named(
        "login & write & rotate, a thief",
        &[LOGIN, WRITE, ROTATE],
        Some(User::Nobody),
        1,
    ),
    Named(
        "login & logout & write, a thief",
        &[LOGIN, LOGOUT, WRITE],
        Some(User::Alice),
        1,
    ),
];

fn world(named: &Named) -> World {
    let Named(_, browser, session_of, thief) = named;
    World {
        real: Real::new(),
        browser: browser.to_vec(),
        thief: *thief,
        session_of: *session_of,
        ticks: 2,
        mutant: None,
        held: None,
        watched: None,
        plans: RefCell::default(),
        updates: RefCell::default(),
    }
}

#[test]
fn no_interleaving_breaks_a_claim() {
    let mut states = 0;
    let larger: &[Named] = if is_deep() { LARGER } else { &[] };
    for named in WORLDS.iter().chain(larger) {
        let explored = explore(&world(named));
        println!("{}: {explored}", named.0);
        assert!(explored.broken.is_none(), "{}: {explored}", named.0);
        states += explored.states;
    }
    println!("tokens: {states} states, no violation");
}

#[test]
fn each_rule_that_is_left_out_breaks_a_claim() {
    use Mutant::*;
    let rules: &[(Mutant, Claim)] = &[
        (EndNamesNoLogin, KICKED_OUT),
        (GoneBeginsAnother, OVERWRITTEN),
        (GoneLoginIsDropped, NOT_LOGGED_IN),
        (LoginEndsNothing, OLDER_OPENS),
        (LoginKeepsItsHalf, KICKED_OUT),
        (LoginKeepsTheToken, OLDER_OPENS),
        (LogoutNeedsBothHalves, NOT_ENDED),
        (OldLoginIsNotRefused, NOT_ENDED),
        (OldLoginMayEnd, KICKED_OUT),
        (OtherIsDone, NOT_ENDED),
        (RotatedLogoutIsRefused, BLOCKED),
        (RotatedTokenStores, OVERWRITTEN),
        (StaleLoginIsDropped, NOT_LOGGED_IN),
    ];
    assert_each_breaks(rules, |mutant, claim| {
        let without = move |named| World {
            mutant: Some(mutant),
            watched: Some(claim),
            ..world(named)
        };
        WORLDS.iter().map(move |named| (named.0, without(named)))
    });
}

#[test]
fn each_limit_is_one() {
    use Limit::*;
    let limits: &[(Limit, Claim)] = &[
        (NothingToGoBy, OVERWRITTEN),
        (RotationUnderWay, OVERWRITTEN),
        (StrangersLogin, BLOCKED),
    ];
    assert_each_breaks(limits, |limit, claim| {
        let without = move |named| World {
            held: Some(limit),
            watched: Some(claim),
            ..world(named)
        };
        WORLDS.iter().map(move |named| (named.0, without(named)))
    });
}
