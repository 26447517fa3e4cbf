use std::fmt::Write as _;

use crate::MOST;
use crate::growth::{self, Axis, Growth};
use crate::load::Figure;
use crate::results::{Results, commands};
use crate::server::{BARE, HAND_WRITTEN, Kind, OURS, OURS_IN_MEMORY, OURS_NEAR, Route};
use crate::spread::Spread;
use crate::truth::{COUNTED, LOGOUTS};

pub(crate) fn route(results: &Results, route: Route, connections: usize) -> String {
    let mut table = String::from(
        "| server | requests/s | p50 ms | p99 ms | server CPU µs | Redis CPU µs |\n|---|---|---|---|---|---|\n",
    );
    for kind in rows(results, route) {
        let of = |of| results.spread(kind, route, connections, of);
        let redis = dash(of(|sample| sample.redis_cpu));
        let _ = writeln!(
            table,
            "| {} | {:.0} | {:.2} | {:.2} | {} | {redis} |",
            kind.name,
            of(|sample| sample.per_second),
            of(|sample| sample.p50.as_secs_f64() * 1e3),
            of(|sample| sample.p99.as_secs_f64() * 1e3),
            of(|sample| sample.server_cpu),
        );
    }
    table
}

pub(crate) fn traffic(results: &Results) -> String {
    let mut table = String::from("| server | route | commands | bytes |\n|---|---|---|---|\n");
    for (kind, route) in cells(results).filter(|(kind, _)| kind.has_redis) {
        let samples = results.samples(kind, route, MOST);
        let bytes = samples
            .iter()
            .map(|s| s.traffic.bytes as f64 / s.requests as f64);
        let bytes = Spread::of(bytes).median;
        let commands = samples.last().map(commands).unwrap_or_default();
        if route != Route::Bare {
            let _ = writeln!(
                table,
                "| {} | `{}` | {commands} | {bytes:.0} |",
                kind.name,
                route.path(),
            );
        }
    }
    table
}

/// What sessions cost beyond the framework.
pub(crate) fn added(results: &Results) -> String {
    let mut table = String::from("| server | read | count | set |\n|---|---|---|---|\n");
    let kinds = results.kinds.iter().filter(|kind| kind.has_sessions);
    for kind in kinds.filter(|kind| !results.samples(**kind, Route::Bare, MOST).is_empty()) {
        let of = |route| results.added(*kind, route, MOST);
        let [read, count, set] = [Route::Read, Route::Count, Route::Set].map(of);
        let _ = writeln!(table, "| {} | {read} | {count} | {set} |", kind.name);
    }
    table
}

const ALL_OF_A_SESSION: &[Route] = &[Route::Read, Route::Count, Route::Set];

/// What to divide, on which routes. A near cache is for reads.
const COMPARED: [(Kind, Kind, &[Route]); 5] = [
    (OURS, HAND_WRITTEN, ALL_OF_A_SESSION),
    (OURS, BARE, ALL_OF_A_SESSION),
    (OURS_IN_MEMORY, BARE, ALL_OF_A_SESSION),
    (OURS_NEAR, BARE, &[Route::Read]),
    (OURS_NEAR, OURS, &[Route::Read]),
];

/// Ours divided by what it cannot beat.
pub(crate) fn ratios(results: &Results) -> String {
    let mut table = String::from(
        "| compared | route | requests/s | server CPU | lowest | Redis CPU | lowest | instructions |\n|---|---|---|---|---|---|---|---|\n",
    );
    let compared = COMPARED.into_iter();
    for (one, other, routes) in compared.filter(|(one, ..)| results.kinds.contains(one)) {
        for mimalloc in [false, true] {
            let with = |kind: Kind| if mimalloc { kind.with_mimalloc() } else { kind };
            for &route in routes {
                let of = if other.has_sessions {
                    route
                } else {
                    Route::Bare
                };
                let name = format!("{} ÷ {}", one.name, other.name);
                let name = if mimalloc {
                    format!("{name}, mimalloc")
                } else {
                    name
                };
                let row = ratio(results, (with(one), route), (with(other), of));
                let _ = writeln!(table, "| {name} | `{}` | {row} |", route.path());
            }
        }
    }
    table
}

