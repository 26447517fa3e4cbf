//! How late one process with a near cache sees what another one stored.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::faults::{self, Broken};
use crate::http::Client;
use crate::proxy::Proxy;
use crate::redis::Redis;
use crate::server::{OURS_NEAR, Route, Server};
use crate::watch::{Seen, Watch, Write};

/// `near` of both processes, as in [`OURS_NEAR`]: no copy may be older.
pub(crate) const NEAR: Duration = Duration::from_secs(1);
pub(crate) const READERS: usize = 4;
const WRITES_A_ROUND: usize = 200;
const READS_A_ROUND: usize = 2_000;
/// Between two writes, so most reads find a copy.
const PAUSE: Duration = Duration::from_millis(2);

#[derive(Clone)]
pub(crate) struct Late {
    /// From a write's answer until B sent its last read without the write.
    pub(crate) missed: Vec<Duration>,
    /// The same, from when the write was sent.
    pub(crate) missed_since_sent: Vec<Duration>,
    /// From a write's answer until B first answered with it.
    pub(crate) shown: Vec<Duration>,
    /// A's reads while it wrote. None was old.
    pub(crate) own_reads: usize,
    pub(crate) broken: Vec<Broken>,
}

/// Two processes of one application. B's link to Redis can fail.
pub(crate) struct Pair {
    pub(crate) a: Server,
    pub(crate) b: Server,
    pub(crate) link: Proxy,
    pub(crate) redis: Redis,
}

/// A read that is too old is an error: it invalidates all figures.
pub(crate) async fn measure(programs: &Path, rounds: usize) -> Result<Late, Box<dyn Error>> {
    eprintln!("two processes: how late one sees what the other stored");
    let pair = Pair::start(programs).await?;
    let _load = pair.load().await?;
    let own_reads = own(&pair, rounds * READS_A_ROUND).await?;
    let seen = lag(&pair, rounds * WRITES_A_ROUND).await?;
    check("without a fault", seen.oldest(|_| true))?;
    let broken = faults::all(&pair, rounds).await?;
    Ok(Late {
        missed: of_writes(&seen, |write| (seen.last_without(write), write.answered)),
        missed_since_sent: of_writes(&seen, |write| (seen.last_without(write), write.sent)),
        shown: of_writes(&seen, |write| (seen.first_with(write), write.answered)),
        own_reads,
        broken,
    })
}

/// The sorted times between two events of each write.
fn of_writes(seen: &Seen, ends: impl Fn(&Write) -> (Option<Instant>, Instant)) -> Vec<Duration> {
    let each = seen.writes.iter().map(|write| {
        let (end, begin) = ends(write);
        end.map_or(Duration::ZERO, |end| end.saturating_duration_since(begin))
    });
    let mut each: Vec<Duration> = each.collect();
    each.sort_unstable();
    each
}

pub(crate) fn check(when: &str, oldest: Duration) -> Result<(), Box<dyn Error>> {
    if oldest < NEAR {
        return Ok(());
    }
    Err(format!("NEAR IS BROKEN: {when}, a read was {oldest:?} old; {NEAR:?} is allowed").into())
}

/// A writes and reads.
async fn own(pair: &Pair, reads: usize) -> Result<usize, Box<dyn Error>> {
    let cookie = pair.a.log_in(1).await?.remove(0);
    let mut watch = watch(&pair.a, &cookie).await?;
    watch.write(Client::connect(pair.a.port, &cookie).await?, Duration::ZERO);
    let seen = watch.until(|seen| seen.reads.len() >= reads).await?;
    let reads = seen.reads.len();
    let missed = seen.reads.iter().filter(|read| !seen.age(read).is_zero());
    let missed = missed.count();
    // A write also begins with a read.
    let grow = |pair: &[Write]| pair[0].views < pair[1].views;
    if missed == 0 && seen.writes.windows(2).all(grow) {
        return Ok(reads);
    }
    Err(
        format!("NEAR IS BROKEN: a process missed its own writes in {missed} of {reads} reads")
            .into(),
    )
}

async fn lag(pair: &Pair, writes: usize) -> io::Result<Seen> {
    let cookie = pair.a.log_in(1).await?.remove(0);
    let mut watch = watch(&pair.b, &cookie).await?;
    watch.write(Client::connect(pair.a.port, &cookie).await?, PAUSE);
    // Until the last write is shown, too.
    let is_shown = |seen: &Seen| Some(seen.reads.last()?.views >= seen.writes.last()?.views);
    let is_enough = |seen: &Seen| seen.writes.len() >= writes && is_shown(seen) == Some(true);
    watch.until(is_enough).await
}

pub(crate) async fn watch(server: &Server, cookie: &str) -> io::Result<Watch> {
    let mut watch = Watch::default();
    for _ in 0..READERS {
        watch.read(Client::connect(server.port, cookie).await?);
    }
    Ok(watch)
}

impl Pair {
    async fn start(programs: &Path) -> io::Result<Self> {
        let redis = Redis::start()?;
        let link = Proxy::to(redis.port)?;
        Ok(Self {
            a: start(programs, redis.url()).await?,
            b: start(programs, link.url()).await?,
            link,
            redis,
        })
    }

    /// Other visitors of both processes. Answers from Redis keep renewing all copies, so a fault finds young
    /// ones.
    async fn load(&self) -> io::Result<JoinSet<()>> {
        let mut load = JoinSet::new();
        for server in [&self.a, &self.b] {
            for route in [Route::Read, Route::Read, Route::Read, Route::Count] {
                let cookie = server.log_in(1).await?.remove(0);
                let mut client = Client::connect(server.port, &cookie).await?;
                load.spawn(async move { while client.get(route.path()).await.is_ok() {} });
            }
        }
        Ok(load)
    }
}

async fn start(programs: &Path, redis: String) -> io::Result<Server> {
    Server::start_on(Some(redis), OURS_NEAR, programs, &[], &[]).await
}
