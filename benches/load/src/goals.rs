use std::fmt::Write as _;

use crate::MOST;
use crate::load::Figure;
use crate::results::Results;
use crate::server::{BARE, FLEX, HAND_WRITTEN, Kind, OURS, OURS_IN_MEMORY, OURS_NEAR, Route};

use Bound::{AtLeast, AtMost};
use Route::{Bare, Count, Read, Set};

/// Our figure divided by another's.
struct Goal {
    ours: (Kind, Route),
    other: (Kind, Route),
    figure: (&'static str, Figure),
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

const PER_SECOND: (&str, Figure) = ("requests/s", |sample| sample.per_second);
const REDIS_CPU: (&str, Figure) = ("Redis CPU", |sample| sample.redis_cpu);

#[rustfmt::skip] // A table.
const GOALS: [Goal; 13] = [
    goal((OURS, Read), (HAND_WRITTEN, Read), PER_SECOND, AtLeast(0.97)),
    goal((OURS, Read), (FLEX, Read), PER_SECOND, AtLeast(1.2)),
    goal((OURS, Count), (HAND_WRITTEN, Count), PER_SECOND, AtLeast(0.9)),
    goal((OURS, Set), (HAND_WRITTEN, Set), PER_SECOND, AtLeast(0.9)),
    goal((OURS, Count), (FLEX, Count), PER_SECOND, AtLeast(1.1)),
    goal((OURS, Set), (FLEX, Set), PER_SECOND, AtLeast(1.1)),
    goal((OURS, Count), (HAND_WRITTEN, Count), REDIS_CPU, AtMost(2.2)),
    goal((OURS, Set), (HAND_WRITTEN, Set), REDIS_CPU, AtMost(2.2)),
    goal((OURS_IN_MEMORY, Read), (BARE, Bare), PER_SECOND, AtLeast(0.88)),
    goal((OURS_IN_MEMORY, Count), (BARE, Bare), PER_SECOND, AtLeast(0.7)),
    goal((OURS_IN_MEMORY, Set), (BARE, Bare), PER_SECOND, AtLeast(0.7)),
    goal((OURS_NEAR, Read), (BARE, Bare), PER_SECOND, AtLeast(0.85)),
    goal((OURS_NEAR, Read), (OURS, Read), PER_SECOND, AtLeast(1.5)),
];

const fn goal(
    ours: (Kind, Route),
    other: (Kind, Route),
    figure: (&'static str, Figure),
    bound: Bound,
) -> Goal {
    Goal {
        ours,
        other,
        figure,
        bound,
    }
}

impl Bound {
    fn is_met_by(self, ratio: f64) -> bool {
        match self {
            AtLeast(least) => ratio >= least,
            AtMost(most) => ratio <= most,
        }
    }

    fn words(self) -> String {
        match self {
            AtLeast(least) => format!("at least {least}"),
            AtMost(most) => format!("at most {most}"),
        }
    }
}

/// Compares medians.
pub(crate) fn table(results: &Results) -> String {
    let mut table = String::from(
        "| compared | route | figure | goal | measured | met |\n|---|---|---|---|---|---|\n",
    );
    for goal in &GOALS {
        let (figure, of) = goal.figure;
        let ratio = results.ratio(goal.ours, goal.other, MOST, of);
        let (measured, met) = match ratio.median.is_nan() {
            true => ("–".into(), "not measured"),
            false if goal.bound.is_met_by(ratio.median) => (format!("{ratio:.2}"), "yes"),
            false => (format!("{ratio:.2}"), "**no**"),
        };
        let (one, route) = goal.ours;
        let _ = writeln!(
            table,
            "| {} ÷ {} | `{}` | {figure} | {} | {measured} | {met} |",
            one.name,
            goal.other.0.name,
            route.path(),
            goal.bound.words(),
        );
    }
    table
}
