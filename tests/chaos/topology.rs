//! The servers: one node, a master with two replicas and three sentinels, or a cluster of 3 + 3.

use std::collections::BTreeMap;

use super::options::Serve;
use super::support::cluster::Cluster;
use super::support::process::wait_for;
use super::support::redis::RedisServer;
use super::support::sentinel::{MASTER, Sentinels};

/// With these, a killed node has all that it acknowledged when it starts again.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

const SLOTS: u16 = 16384;

pub(crate) const SHARDS: usize = 3;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Node,
    Sentinel,
    Cluster,
}

#[derive(Debug)]
pub(crate) enum Topology {
    Node(RedisServer),
    Sentinel(Sentinels),
    Cluster(Cluster),
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Node, Self::Sentinel, Self::Cluster];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Sentinel => "sentinel",
            Self::Cluster => "cluster",
        }
    }

    pub(crate) fn named(name: &str) -> Self {
        let mut all = Self::ALL.into_iter();
        let found = all.find(|kind| kind.name() == name);
        found.expect("--topology is node, sentinel or cluster")
    }

    /// The replicas of a master. If all have a change, no failover loses it.
    pub(crate) fn replicas(self) -> usize {
        match self {
            Self::Node => 0,
            Self::Sentinel => 2,
            Self::Cluster => 1,
        }
    }

    /// Whether a planned failover keeps all acknowledged changes. A cluster's master waits for its replica;
    /// `SENTINEL FAILOVER` does not.
    pub(crate) fn hands_over(self) -> bool {
        self == Self::Cluster
    }
}

impl Topology {
    pub(crate) fn start(kind: Kind) -> Self {
        match kind {
            Kind::Node => {
                let server = RedisServer::start();
                for option in DURABLE.chunks(2) {
                    let name = option[0].trim_start_matches("--");
                    server.command::<()>(&["CONFIG", "SET", name, option[1]]);
                }
                server.wait_for_info("persistence", "aof_rewrite_in_progress:0");
                Self::Node(server)
            }
            Kind::Sentinel => Self::Sentinel(Sentinels::start()),
            Kind::Cluster => Self::Cluster(Cluster::start()),
        }
    }

    pub(crate) fn serve(&self, wait_replicas: usize) -> Serve {
        let (kind, urls) = match self {
            Self::Node(server) => (Kind::Node, vec![server.url()]),
            Self::Sentinel(sentinels) => (Kind::Sentinel, sentinels.urls()),
            Self::Cluster(cluster) => (Kind::Cluster, cluster.urls()),
        };
        let kind = kind.name().into();
        Serve {
            kind,
            urls,
            wait_replicas,
        }
    }

    fn master(&self, shard: usize) -> usize {
        match self {
            Self::Node(_) => 0,
            Self::Sentinel(sentinels) => sentinels.master(),
            Self::Cluster(cluster) => cluster.owner_of(first_slot(shard)),
        }
    }

    fn server(&self, number: usize) -> &RedisServer {
        match self {
            Self::Node(server) => server,
            Self::Sentinel(sentinels) => sentinels.server(number),
            Self::Cluster(cluster) => cluster.node(number),
        }
    }

    /// Freezes the master of a shard, calls `begun`, and thaws the master after the failover; a single node,
    /// after a while.
    pub(crate) fn freeze(&mut self, shard: usize, begun: impl FnOnce()) {
        let master = self.master(shard);
        self.server(master).pause();
        begun();
        self.wait_for_failover(master);
        self.server(master).resume();
        self.settle();
    }

    /// Kills the master of a shard, calls `begun`, and restarts the master after the failover.
    pub(crate) fn kill(&mut self, shard: usize, begun: impl FnOnce()) {
        let master = self.master(shard);
        match self {
            Self::Node(server) => server.stop(),
            Self::Sentinel(sentinels) => sentinels.stop(master),
            Self::Cluster(cluster) => cluster.stop(master),
        }
        begun();
        self.wait_for_failover(master);
        match self {
            Self::Node(server) => server.restart_with(&DURABLE),
            Self::Sentinel(sentinels) => sentinels.restart(master),
            Self::Cluster(cluster) => cluster.restart(master),
        }
        self.settle();
    }

    fn wait_for_failover(&self, old: usize) {
        match self {
            // Longer than a deadline.
            Self::Node(_) => std::thread::sleep(super::app::TIMEOUT * 3 / 2),
            Self::Sentinel(sentinels) => drop(sentinels.wait_for_failover(old)),
            Self::Cluster(cluster) => drop(cluster.wait_for_failover(old)),
        }
    }

    pub(crate) fn fail_over(&mut self, shard: usize) {
        match self {
            Self::Node(_) => {}
            Self::Sentinel(sentinels) => drop(sentinels.fail_over()),
            Self::Cluster(cluster) => {
                let master = cluster.owner_of(first_slot(shard));
                cluster.fail_over(cluster.partner(master));
            }
        }
        self.settle();
    }

    pub(crate) fn cut(&mut self) {
        for _ in 0..12 {
            match self {
                Self::Node(server) => server.end_connections(),
                Self::Sentinel(sentinels) => {
                    sentinels.server(sentinels.master()).end_connections();
                    let all = sentinels.sentinels().iter();
                    all.for_each(RedisServer::end_connections);
                }
                Self::Cluster(cluster) => {
                    let all = cluster.nodes().iter();
                    all.for_each(RedisServer::end_connections);
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(40));
        }
        self.settle();
    }

    fn settle(&self) {
        match self {
            Self::Node(_) => {}
            Self::Sentinel(sentinels) => sentinels.wait_until_settled(),
            Self::Cluster(cluster) => cluster.wait_until_settled(),
        }
    }

    /// Grows with each failover.
    pub(crate) fn epoch(&self) -> u64 {
        match self {
            Self::Node(_) => 0,
            Self::Sentinel(sentinels) => wait_for("a sentinel", || {
                let seen: BTreeMap<String, String> = sentinels
                    .sentinel(0)
                    .attempt(&["SENTINEL", "MASTER", MASTER])
                    .ok()?;
                seen["config-epoch"].parse().ok()
            }),
            Self::Cluster(cluster) => wait_for("a node", || {
                let info: String = cluster.node(0).attempt(&["CLUSTER", "INFO"]).ok()?;
                let (_, epoch) = info.split_once("cluster_current_epoch:")?;
                epoch.lines().next()?.trim().parse().ok()
            }),
        }
    }
}

fn first_slot(shard: usize) -> u16 {
    (shard * usize::from(SLOTS) / SHARDS) as u16 + 1
}

pub(crate) fn shard_of(id: &str) -> usize {
    let slot = crc16(format!("session:visit:{id}").as_bytes()) % SLOTS;
    let shards = (0..SHARDS).rev();
    let mut shards = shards.map(|shard| (shard, shard * usize::from(SLOTS) / SHARDS));
    let found = shards.find(|(_, first)| usize::from(slot) >= *first);
    found.unwrap_or_default().0
}

/// As the Redis Cluster specification defines it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |mut crc, byte| {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            let carry = crc & 0x8000 != 0;
            crc <<= 1;
            if carry {
                crc ^= 0x1021;
            }
        }
        crc
    })
}
