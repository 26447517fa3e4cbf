//! The servers of a store: one, or a cluster.

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

/// What is asked of a server; with the session that it is about, if it is about one.
#[derive(Clone, Copy)]
pub(super) enum Request<'r> {
    /// It changes nothing.
    Read(&'r Cmd, Option<Key>),
    /// It changes something: the script, for a server whose time differs so from the store's.
    Change(&'r (dyn Fn(Skew) -> ScriptCall + Sync), Option<Key>),
}

/// A server's answer.
pub(super) struct Answer {
    pub(super) value: Value,
    /// What the near cache needs to keep it.
    pub(super) ticket: Option<Ticket>,
    /// Which server answered.
    pub(super) shared: Arc<Shared>,
}

/// By how much a server's time is ahead of the store's. They differ only in a cluster, where each node
/// has its own clock.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Skew {
    pub(super) millis: i64,
    /// The same for marks.
    pub(super) micros: i64,
    /// So much later is a mark told than the server says: by as much as what is known of its clock may
    /// change until the mark is said to it again. Otherwise a login would seem to have begun before the
    /// end of all sessions that its own request made.
    pub(super) slack: u64,
}

/// In milliseconds: by so much may what is known of one clock differ from one moment to the next.
const DOUBT: i64 = 2;

impl Skew {
    /// A time of the store in the server's.
    pub(super) fn there(self, at: Timestamp) -> Timestamp {
        Timestamp::from_millis(at.as_millis().saturating_add_signed(self.millis))
    }

    /// A time of the server in the store's.
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
    /// Asks the server that has the Redis key.
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
                        // Less than a few milliseconds is only what is known of one clock.
                        millis: if behind > DOUBT { -behind } else { 0 },
                        ..Skew::default()
                    }
                };
                shared.run(request, &skew, deadline, false).await
            }
            Self::Cluster(cluster) => cluster.run(request, key, deadline).await,
        }
    }

    /// Asks every server, a cluster's masters, all at once. Answers which said what.
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

    /// How the time of one of the servers differs from the store's.
    pub(super) fn skew(&self, shared: &Shared) -> Skew {
        match self {
            Self::One(_) => Skew::default(),
            Self::Cluster(cluster) => cluster.skew(shared),
        }
    }

    /// All masters, and how to connect to them.
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

    /// The server of whose copies one may be this key's. One server needs no key for that.
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

    /// The present point in the order of what is done to users.
    pub(super) fn present(&self) -> Mark {
        match self {
            Self::One(shared) => Mark::new(shared.time().micros().unwrap_or_default()),
            Self::Cluster(cluster) => cluster.present(),
        }
    }

    /// Whether the time was ever heard.
    pub(super) fn is_time_known(&self) -> bool {
        match self {
            Self::One(shared) => shared.time().is_known(),
            Self::Cluster(cluster) => cluster.is_time_known(),
        }
    }

    /// Connects, so that the time is known.
    pub(super) async fn hear_time(&self, key: &str, deadline: Instant) -> Result<(), Error> {
        match self {
            Self::One(shared) => shared.connected(deadline).await,
            Self::Cluster(cluster) => cluster.hear_time(key, deadline).await,
        }
    }

    /// Without user and password.
    pub(super) fn address(&self) -> String {
        match self {
            Self::One(shared) => shared.address(),
            Self::Cluster(cluster) => cluster.address(),
        }
    }
}

/// How each server is connected to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) connect_timeout: Duration,
    /// How old a copy may be, if there are copies.
    pub(super) near: Option<Duration>,
    /// How many replicas must have a change.
    pub(super) wait_replicas: usize,
    /// How many changes may wait for replicas at a time.
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

    /// A login in the request that ended all sessions comes after that end, even if what is known of the
    /// node's clock has fallen a little meanwhile.
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
