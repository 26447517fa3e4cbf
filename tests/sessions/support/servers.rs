use std::sync::{LazyLock, Mutex, mpsc};
use std::thread;

use rocket::{Build, Rocket};

use super::cluster::Cluster;
use super::gateway::Gateway;
use super::own::configured;
use super::redis::{RedisServer, Setup};
use super::sentinel::{MASTER, Sentinels};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Topology {
    One,
    /// One master, whose address three sentinels give.
    Sentinel,
    Cluster,
}

/// Masters without replicas. Nothing replaces them, so a fault lasts until the test ends it.
#[derive(Debug)]
pub(crate) struct Servers {
    kind: Kind,
    /// One before each master, or none at all.
    gateways: Vec<Gateway>,
}

#[derive(Debug)]
enum Kind {
    One(RedisServer),
    Sentinel(Sentinels),
    Cluster(Cluster),
}

impl Servers {
    pub(crate) fn start(topology: Topology) -> Self {
        match topology {
            Topology::Cluster => Self::of(Kind::Cluster(next_cluster())),
            _ => Self::start_with(topology, &Setup::default()),
        }
    }

    pub(crate) fn start_with(topology: Topology, setup: &Setup) -> Self {
        match topology {
            Topology::One => Self::one(RedisServer::start_with(setup.clone())),
            Topology::Sentinel => Self::named(RedisServer::start_with(setup.clone())),
            Topology::Cluster => Self::of(Kind::Cluster(Cluster::start_masters(setup))),
        }
    }

    /// Each server is a cluster node, whatever the topology.
    pub(crate) fn start_nodes(topology: Topology) -> Self {
        match topology {
            Topology::One => Self::one(RedisServer::start_cluster()),
            Topology::Sentinel => Self::named(RedisServer::start_cluster()),
            Topology::Cluster => Self::start(topology),
        }
    }

    /// Sentinels and nodes announce the gateways' ports. The gateways share one count of messages.
    pub(crate) async fn behind_gateways(topology: Topology) -> Self {
        let starting = move || match topology {
            Topology::One | Topology::Sentinel => Kind::One(RedisServer::start()),
            Topology::Cluster => Kind::Cluster(next_cluster()),
        };
        let servers = Self::of(away(starting).await);
        let ports: Vec<u16> = servers.masters().iter().map(RedisServer::port).collect();
        let gateways = Gateway::to_each(&ports).await;
        let ports: Vec<u16> = gateways.iter().map(Gateway::port).collect();
        let telling = move || match servers.kind {
            Kind::One(server) if topology == Topology::Sentinel => {
                Kind::Sentinel(Sentinels::naming(server, ports[0]))
            }
            Kind::Cluster(cluster) => {
                cluster.announce(&ports);
                Kind::Cluster(cluster)
            }
            kind => kind,
        };
        let kind = away(telling).await;
        Self { kind, gateways }
    }

    fn one(server: RedisServer) -> Self {
        Self::of(Kind::One(server))
    }

    fn named(server: RedisServer) -> Self {
        let port = server.port();
        Self::of(Kind::Sentinel(Sentinels::naming(server, port)))
    }

    fn of(kind: Kind) -> Self {
        let gateways = Vec::new();
        Self { kind, gateways }
    }

    pub(crate) fn masters(&self) -> &[RedisServer] {
        match &self.kind {
            Kind::One(server) => std::slice::from_ref(server),
            Kind::Sentinel(sentinels) => sentinels.servers(),
            Kind::Cluster(cluster) => cluster.nodes(),
        }
    }

    pub(crate) fn masters_mut(&mut self) -> &mut [RedisServer] {
        match &mut self.kind {
            Kind::One(server) => std::slice::from_mut(server),
            Kind::Sentinel(sentinels) => sentinels.servers_mut(),
            Kind::Cluster(cluster) => cluster.nodes_mut(),
        }
    }

    pub(crate) fn master_of(&self, key: &str) -> usize {
        match &self.kind {
            Kind::One(_) | Kind::Sentinel(_) => 0,
            Kind::Cluster(cluster) => cluster.master_of(key),
        }
    }

    pub(crate) fn gateways(&self) -> &[Gateway] {
        &self.gateways
    }

    pub(crate) fn stop(&mut self) {
        self.masters_mut().iter_mut().for_each(RedisServer::stop);
    }

    /// Restarts all masters with the data of their last SAVE.
    pub(crate) fn restart(&mut self) {
        for master in self.masters_mut() {
            master.restart();
        }
        if let Kind::Cluster(cluster) = &self.kind {
            cluster.wait_until_settled();
        }
    }

    pub(crate) fn tell_all(&self, words: &[&str]) {
        for master in self.masters() {
            let _: String = master.command(words);
        }
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.masters().iter().flat_map(RedisServer::keys).collect()
    }

    pub(crate) fn known_to(&self, rocket: Rocket<Build>) -> Rocket<Build> {
        let mut urls: Vec<_> = self.gateways.iter().map(Gateway::url).collect();
        if urls.is_empty() {
            urls = self.masters().iter().map(RedisServer::url).collect();
        }
        let key = |name: &str| format!("databases.sessions.{name}");
        match &self.kind {
            Kind::One(_) => configured(rocket, &key("url"), &urls[0]),
            Kind::Sentinel(sentinels) => {
                let rocket = configured(rocket, &key("sentinel.master"), MASTER);
                let urls = (key("sentinel.urls"), sentinels.urls());
                let rocket = match self.masters()[0].password() {
                    Some(password) => configured(rocket, &key("password"), password),
                    None => rocket,
                };
                let figment = rocket.figment().clone();
                rocket.configure(figment.merge(urls))
            }
            Kind::Cluster(_) => {
                let figment = rocket.figment().clone();
                rocket.configure(figment.merge((key("urls"), urls)))
            }
        }
    }
}

/// A cluster that was started in advance, if one is ready: nodes do nothing in their first two seconds.
fn next_cluster() -> Cluster {
    const AHEAD: usize = 2;
    static STARTED: LazyLock<Mutex<mpsc::Receiver<Cluster>>> = LazyLock::new(|| {
        let (sender, receiver) = mpsc::sync_channel(0);
        for _ in 0..AHEAD {
            let sender = sender.clone();
            thread::spawn(move || while sender.send(start_cluster()).is_ok() {});
        }
        Mutex::new(receiver)
    });
    let started = STARTED.lock().unwrap().try_recv();
    started.unwrap_or_else(|_| start_cluster())
}

fn start_cluster() -> Cluster {
    Cluster::start_masters(&Setup::default())
}

/// Runs what blocks for seconds where it delays no other task.
async fn away<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(what).await.unwrap()
}
