use std::cell::RefCell;

use super::super::explore::{Claim, assert_each_breaks, explore};
use super::super::is_deep;
use super::super::real::{Doing, Real, User};
use super::claims::{
    AFTER_THE_END, LATE, LEAKED, LOST, NOT_ENDED, NOT_LOGGED_IN, OTHERS_ENDED, RESURRECTED, STALE,
    TWICE,
};
use super::{Planned, World};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mutant {
    /// A request whose update is unknown begins another record.
    BeginsAnotherInDoubt,
    CreatesUnderTheSameId,
    DeletesHaveNoBound,
    DeletesNameNoLogin,
    /// A request whose commit is unknown is answered at once.
    DoesNotWait,
    EndInDoubtIsDone,
    GoneIsDone,
    /// A login whose session is gone counts as done.
    GoneLoginIsDropped,
    LateIsDone,
    NoDigestIsCompared,
    /// A message may be done in the millisecond in which its request may be answered.
    NotAfterIsTheDeadline,
    /// An end that was sent and then refused counts as refused.
    OnlyTheLastAttemptCounts,
    OnlyLoginIsCompared,
    OnlyVerifierIsCompared,
    /// An end that met another login counts as done.
    OtherIsDone,
    SendsUpdatesAgain,
    SwitchCreatesFirst,
    /// A change of user ends the session with a delete, whose answer does not tell who ended it.
    SwitchDeletes,
    SwitchKeepsTheRecord,
    UpdatesHaveNoBound,
}

const ADD: Doing = Doing {
    adds: true,
    writes: false,
    logs_in: None,
    leaves: false,
    rotates: false,
    logs_out: false,
};
const WRITE: Doing = Doing {
    writes: true,
    ..ADD
};
const ROTATE: Doing = Doing {
    rotates: true,
    ..ADD
};
const LOGOUT: Doing = Doing {
    adds: false,
    logs_out: true,
    ..ADD
};
const LEAVE: Doing = Doing {
    leaves: true,
    ..ADD
};
const ALICE: Doing = Doing {
    logs_in: Some(User::Alice),
    ..WRITE
};
const BOB: Doing = Doing {
    logs_in: Some(User::Bob),
    ..WRITE
};

struct Named(&'static str, Option<User>, &'static [Doing], Kind);

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Connections break, processes crash.
    Broken,
    /// Also, a request's first estimate of the store's clock is a tick behind.
    Early,
    /// The store is rolled back. The last request comes from another browser.
    RolledBack,
    All,
}
use Kind::{All, Broken, Early, RolledBack};

const WORLDS: &[Named] = &[
    Named("+1 & +1", Some(User::Alice), &[ADD, ADD], Broken),
    Named(
        "write & logout",
        Some(User::Alice),
        &[WRITE, LOGOUT],
        Broken,
    ),
    Named(
        "logout & login of another",
        Some(User::Alice),
        &[LOGOUT, BOB],
        Broken,
    ),
    Named(
        "rotate & write",
        Some(User::Alice),
        &[ROTATE, WRITE],
        Broken,
    ),
    Named(
        "switch of user & write",
        Some(User::Alice),
        &[BOB, WRITE],
        Broken,
    ),
    Named("leave & write", Some(User::Alice), &[LEAVE, WRITE], Broken),
    Named(
        "leave & logout",
        Some(User::Alice),
        &[LEAVE, LOGOUT],
        Broken,
    ),
    Named(
        "switch of user & rotate",
        Some(User::Alice),
        &[BOB, ROTATE],
        Broken,
    ),
    Named(
        "login & write of nobody",
        Some(User::Nobody),
        &[ALICE, WRITE],
        Broken,
    ),
    Named("login & login", Some(User::Nobody), &[ALICE, BOB], Broken),
    Named(
        "login again & logout",
        Some(User::Alice),
        &[ALICE, LOGOUT],
        Broken,
    ),
    Named("begin & logout", None, &[WRITE, LOGOUT], Broken),
    Named(
        "+1 & logout, too early",
        Some(User::Alice),
        &[ADD, LOGOUT],
        Early,
    ),
    Named(
        "write & login",
        Some(User::Nobody),
        &[WRITE, BOB],
        RolledBack,
    ),
    Named(
        "login, write & login",
        Some(User::Nobody),
        &[ALICE, WRITE, BOB],
        RolledBack,
    ),
];

const LARGER: &[Named] = &[
    Named(
        "+1, +1 & logout",
        Some(User::Alice),
        &[ADD, ADD, LOGOUT],
        Broken,
    ),
    Named(
        "login, write & logout",
        Some(User::Nobody),
        &[ALICE, WRITE, LOGOUT],
        Broken,
    ),
    Named(
        "login, write & login",
        Some(User::Nobody),
        &[ALICE, WRITE, BOB],
        All,
    ),
    Named(
        "login, logout & login",
        Some(User::Nobody),
        &[ALICE, LOGOUT, BOB],
        RolledBack,
    ),
];

fn world(named: &Named, mutant: Option<Mutant>, watched: Option<Claim>) -> World {
    let Named(_, session_of, doings, kind) = named;
    let rolls_back = matches!(kind, RolledBack | All);
    let requests = doings.iter().enumerate().map(|(index, doing)| Planned {
        doing: *doing,
        is_elsewhere: rolls_back && index + 1 == doings.len(),
    });
    World {
        real: Real::new(),
        requests: requests.collect(),
        session_of: *session_of,
        ticks: if *kind == RolledBack { 0 } else { 2 },
        lag: u8::from(*kind == Early),
        crashes: *kind != RolledBack,
        rolls_back,
        mutant,
        watched,
        done: RefCell::default(),
        plans: RefCell::default(),
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
    println!("commits: {states} states, no violation");
}

#[test]
fn each_rule_that_is_left_out_breaks_a_claim() {
    use Mutant::*;
    let rules: &[(Mutant, Claim)] = &[
        (BeginsAnotherInDoubt, TWICE),
        (CreatesUnderTheSameId, RESURRECTED),
        (DeletesHaveNoBound, LATE),
        (DeletesNameNoLogin, OTHERS_ENDED),
        (DoesNotWait, LATE),
        (EndInDoubtIsDone, NOT_ENDED),
        (GoneIsDone, LOST),
        (GoneLoginIsDropped, NOT_LOGGED_IN),
        (LateIsDone, LOST),
        (NoDigestIsCompared, LEAKED),
        (NoDigestIsCompared, STALE),
        (NotAfterIsTheDeadline, LATE),
        (OnlyLoginIsCompared, STALE),
        (OnlyTheLastAttemptCounts, LATE),
        (OtherIsDone, NOT_ENDED),
        (SendsUpdatesAgain, TWICE),
        (SwitchCreatesFirst, NOT_ENDED),
        (SwitchDeletes, AFTER_THE_END),
        (SwitchKeepsTheRecord, LEAKED),
        (UpdatesHaveNoBound, LATE),
    ];
    assert_each_breaks(rules, |mutant, claim| {
        let without = move |named| world(named, Some(mutant), Some(claim));
        WORLDS.iter().map(move |named| (named.0, without(named)))
    });
}

/// A login renews both halves, so the verifier alone would suffice.
#[test]
fn a_verifier_says_all_to_an_update() {
    for named in WORLDS.iter().filter(|named| named.3 == Broken) {
        let explored = explore(&world(named, Some(Mutant::OnlyVerifierIsCompared), None));
        assert!(explored.broken.is_none(), "{}: {explored}", named.0);
    }
}
