//! What other servers do better than this library on Redis: found in the figures, so that no run
//! can leave it out.

use crate::MOST;
use crate::load::Figure;
use crate::results::Results;
use crate::server::{HAND_WRITTEN, Kind, OURS, Route};
use crate::tables::total_cpu;

/// Smaller differences than this are noise.
const NOTABLE: f64 = 1.05;

/// A list in Markdown.
pub(crate) fn list(results: &Results) -> String {
    let peers = results.kinds.iter().copied();
    let peers = peers.filter(|kind| kind.has_redis && ![OURS, HAND_WRITTEN].contains(kind));
    let mut lines: Vec<String> = peers.filter_map(|peer| line(results, peer)).collect();
    if lines.is_empty() {
        lines.push("- Nothing in these tables, in this run.".into());
    }
    lines.join("\n")
}

fn line(results: &Results, peer: Kind) -> Option<String> {
    let mut better = Vec::new();
    for route in [Route::Read, Route::Count, Route::Set] {
        let median = |kind, of: Figure| results.spread(kind, route, MOST, of).median;
        let times = median(peer, |s| s.per_second) / median(OURS, |s| s.per_second);
        if times > NOTABLE {
            better.push(format!(
                "{times:.2} times the requests/s of `{}`",
                route.path()
            ));
        }
        let of: [(&str, Figure); 3] = [
            ("server", |sample| sample.server_cpu),
            ("Redis", |sample| sample.redis_cpu),
            ("server and Redis together", total_cpu),
        ];
        for (whose, of) in of {
            let times = median(peer, of) / median(OURS, of);
            if times * NOTABLE < 1.0 {
                better.push(format!(
                    "{times:.2} of the CPU of `{}` in {whose}",
                    route.path()
                ));
            }
        }
    }
    let memory = |kind| {
        let memory = results.memories.iter().find(|memory| memory.kind == kind);
        memory.map_or(f64::NAN, |memory| memory.redis)
    };
    let times = memory(peer) / memory(OURS);
    if times * NOTABLE < 1.0 {
        better.push(format!("{times:.2} of the memory of a session in Redis"));
    }
    (!better.is_empty()).then(|| format!("- {}: {}.", peer.name, better.join("; ")))
}
