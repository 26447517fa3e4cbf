//! Divides the findings into faults and what a failover explains.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::ledger::{Counts, Fault, Finding, Weather, What};
use super::run::Run;

/// How many KiB an application may grow after it is warm. What the threads of a pool keep for themselves
/// varies.
const GROWTH: u64 = 12 * 1024;

/// How long a process must live for a memory check.
const LONG: Duration = Duration::from_secs(3);

#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) faults: Vec<String>,
    /// What Redis may lose in a failover, by cause.
    pub(crate) lost: BTreeMap<Fault, Lost>,
    pub(crate) failovers: usize,
    pub(crate) counts: Counts,
    /// When warm and at the end, in KiB.
    pub(crate) memory: Vec<(u64, u64)>,
    summary: String,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lost {
    pub(crate) changes: u64,
    pub(crate) sessions: u64,
    pub(crate) logouts: u64,
}

impl Verdict {
    pub(crate) fn of(run: &Run) -> Self {
        let entries = run.ledger.entries();
        let failovers = entries.weather.iter().filter(|weather| weather.replaces);
        let mut verdict = Self {
            counts: entries.counts,
            failovers: failovers.count(),
            summary: run.name(),
            ..Self::default()
        };
        for finding in &entries.findings {
            verdict.judge(run, finding, &entries.weather);
        }
        for samples in entries.memory.values() {
            let Some((warm, last)) = growth(samples) else {
                continue;
            };
            verdict.memory.push((warm, last));
            if last > warm + GROWTH {
                let text = format!("MEMORY: an application grew from {warm} to {last} KiB");
                verdict.faults.push(text);
            }
        }
        if entries.counts.acknowledged < 100 {
            verdict.faults.push("IDLE: hardly anything was done".into());
        }
        verdict
    }

    fn judge(&mut self, run: &Run, finding: &Finding, weather: &[Weather]) {
        let mut failovers = weather.iter().filter(|weather| weather.replaces);
        let explained = failovers.find(|weather| weather.overlaps(finding.since, finding.seen));
        let mut lost = explained.filter(|_| run.may_lose()).map(|weather| {
            let lost = self.lost.entry(weather.fault);
            lost.or_default()
        });
        match (finding.what, &mut lost) {
            (What::Lost(by), Some(lost)) => lost.changes += by,
            (What::LostSession, Some(lost)) => lost.sessions += 1,
            (What::Resurrected, Some(lost)) => lost.logouts += 1,
            (What::Never, _) | (_, None) => {
                let [since, seen] =
                    [finding.since, finding.seen].map(|at| run.at(at).as_secs_f64());
                let text = &finding.text;
                let what = format!("{text} (between {since:.3} s and {seen:.3} s)");
                self.faults.push(what);
            }
        }
    }
}

impl Run {
    /// Whether a replica without an acknowledged change may be promoted.
    pub(crate) fn may_lose(&self) -> bool {
        self.wait_replicas < self.kind.replicas()
    }

    pub(crate) fn name(&self) -> String {
        match self.kind.replicas() {
            0 => self.kind.name().into(),
            _ => format!(
                "{}, wait_replicas = {}",
                self.kind.name(),
                self.wait_replicas
            ),
        }
    }

    pub(crate) fn at(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.began)
    }
}

fn growth(samples: &[(Instant, u64)]) -> Option<(u64, u64)> {
    let (first, last) = (samples.first()?.0, samples.last()?.0);
    if last - first < LONG {
        return None;
    }
    let median = |part: &[(Instant, u64)]| {
        let mut values: Vec<u64> = part.iter().map(|(_, memory)| *memory).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    let count = samples.len();
    Some((
        median(&samples[count / 5..=count * 2 / 5]),
        median(&samples[count * 4 / 5..]),
    ))
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        write!(
            f,
            "{}: {} requests, {} acknowledged, {} refused, {} without an answer; {} logins, {} logouts",
            self.summary,
            counts.requests,
            counts.acknowledged,
            counts.refused,
            counts.cut,
            counts.logins,
            counts.logouts
        )?;
        if self.failovers > 0 {
            write!(f, "; {} failovers", self.failovers)?;
        }
        for (fault, lost) in &self.lost {
            let Lost {
                changes,
                sessions,
                logouts,
            } = lost;
            write!(
                f,
                "; {fault:?} lost {changes} changes, {sessions} sessions and {logouts} logouts"
            )?;
        }
        for fault in self.faults.iter().take(20) {
            write!(f, "\n  {fault}")?;
        }
        match self.faults.len() {
            0 => f.write_str("; nothing found"),
            number => write!(f, "\n  {number} faults"),
        }
    }
}
