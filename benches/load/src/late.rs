use std::fmt::Write as _;
use std::time::Duration;

use crate::faults::{Broken, Round};
use crate::results::Results;
use crate::spread::Spread;

/// Without a fault.
pub(crate) fn lag(results: &Results) -> String {
    let Some(late) = &results.late else {
        return missing();
    };
    let mut table =
        String::from("| of each write | p50 ms | p99 ms | max ms |\n|---|---|---|---|\n");
    for (name, times) in [
        ("B's last read without it, from its answer", &late.missed),
        ("the same, from when it was sent", &late.missed_since_sent),
        ("B's first answer with it, from its answer", &late.shown),
    ] {
        let at = |part| millis(quantile(times, part));
        let _ = writeln!(
            table,
            "| {name} | {:.2} | {:.2} | {:.2} |",
            at(50),
            at(99),
            at(100)
        );
    }
    let _ = writeln!(
        table,
        "\nThese are {} writes. In A itself, 0 of {} reads missed one.",
        late.missed.len(),
        late.own_reads
    );
    table
}

pub(crate) fn faults(results: &Results) -> String {
    let Some(late) = &results.late else {
        return missing();
    };
    let mut table = String::from(
        "| B and Redis | oldest read ms | at worst | refused | fresh again ms | at worst | oldest then |\n|---|---|---|---|---|---|---|\n",
    );
    late.broken
        .iter()
        .for_each(|broken| row(&mut table, broken));
    table
}

fn row(table: &mut String, broken: &Broken) {
    let rounds = broken.rounds.iter();
    let sorted = |of: fn(&Round) -> Duration| {
        let mut times: Vec<Duration> = rounds.clone().map(of).collect();
        times.sort_unstable();
        times
    };
    let median = |times: &[Duration]| Spread::of(times.iter().copied().map(millis)).median;
    let worst = |times: &[Duration]| millis(quantile(times, 100));
    let oldest = sorted(|round| round.oldest);
    let fresh = sorted(|round| round.fresh_after);
    let then = sorted(|round| round.oldest_afterwards);
    let refused = Spread::of(rounds.clone().map(|round| round.refused as f64)).median;
    let _ = writeln!(
        table,
        "| {} | {:.1} | {:.1} | {refused:.0} | {:.1} | {:.1} | {:.1} |",
        broken.fault.name(),
        median(&oldest),
        worst(&oldest),
        median(&fresh),
        worst(&fresh),
        worst(&then),
    );
}

fn missing() -> String {
    "Left out: the server could not be built.".into()
}

/// `times` must be sorted.
fn quantile(times: &[Duration], part: usize) -> Duration {
    let last = times.len().saturating_sub(1);
    times.get(last * part / 100).copied().unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
