//! What fails between a process and Redis: how long the process reads copies then, and how soon it
//! reads what is stored afterwards.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::http::Client;
use crate::lag::{Pair, check, watch};
use crate::watch::{Read, Seen};

/// Reads before a fault, so that there is a copy.
const BEFORE: Duration = Duration::from_millis(100);
/// Writes while there is a fault and afterwards, so that whatever is missed shows.
const PAUSE: Duration = Duration::from_millis(20);
const AFTERWARDS: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Frozen,
    Cut,
    Refused,
    Stopped,
}

/// The rounds of a fault.
#[derive(Clone)]
pub(crate) struct Broken {
    pub(crate) fault: Fault,
    pub(crate) rounds: Vec<Round>,
}

#[derive(Clone, Copy)]
pub(crate) struct Round {
    /// How old the oldest read was.
    pub(crate) oldest: Duration,
    /// How many reads were refused.
    pub(crate) refused: usize,
    /// How long after the end of the fault a read showed what was written when it began.
    pub(crate) fresh_after: Duration,
    /// How old the oldest read was after that.
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

    /// Longer than copies may count. Where Redis just says nothing, requests wait for it from then on,
    /// and this is longer than they do: they are refused, and the connection is replaced.
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

/// B has a copy; the fault begins; A writes. The fault ends, and B reads what A wrote.
async fn round(pair: &Pair, fault: Fault) -> io::Result<Round> {
    let cookie = pair.a.log_in(1).await?.remove(0);
    let writer = Client::connect(pair.a.port, &cookie).await?;
    let mut watch = watch(&pair.b, &cookie).await?;
    sleep(BEFORE).await;
    fault.begin(pair)?;
    let begin = Instant::now();
    watch.write(writer, PAUSE);
    let length = fault.length();
    // A sleep of no time takes some.
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

/// When the first read was answered that showed the write of the fault's beginning. While Redis stands
/// still, there is no such write, and every answer after that is its own.
fn fresh_at(seen: &Seen, fault: Fault, end: Instant) -> Option<Instant> {
    let views = match fault {
        Fault::Stopped => 0,
        _ => seen.writes.first()?.views,
    };
    let is_fresh = |read: &&Read| read.answered >= end && read.views >= views;
    let fresh = seen.reads.iter().find(is_fresh);
    fresh.map(|read| read.answered)
}

/// How long after Redis stood still the last copy was read: nothing else can be, until it goes on.
fn last_copy(seen: &Seen, begin: Instant, end: Instant) -> Duration {
    let copies = seen.reads.iter().filter(|read| read.answered < end);
    let ages = copies.map(|read| read.sent.saturating_duration_since(begin));
    ages.max().unwrap_or_default()
}
