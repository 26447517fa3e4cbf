//! Faults between a process and Redis: how long the process reads copies, and how soon it is up to date
//! again.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::http::Client;
use crate::lag::{Pair, check, watch};
use crate::watch::{Read, Seen};

/// Time to get a copy before a fault.
const BEFORE: Duration = Duration::from_millis(100);
/// The pause between two writes, and how long to write after a fault, so that missed writes show.
const PAUSE: Duration = Duration::from_millis(20);
const AFTERWARDS: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Frozen,
    Cut,
    Refused,
    Stopped,
}

#[derive(Clone)]
pub(crate) struct Broken {
    pub(crate) fault: Fault,
    pub(crate) rounds: Vec<Round>,
}

#[derive(Clone, Copy)]
pub(crate) struct Round {
    pub(crate) oldest: Duration,
    pub(crate) refused: usize,
    /// From the end of the fault to the first read with the fault's first write.
    pub(crate) fresh_after: Duration,
    /// The age of the oldest read after that.
    pub(crate) oldest_afterwards: Duration,
}

impl Fault {
    const ALL: [Self; 4] = [Self::Frozen, Self::Cut, Self::Refused, Self::Stopped];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Frozen => "the link is frozen",
            Self::Cut => "the connection is cut",
            Self::Refused => "cut, and connections are refused",
            Self::Stopped => "Redis stands still",
        }
    }

    /// Longer than copies may count. A frozen Redis must stay silent for longer than requests wait, until
    /// they are refused and the connection is replaced.
    fn length(self) -> Duration {
        match self {
            Self::Cut => Duration::ZERO,
            Self::Refused => Duration::from_millis(1100),
            Self::Frozen | Self::Stopped => Duration::from_millis(3200),
        }
    }

    fn begin(self, pair: &Pair) -> io::Result<()> {
        match self {
            Self::Frozen => pair.link.freeze(),
            Self::Cut => pair.link.cut(),
            Self::Refused => pair.link.refuse(),
            Self::Stopped => pair.redis.process.pause()?,
        }
        Ok(())
    }

    fn end(self, pair: &Pair) -> io::Result<()> {
        match self {
            Self::Frozen => pair.link.thaw(),
            Self::Cut => {}
            Self::Refused => pair.link.welcome()?,
            Self::Stopped => pair.redis.process.resume()?,
        }
        Ok(())
    }
}

pub(crate) async fn all(pair: &Pair, rounds: usize) -> Result<Vec<Broken>, Box<dyn Error>> {
    let mut all = Vec::new();
    for fault in Fault::ALL {
        let mut broken = Broken {
            fault,
            rounds: Vec::new(),
        };
        for _ in 0..rounds {
            let round = round(pair, fault).await?;
            check(fault.name(), round.oldest.max(round.oldest_afterwards))?;
            broken.rounds.push(round);
        }
        all.push(broken);
    }
    Ok(all)
}

/// B has a copy when the fault begins. A writes. The fault ends, and B must read what A wrote.
async fn round(pair: &Pair, fault: Fault) -> io::Result<Round> {
    let cookie = pair.a.log_in(1).await?.remove(0);
    let writer = Client::connect(pair.a.port, &cookie).await?;
    let mut watch = watch(&pair.b, &cookie).await?;
    sleep(BEFORE).await;
    fault.begin(pair)?;
    let begin = Instant::now();
    watch.write(writer, PAUSE);
    let length = fault.length();
    // Even a sleep of zero takes time.
    if !length.is_zero() {
        sleep(length).await;
    }
    let end = Instant::now();
    fault.end(pair)?;
    let fresh = |seen: &Seen| fresh_at(seen, fault, end);
    watch.until(|seen| fresh(seen).is_some()).await?;
    sleep(AFTERWARDS).await;
    let seen = watch.until(|_| true).await?;
    let fresh_at = fresh(&seen).unwrap_or(end);
    Ok(Round {
        oldest: match fault {
            Fault::Stopped => last_copy(&seen, begin, end),
            _ => seen.oldest(|read| read.sent < fresh_at),
        },
        refused: seen.refused,
        fresh_after: fresh_at - end,
        oldest_afterwards: seen.oldest(|read| read.sent >= fresh_at),
    })
}

/// The answer to the first read with the fault's first write. A stopped Redis gets no such write; any later
/// answer is fresh.
fn fresh_at(seen: &Seen, fault: Fault, end: Instant) -> Option<Instant> {
    let views = match fault {
        Fault::Stopped => 0,
        _ => seen.writes.first()?.views,
    };
    let is_fresh = |read: &&Read| read.answered >= end && read.views >= views;
    let fresh = seen.reads.iter().find(is_fresh);
    fresh.map(|read| read.answered)
}

/// How long B read copies. Until Redis resumes, every answer is a copy.
fn last_copy(seen: &Seen, begin: Instant, end: Instant) -> Duration {
    let copies = seen.reads.iter().filter(|read| read.answered < end);
    let ages = copies.map(|read| read.sent.saturating_duration_since(begin));
    ages.max().unwrap_or_default()
}
