use super::{Bounds, SET_BY};

pub(super) struct Named(pub(super) &'static str, pub(super) Bounds);

const NOTHING: Bounds = Bounds {
    within: 2,
    whole: 0,
    part: 0,
    absent: 0,
    own: 0,
    others: 0,
    empties: 0,
    links: 0,
    closes: 0,
    ticks: 0,
    sleeps: 0,
    set_back: 0,
    set_ahead: 0,
};

pub(super) const WORLDS: &[Named] = &[
    Named(
        "two loads, a write elsewhere",
        Bounds {
            whole: 2,
            others: 1,
            ticks: 3,
            ..NOTHING
        },
    ),
    Named(
        "two loads, one of a part, a write elsewhere",
        Bounds {
            whole: 1,
            part: 1,
            others: 1,
            ticks: 2,
            ..NOTHING
        },
    ),
    Named(
        "a load beside another, the database is emptied",
        Bounds {
            whole: 1,
            absent: 1,
            empties: 1,
            ticks: 2,
            ..NOTHING
        },
    ),
    Named(
        "a load, a write elsewhere, sleep",
        Bounds {
            whole: 1,
            others: 1,
            ticks: 2,
            sleeps: 2,
            ..NOTHING
        },
    ),
    Named(
        "a load, a write elsewhere, the clock is set",
        Bounds {
            whole: 1,
            others: 1,
            ticks: 4,
            set_back: 1,
            set_ahead: 1,
            ..NOTHING
        },
    ),
    Named(
        "a load, a write elsewhere, the clock is lost in sleep",
        Bounds {
            whole: 1,
            others: 1,
            ticks: 2,
            sleeps: 2,
            set_back: 1,
            ..NOTHING
        },
    ),
    Named(
        "a load, an own write",
        Bounds {
            whole: 1,
            own: 1,
            ticks: 3,
            ..NOTHING
        },
    ),
    Named(
        "a load, an own write, a write elsewhere",
        Bounds {
            whole: 1,
            own: 1,
            others: 1,
            ticks: 2,
            ..NOTHING
        },
    ),
    Named(
        "a load, an own write, another link",
        Bounds {
            whole: 1,
            own: 1,
            links: 1,
            ticks: 2,
            ..NOTHING
        },
    ),
    Named(
        "a load beside another, a write elsewhere, another link",
        Bounds {
            whole: 1,
            absent: 1,
            others: 1,
            links: 1,
            ticks: 2,
            ..NOTHING
        },
    ),
    Named(
        "two loads, a write elsewhere, a link is closed",
        Bounds {
            whole: 2,
            others: 1,
            links: 1,
            closes: 1,
            ticks: 2,
            ..NOTHING
        },
    ),
    Named(
        "a load beside another, two writes elsewhere",
        Bounds {
            whole: 1,
            absent: 1,
            others: 2,
            ticks: 3,
            ..NOTHING
        },
    ),
    Named(
        "a load beside another, an own write",
        Bounds {
            whole: 1,
            absent: 1,
            own: 1,
            ticks: 2,
            ..NOTHING
        },
    ),
];

pub(super) const LARGER: &[Named] = &[
    Named(
        "two loads, an own write, another link",
        Bounds {
            whole: 2,
            own: 1,
            links: 1,
            ticks: 2,
            ..NOTHING
        },
    ),
    Named(
        "two loads, a write elsewhere, two other links",
        Bounds {
            whole: 1,
            absent: 1,
            others: 1,
            links: 2,
            closes: 1,
            ticks: 3,
            ..NOTHING
        },
    ),
    Named(
        "a load, two own writes, another link",
        Bounds {
            whole: 1,
            own: 2,
            links: 1,
            ticks: 2,
            ..NOTHING
        },
    ),
    Named(
        "a load, an own write, a write elsewhere, another link",
        Bounds {
            whole: 1,
            own: 1,
            others: 1,
            links: 1,
            closes: 1,
            ticks: 3,
            ..NOTHING
        },
    ),
    Named(
        "three loads, two writes elsewhere",
        Bounds {
            within: 3,
            whole: 2,
            absent: 1,
            others: 2,
            ticks: 3,
            ..NOTHING
        },
    ),
    Named(
        "a load, an own write, another link, longer copies",
        Bounds {
            within: 3,
            whole: 1,
            own: 1,
            links: 1,
            ticks: 5,
            ..NOTHING
        },
    ),
    Named(
        "a load beside another, a write elsewhere, another link, sleep",
        Bounds {
            whole: 1,
            absent: 1,
            others: 1,
            links: 1,
            ticks: 2,
            sleeps: 2,
            ..NOTHING
        },
    ),
    Named(
        "two loads, an own write, a write elsewhere",
        Bounds {
            whole: 1,
            absent: 1,
            own: 1,
            others: 1,
            ticks: 2,
            ..NOTHING
        },
    ),
    Named(
        "a load beside another, an own write, another link, shorter copies",
        Bounds {
            within: 1,
            whole: 1,
            absent: 1,
            own: 1,
            links: 1,
            ticks: 2,
            ..NOTHING
        },
    ),
    Named(
        "a load, an own write, another link, sleep",
        Bounds {
            whole: 1,
            own: 1,
            links: 1,
            ticks: 3,
            sleeps: 2,
            ..NOTHING
        },
    ),
    Named(
        "a load, an own write, another link, the database is emptied",
        Bounds {
            whole: 1,
            own: 1,
            empties: 1,
            links: 1,
            closes: 1,
            ticks: 2,
            ..NOTHING
        },
    ),
];

pub(super) const HIDDEN_SLEEP: Bounds = Bounds {
    whole: 1,
    others: 1,
    sleeps: SET_BY,
    set_back: 1,
    ..NOTHING
};
