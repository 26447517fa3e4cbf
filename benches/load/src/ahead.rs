//! What other servers do better on Redis, computed so that no run can leave it out.

use std::fmt::Write as _;

use crate::MOST;
use crate::load::Figure;
use crate::results::Results;
use crate::server::{HAND_WRITTEN, Kind, OURS, OURS_NEAR, Route};

/// Smaller differences are noise.
const NOTABLE: f64 = 1.05;

const FIGURES: [(&str, Figure, Better); 3] = [
    ("requests/s", |sample| sample.per_second, Better::Higher),
    ("server CPU", |sample| sample.server_cpu, Better::Lower),
    ("Redis CPU", |sample| sample.redis_cpu, Better::Lower),
];

#[derive(Clone, Copy)]
enum Better {
    Higher,
    Lower,
}

pub(crate) fn table(results: &Results) -> String {
    let peers = results.kinds.iter().copied();
    let peers =
        peers.filter(|kind| kind.has_redis && ![OURS, OURS_NEAR, HAND_WRITTEN].contains(kind));
    let peers: Vec<Kind> = peers.collect();
    let mut table = String::from("| |");
    for peer in &peers {
        let _ = write!(table, " {} |", peer.name);
    }
    let _ = writeln!(table, "\n|---|{}", "---|".repeat(peers.len()));
    for route in [Route::Read, Route::Count, Route::Set] {
        for (name, figure, better) in FIGURES {
            let of = |peer| {
                let ratio = results.ratio((peer, route), (OURS, route), MOST, figure);
                shown(ratio.median, better)
            };
            row(
                &mut table,
                &format!("`{}`, {name}", route.path()),
                &peers,
                of,
            );
        }
    }
    let memory = |peer| {
        shown(
            redis_memory(results, peer) / redis_memory(results, OURS),
            Better::Lower,
        )
    };
    row(&mut table, "memory of a session in Redis", &peers, memory);
    table
}

fn row(table: &mut String, name: &str, peers: &[Kind], cell: impl Fn(Kind) -> String) {
    let _ = write!(table, "| {name} |");
    for peer in peers {
        let _ = write!(table, " {} |", cell(*peer));
    }
    table.push('\n');
}

fn shown(ratio: f64, better: Better) -> String {
    let is_better = match better {
        Better::Higher => ratio > NOTABLE,
        Better::Lower => ratio * NOTABLE < 1.0,
    };
    if is_better {
        format!("{ratio:.2}")
    } else {
        "–".into()
    }
}

fn redis_memory(results: &Results, kind: Kind) -> f64 {
    let memory = results.memories.iter().find(|memory| memory.kind == kind);
    memory.map_or(f64::NAN, |memory| memory.redis)
}
