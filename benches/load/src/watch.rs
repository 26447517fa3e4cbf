//! A session that one connection writes and others read: which reads were outdated, and how long.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::http::Client;
use crate::server::Route;
use crate::truth::views_in;

/// The connections. They end with this value.
#[derive(Default)]
pub(crate) struct Watch {
    seen: Arc<Mutex<Seen>>,
    tasks: JoinSet<io::Error>,
}

/// In the order of the answers.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    pub(crate) writes: Vec<Write>,
    pub(crate) reads: Vec<Read>,
    /// Reads with another status than 200.
    pub(crate) refused: usize,
}

/// An answered write. Views only grow, so a read with fewer views is older.
#[derive(Clone, Copy)]
pub(crate) struct Write {
    pub(crate) views: u64,
    pub(crate) sent: Instant,
    pub(crate) answered: Instant,
}

#[derive(Clone, Copy)]
pub(crate) struct Read {
    pub(crate) views: u64,
    pub(crate) sent: Instant,
    pub(crate) answered: Instant,
}

impl Watch {
    pub(crate) fn write(&mut self, mut client: Client, pause: Duration) {
        let seen = Arc::clone(&self.seen);
        self.tasks.spawn(async move {
            loop {
                let sent = Instant::now();
                match client.get(Route::Count.path()).await {
                    Ok(answer) if answer.status == 200 => {
                        let answered = Instant::now();
                        let Ok(views) = answer.body.parse() else {
                            return io::Error::other(format!("no views in {}", answer.body));
                        };
                        lock(&seen).writes.push(Write {
                            views,
                            sent,
                            answered,
                        });
                    }
                    // The outcome is unknown, so no read must show it.
                    Ok(_) => {}
                    Err(error) => return error,
                }
                if !pause.is_zero() {
                    sleep(pause).await;
                }
            }
        });
    }

    pub(crate) fn read(&mut self, mut client: Client) {
        let seen = Arc::clone(&self.seen);
        self.tasks.spawn(async move {
            loop {
                let sent = Instant::now();
                match client.get(Route::Read.path()).await {
                    Ok(answer) if answer.status == 200 => {
                        let answered = Instant::now();
                        let Some(views) = views_in(answer.body) else {
                            return io::Error::other(format!("no views in {}", answer.body));
                        };
                        lock(&seen).reads.push(Read {
                            views,
                            sent,
                            answered,
                        });
                    }
                    Ok(_) => lock(&seen).refused += 1,
                    Err(error) => return error,
                }
            }
        });
    }

    /// Waits until `such` is true of what was seen.
    pub(crate) async fn until(&mut self, such: impl Fn(&Seen) -> bool) -> io::Result<Seen> {
        const PATIENCE: Duration = Duration::from_secs(20);
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(ended) = self.tasks.try_join_next() {
                return Err(ended.unwrap_or_else(io::Error::other));
            }
            {
                let seen = lock(&self.seen);
                if such(&seen) {
                    return Ok(seen.clone());
                }
            }
            sleep(Duration::from_millis(5)).await;
        }
        Err(io::Error::other("what was waited for was not seen"))
    }
}

impl Seen {
    /// How long the read's value had been overwritten when the read was sent, or zero. Counted from the
    /// write's answer, because only then is the write known.
    pub(crate) fn age(&self, read: &Read) -> Duration {
        let overwritten = self.writes.iter().find(|write| write.views > read.views);
        overwritten.map_or(Duration::ZERO, |write| {
            read.sent.saturating_duration_since(write.answered)
        })
    }

    pub(crate) fn oldest(&self, such: impl Fn(&Read) -> bool) -> Duration {
        let reads = self.reads.iter().filter(|read| such(read));
        let ages = reads.map(|read| self.age(read));
        ages.max().unwrap_or_default()
    }

    /// When the last read without this write was sent.
    pub(crate) fn last_without(&self, write: &Write) -> Option<Instant> {
        let without = self.reads.iter().filter(|read| read.views < write.views);
        without.map(|read| read.sent).max()
    }

    /// When the first read with this write was answered.
    pub(crate) fn first_with(&self, write: &Write) -> Option<Instant> {
        let with = self.reads.iter().filter(|read| read.views >= write.views);
        with.map(|read| read.answered).min()
    }
}

/// The contents are always consistent, even after a panic.
fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
