use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::redis::{Cmd, ConnectionInfo, Value};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cluster::Cluster;
use super::near::Ticket;
use super::script::ScriptCall;
use super::shared::Shared;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::store::Key;
use crate::users::Mark;

pub(super) enum Servers {
    One(Arc<Shared>),
    Cluster(Cluster),
}

/// With the session that it is about, if any.
#[derive(Clone, Copy)]
pub(super) enum Request<'r> {
    Read(&'r Cmd, Option<Key>),
    /// Makes the script for a server with this skew.
    Change(&'r (dyn Fn(Skew) -> ScriptCall + Sync), Option<Key>),
}

pub(super) struct Answer {
    pub(super) value: Value,
    /// What the near cache needs to keep the answer.
    pub(super) ticket: Option<Ticket>,
    pub(super) shared: Arc<Shared>,
}

/// How far a server's time is ahead of the store's, in a cluster or after another server with a clock behind
/// took over.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Skew {
    pub(super) millis: i64,
    /// The same for marks.
    pub(super) micros: i64,
    /// Added to each mark from the server: the most by which the estimate of its clock may fall meanwhile.
    /// Otherwise a login could seem to begin before the end of all sessions that its own request caused.
    pub(super) slack: u64,
}

/// In milliseconds: how much the estimate of one clock varies.
const DOUBT: i64 = 2;

impl Skew {
    /// From the store's time to the server's.
    pub(super) fn there(self, at: Timestamp) -> Timestamp {
        Timestamp::from_millis(at.as_millis().saturating_add_signed(self.millis))
    }

    /// From the server's time to the store's.
    pub(super) fn here(self, at: Timestamp) -> Timestamp {
        let millis = self.millis.saturating_neg();
        Timestamp::from_millis(at.as_millis().saturating_add_signed(millis))
    }

    pub(super) fn mark_there(self, mark: Mark) -> Mark {
        Mark::new(mark.number().saturating_add_signed(self.micros))
    }

    pub(super) fn mark_here(self, mark: Mark) -> Mark {
        let micros = self.micros.saturating_neg();
        let mark = mark.number().saturating_add_signed(micros);
        Mark::new(mark.saturating_add(self.slack))
    }
}

impl Servers {
    pub(super) async fn run(
        &self,
        request: Request<'_>,
        key: &str,
        deadline: Instant,
    ) -> Result<Answer, Error> {
        match self {
            Self::One(shared) => {
                // A new connection may lead to another server, whose clock is behind.
                let (then, known) = (std::time::Instant::now(), shared.time().micros());
                let skew = || {
                    let passed = u64::try_from(then.elapsed().as_micros()).unwrap_or(u64::MAX);
                    let expected = known.map(|known| known.saturating_add(passed));
                    let now = shared.time().micros();
                    let behind = expected
                        .zip(now)
                        .map(|(expected, now)| expected.saturating_sub(now));
                    let behind =
                        i64::try_from(behind.unwrap_or(0).div_ceil(1000)).unwrap_or(i64::MAX);
                    Skew {
                        // A smaller difference is only noise.
                        millis: if behind > DOUBT { -behind } else { 0 },
                        ..Skew::default()
                    }
                };
                shared.run(request, &skew, deadline, false).await
            }
            Self::Cluster(cluster) => cluster.run(request, key, deadline).await,
        }
    }

    /// In a cluster, asks all masters. Returns each address with its answer.
    pub(super) async fn ask_all(
        &self,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<Vec<(String, Result<Value, Error>)>, Error> {
        let all = match self {
            Self::One(shared) => vec![Arc::clone(shared)],
            Self::Cluster(cluster) => cluster.masters(deadline).await?,
        };
        let mut asked = JoinSet::new();
        for shared in all {
            let command = command.clone();
            asked.spawn(async move {
                let answer = shared.ask(&command, deadline).await;
                (shared.address(), answer)
            });
        }
        let mut answers = asked.join_all().await;
        answers.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(answers)
    }

    pub(super) fn skew(&self, shared: &Shared) -> Skew {
        match self {
            Self::One(_) => Skew::default(),
            Self::Cluster(cluster) => cluster.skew(shared),
        }
    }

    pub(super) async fn masters(&self, deadline: Instant) -> Result<Vec<ConnectionInfo>, Error> {
        let all = match self {
            Self::One(shared) => vec![Arc::clone(shared)],
            Self::Cluster(cluster) => cluster.masters(deadline).await?,
        };
        let mut masters = Vec::with_capacity(all.len());
        for shared in all {
            masters.push(shared.server(deadline).await?);
        }
        Ok(masters)
    }

    /// A single server needs no key.
    pub(super) fn near(&self, key: impl FnOnce() -> String) -> Option<Arc<Shared>> {
        match self {
            Self::One(shared) => Some(Arc::clone(shared)),
            Self::Cluster(cluster) => cluster.owner(&key()),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        match self {
            Self::One(shared) => shared.time().now(),
            Self::Cluster(cluster) => cluster.now(),
        }
    }

    /// In the order of the steps on users.
    pub(super) fn present(&self) -> Mark {
        match self {
            Self::One(shared) => Mark::new(shared.time().micros().unwrap_or_default()),
            Self::Cluster(cluster) => cluster.present(),
        }
    }

    pub(super) fn is_time_known(&self) -> bool {
        match self {
            Self::One(shared) => shared.time().is_known(),
            Self::Cluster(cluster) => cluster.is_time_known(),
        }
    }

    /// Connects, to learn the time.
    pub(super) async fn hear_time(&self, key: &str, deadline: Instant) -> Result<(), Error> {
        match self {
            Self::One(shared) => shared.connected(deadline).await,
            Self::Cluster(cluster) => cluster.hear_time(key, deadline).await,
        }
    }

    pub(super) fn address(&self) -> String {
        match self {
            Self::One(shared) => shared.address(),
            Self::Cluster(cluster) => cluster.address(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) connect_timeout: Duration,
    /// How old a copy may be; `None`: no near cache.
    pub(super) near: Option<Duration>,
    pub(super) wait_replicas: usize,
    pub(super) max_connections: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_a_server_is_understood_by_it() {
        let skew = Skew {
            millis: -1_740_000,
            micros: 1_860_000_000,
            slack: 0,
        };
        let (at, mark) = (Timestamp::from_millis(7_000_000), Mark::new(9_000_000_000));
        assert_eq!(skew.here(skew.there(at)), at);
        assert_eq!(skew.mark_there(skew.mark_here(mark)), mark);
        assert_eq!(Skew::default().there(at), at);
    }

    /// A login comes after the end of all sessions in the same request.
    #[test]
    fn a_mark_that_is_said_back_a_little_later_is_later() {
        let then = Skew {
            micros: 500_000,
            slack: 1000,
            ..Skew::default()
        };
        let now = Skew {
            micros: 499_001,
            ..then
        };
        let ended_at = Mark::new(77_000_000);
        assert!(now.mark_there(then.mark_here(ended_at)) > ended_at);
    }
}
