use std::fmt::Write as _;
use std::time::Duration;

use super::app::TIMEOUT;
use super::check::Verdict;
use super::figures::{Figures, Spread, figures, middle_and_most, millis};
use super::ledger::{Counts, Fault};
use super::options::Options;
use super::run::Run;
use super::topology::Kind;
use super::world::SLACK;

pub(crate) fn write(runs: &[(Run, Verdict)], options: &Options) -> String {
    let mut text = include_str!("report.md").to_owned();
    let seconds = options
        .seconds
        .map_or("a few".into(), |all| all.to_string());
    for (name, value) in [
        ("{seconds}", seconds),
        ("{timeout}", TIMEOUT.as_secs().to_string()),
        ("{slack}", millis(SLACK)),
        (
            "{profile}",
            if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            }
            .into(),
        ),
        ("{cores}", cores().to_string()),
        ("{counts}", counts(runs)),
        ("{losses}", losses(runs)),
        ("{ends}", ends(runs)),
        ("{deadlines}", deadlines(runs)),
        ("{memory}", memory(runs)),
        ("{faults}", faults(runs)),
        ("{outages}", by_run(runs, outages)),
        ("{latencies}", by_run(runs, latencies)),
    ] {
        text = text.replace(name, value.trim_end());
    }
    text
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn counts(runs: &[(Run, Verdict)]) -> String {
    let mut text = String::from(
        "| run | seconds | requests | acknowledged | refused (503) | conflicts (409) | closed without an answer | logins | logouts | ended tokens tried |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (run, verdict) in runs {
        let counts = verdict.counts;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            run.name(),
            run.took.as_secs(),
            counts.requests,
            counts.acknowledged,
            counts.refused,
            counts.conflicts,
            counts.cut,
            counts.logins,
            counts.logouts,
            counts.probes
        );
    }
    text
}

fn ends(runs: &[(Run, Verdict)]) -> String {
    let sum = |number: fn(&Counts) -> u64| {
        let all = runs.iter().map(|(_, verdict)| number(&verdict.counts));
        all.sum::<u64>()
    };
    let (finished, hasty) = (
        sum(|counts| counts.finished),
        sum(|counts| counts.hasty_ends),
    );
    format!(
        "{finished} requests were in their handlers at a SIGTERM; all of them are accounted for above. \
         Rocket itself did not wait for its requests {hasty} times, see below."
    )
}

fn losses(runs: &[(Run, Verdict)]) -> String {
    let mut text = String::from(
        "| run | failovers | lost when planned | when frozen | when killed | old answers meanwhile |\n\
         |---|---|---|---|---|---|\n",
    );
    for (run, verdict) in runs {
        let lost = [Fault::Planned, Fault::Freeze, Fault::Kill].map(|fault| {
            let lost = verdict.lost.get(&fault).copied().unwrap_or_default();
            let (changes, sessions, logouts) = (lost.changes, lost.sessions, lost.logouts);
            format!("{changes} / {sessions} / {logouts}")
        });
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            run.name(),
            verdict.failovers,
            lost.join(" | "),
            verdict.counts.old
        );
    }
    text
}

fn deadlines(runs: &[(Run, Verdict)]) -> String {
    let names = ["read", "count", "buy", "login", "logout"];
    let mut text = format!(
        "| run | {} |\n|---|---|---|---|---|---|\n",
        names.join(" | ")
    );
    for (run, _) in runs {
        let entries = run.ledger.entries();
        let slowest = names.map(|name| {
            let slowest = entries.slowest.get(name);
            slowest.copied().map_or("-".into(), millis)
        });
        let _ = writeln!(text, "| {} | {} |", run.name(), slowest.join(" | "));
    }
    text
}

fn memory(runs: &[(Run, Verdict)]) -> String {
    let mut text = String::from("| run | each process, warm → at its end, in MiB |\n|---|---|\n");
    for (run, verdict) in runs {
        let mib = |kib: u64| format!("{:.1}", kib as f64 / 1024.0);
        let all = verdict.memory.iter();
        let all = all.map(|(warm, last)| format!("{} → {}", mib(*warm), mib(*last)));
        let all = all.collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "| {} | {all} |", run.name());
    }
    text
}

fn faults(runs: &[(Run, Verdict)]) -> String {
    let mut text = String::new();
    for (run, verdict) in runs {
        for fault in &verdict.faults {
            let _ = writeln!(text, "- {}: {fault}", run.name());
        }
    }
    match text.is_empty() {
        true => "Nothing that must not be was found.".into(),
        false => text,
    }
}

fn by_run(runs: &[(Run, Verdict)], rows: impl Fn(&Run, &Figures) -> String) -> String {
    let mut text = String::new();
    for (run, _) in runs {
        for one in figures(&run.ledger.entries()) {
            let row = rows(run, &one);
            let _ = writeln!(text, "| {} | {} | {row} |", run.name(), name(one.fault));
        }
    }
    text
}

fn outages(_: &Run, one: &Figures) -> String {
    let share = |(asked, refused): (usize, usize)| match asked {
        0 => "-".into(),
        _ => format!("{refused} of {asked}"),
    };
    format!(
        "{} | {} | {} | {} | {} | {}",
        one.length.len(),
        middle_and_most(&one.first),
        middle_and_most(&one.silence),
        middle_and_most(&one.length),
        share(one.hit),
        share(one.others)
    )
}

fn latencies(run: &Run, one: &Figures) -> String {
    let others = one.others.0 > 0 && run.kind == Kind::Cluster;
    let which = if others { "of other masters" } else { "all" };
    let spread = |durations: &[Duration]| match Spread::of(durations) {
        Some(spread) => spread.to_string(),
        None => "-".into(),
    };
    let (before, during) = (spread(&one.before), spread(&one.during));
    format!("{which} | {before} | {during}")
}

fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::None => "nothing",
        Fault::Rolling => "rolling restart",
        Fault::Cut => "connections cut",
        Fault::Planned => "planned failover",
        Fault::Freeze => "frozen",
        Fault::Kill => "killed",
    }
}