fn ratio(results: &Results, one: (Kind, Route), other: (Kind, Route)) -> String {
    let medians = |of| results.ratio(one, other, MOST, of);
    let lowest = |of| {
        let low = |(kind, route)| results.spread(kind, route, MOST, of).low;
        low(one) / low(other)
    };
    let redis: Figure = |sample| sample.redis_cpu;
    let redis = match other.0.has_redis {
        true => format!("{:.2} | {:.2}", medians(redis), lowest(redis)),
        false => "– | –".into(),
    };
    let instructions = |(kind, route)| {
        let cost = results
            .costs
            .iter()
            .find(|cost| cost.kind == kind && cost.route == route);
        cost.and_then(|cost| cost.instructions)
    };
    let instructions = instructions(one).zip(instructions(other));
    let instructions = instructions.map(|(one, other)| format!("{:.2}", one / other));
    format!(
        "{:.2} | {:.2} | {:.2} | {redis} | {}",
        medians(|sample| sample.per_second),
        medians(|sample| sample.server_cpu),
        lowest(|sample| sample.server_cpu),
        instructions.as_deref().unwrap_or("–"),
    )
}

pub(crate) fn mimalloc(results: &Results) -> String {
    let mut table = String::from(
        "| server | route | requests/s | server CPU µs | requests/s without |\n|---|---|---|---|---|\n",
    );
    for (kind, route) in cells(results).filter(|(kind, _)| kind.is_rust) {
        let with = |of| results.spread(kind.with_mimalloc(), route, MOST, of);
        let without = results.spread(kind, route, MOST, |sample| sample.per_second);
        let _ = writeln!(
            table,
            "| {} | `{}` | {:.0} | {} | {without:.0} |",
            kind.name,
            route.path(),
            with(|sample| sample.per_second),
            with(|sample| sample.server_cpu),
        );
    }
    table
}

pub(crate) fn truths(results: &Results) -> String {
    let mut table = format!(
        "| server | lost of {COUNTED} | logouts undone of {LOGOUTS} | `/count` requests/s |\n|---|---|---|---|\n"
    );
    for truth in &results.truths {
        let speed = results.spread(truth.kind, Route::Count, MOST, |sample| sample.per_second);
        let _ = writeln!(
            table,
            "| {} | {} | {} | {speed:.0} |",
            truth.kind.name, truth.lost, truth.revived,
        );
    }
    table
}

pub(crate) fn memory(results: &Results) -> String {
    let mut table = String::from("| library | in the server | in Redis |\n|---|---|---|\n");
    for memory in &results.memories {
        let redis = if memory.kind.has_redis {
            format!("{:.0}", memory.redis)
        } else {
            "–".into()
        };
        let _ = writeln!(
            table,
            "| {} | {:.0} | {redis} |",
            memory.kind.name, memory.server
        );
    }
    table
}

pub(crate) fn costs(results: &Results) -> String {
    let mut table =
        String::from("| server | route | instructions | allocations |\n|---|---|---|---|\n");
    for cost in &results.costs {
        let instructions = cost
            .instructions
            .map(|count| format!("{:.1} k", count / 1e3));
        let _ = writeln!(
            table,
            "| {} | `{}` | {} | {:.1} |",
            cost.kind.name,
            cost.route.path(),
            instructions.as_deref().unwrap_or("–"),
            cost.allocations,
        );
    }
    table
}

pub(crate) fn growth(growth: &Growth, axis: Axis) -> String {
    let mut table = format!(
        "| server | route | {} | requests/s | server CPU µs | Redis CPU µs | CPU × |\n|---|---|---|---|---|---|---|\n",
        axis.name()
    );
    for (kind, route) in growth::lines() {
        let cpu = |amount| growth.cpu((axis, kind, route, amount));
        let amounts = axis.amounts(kind);
        let least = cpu(amounts[0]);
        for &amount in amounts {
            let cell = (axis, kind, route, amount);
            let Some(times) = cpu(amount).zip(least).map(|(cpu, least)| cpu / least) else {
                continue;
            };
            let of = |of| growth.spread(cell, of);
            let _ = writeln!(
                table,
                "| {} | `{}` | {amount} | {:.0} | {} | {} | {times:.2} |",
                kind.name,
                route.path(),
                of(|sample| sample.per_second),
                of(|sample| sample.server_cpu),
                dash(of(|sample| sample.redis_cpu)),
            );
        }
    }
    table
}

/// A dash means no figure.
fn dash(spread: Spread) -> String {
    match spread.is_zero() {
        true => "–".into(),
        false => spread.to_string(),
    }
}

pub(crate) fn rows(results: &Results, route: Route) -> impl Iterator<Item = Kind> {
    let kinds = results.kinds.iter().copied();
    kinds.filter(move |kind| route.is_of(*kind))
}

fn cells(results: &Results) -> impl Iterator<Item = (Kind, Route)> {
    let of = |kind: &Kind| {
        let kind = *kind;
        let routes = Route::ALL
            .into_iter()
            .filter(move |route| route.is_of(kind));
        routes.map(move |route| (kind, route))
    };
    results.kinds.iter().flat_map(of)
}
