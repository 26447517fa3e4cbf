use std::fmt;
use std::time::{Duration, Instant};

use super::ledger::{Entries, Fault, Sample, Weather};

/// All faults of one kind.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) fault: Fault,
    /// For each fault, the time to the first 200 of a key that it hit.
    pub(crate) first: Vec<Duration>,
    /// For each fault, the longest time without a 200 for its keys.
    pub(crate) silence: Vec<Duration>,
    /// For each fault, the time until all servers settled.
    pub(crate) length: Vec<Duration>,
    /// Requests for the hit keys, and how many failed.
    pub(crate) hit: (usize, usize),
    pub(crate) others: (usize, usize),
    /// Latencies of keys that were not hit (of all, if all were), before and during the fault.
    pub(crate) before: Vec<Duration>,
    pub(crate) during: Vec<Duration>,
}

pub(crate) fn figures(entries: &Entries) -> Vec<Figures> {
    let mut all: Vec<Figures> = Vec::new();
    for (number, weather) in entries.weather.iter().enumerate() {
        let Some(hit_at) = weather.hit else {
            continue;
        };
        let position = all.iter().position(|one| one.fault == weather.fault);
        let position = position.unwrap_or_else(|| {
            all.push(Figures::new(weather.fault));
            all.len() - 1
        });
        let calm = number.checked_sub(1).map(|before| &entries.weather[before]);
        all[position].add(weather, hit_at, calm, &entries.samples);
    }
    all.sort_by_key(|one| one.fault);
    all
}

impl Figures {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            first: Vec::new(),
            silence: Vec::new(),
            length: Vec::new(),
            hit: (0, 0),
            others: (0, 0),
            before: Vec::new(),
            during: Vec::new(),
        }
    }

    fn add(
        &mut self,
        weather: &Weather,
        hit_at: Instant,
        calm: Option<&Weather>,
        samples: &[Sample],
    ) {
        let until = weather.until.unwrap_or(hit_at);
        self.length.push(until - hit_at);
        let is_hit = |sample: &&Sample| weather.shard.is_none_or(|shard| sample.shard == shard);
        let is_measured = |sample: &&Sample| weather.shard.is_none() || !is_hit(sample);
        let during = samples.iter();
        let during: Vec<_> = during
            .filter(|sample| (hit_at..=until).contains(&sample.sent))
            .collect();
        for sample in &during {
            let (asked, refused) = match is_hit(sample) {
                true => &mut self.hit,
                false => &mut self.others,
            };
            *asked += 1;
            *refused += usize::from(!sample.is_done);
        }
        let latencies = during.into_iter().filter(is_measured);
        self.during.extend(latencies.map(|sample| sample.took));
        if let Some(calm) = calm.filter(|calm| calm.fault == Fault::None) {
            let before = samples.iter().filter(|sample| calm.has(sample.sent));
            let before = before.filter(is_measured);
            self.before.extend(before.map(|sample| sample.took));
        }
        let done = samples.iter().filter(is_hit);
        let done = done.filter(|sample| sample.is_done && sample.sent >= hit_at);
        let mut done: Vec<_> = done.map(|sample| sample.sent + sample.took).collect();
        done.sort_unstable();
        let Some(first) = done.first() else {
            return;
        };
        self.first.push(*first - hit_at);
        let (mut last, mut silence) = (hit_at, Duration::ZERO);
        for at in done {
            silence = silence.max(at - last);
            last = at;
            if at > until {
                break;
            }
        }
        self.silence.push(silence);
    }
}

/// The median, the 99th percentile and the maximum.
#[derive(Debug)]
pub(crate) struct Spread([Duration; 3]);

impl Spread {
    pub(crate) fn of(durations: &[Duration]) -> Option<Self> {
        let mut sorted = durations.to_vec();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        Some(Self([
            sorted[last / 2],
            sorted[last * 99 / 100],
            sorted[last],
        ]))
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, most, largest] = self.0.map(millis);
        write!(f, "{median} / {most} / {largest}")
    }
}

pub(crate) fn millis(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1000.0;
    match millis {
        0.0..10.0 => format!("{millis:.1}"),
        _ => format!("{millis:.0}"),
    }
}

pub(crate) fn middle_and_most(durations: &[Duration]) -> String {
    match Spread::of(durations) {
        Some(Spread([median, _, largest])) => format!("{} / {}", millis(median), millis(largest)),
        None => "-".into(),
    }
}
