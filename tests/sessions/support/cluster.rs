mod slot;
#[cfg(test)]
mod tests;
mod view;

use std::time::{Duration, Instant};

use self::slot::SlotMove;
use self::view::{Seen, view};
use super::process::wait_for;
use super::redis::{RedisServer, Role, Setup};
use super::tls::Certificates;

const SHARDS: usize = 3;

const SLOTS: usize = 16384;

/// When to retry a failover command: Redis gives up after five seconds.
const FAILOVER_ATTEMPT: Duration = Duration::from_secs(6);

/// Three masters, the nodes 0, 1 and 2, and perhaps their replicas: node 3 for node 0 and so on. In a
/// failover the two change places; no node changes its shard.
///
/// The methods block, but async tests can call them. Those that wait ask no stopped or paused node.
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<RedisServer>,
    ids: Vec<String>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| Setup::default())
    }

    /// With an offset for each node's clock, like `+31m`.
    pub(crate) fn start_with_clocks(offsets: [Option<&str>; 2 * SHARDS]) -> Self {
        Self::start_with(|node| match offsets[node] {
            Some(offset) => Setup::default().with_clock(offset),
            None => Setup::default(),
        })
    }

    pub(crate) fn start_tls(
        certificates: &Certificates,
        requires_client_certificate: bool,
    ) -> Self {
        Self::start_with(|_| Setup::default().with_tls(certificates, requires_client_certificate))
    }

    pub(crate) fn start_with(setup: impl Fn(usize) -> Setup) -> Self {
        Self::of(2 * SHARDS, setup)
    }

    /// Masters without replicas. The long timeout keeps nodes from declaring one failed.
    pub(crate) fn start_masters(setup: &Setup) -> Self {
        let cluster = Self::of(SHARDS, |_| setup.clone());
        cluster.set_timeout("60000");
        cluster
    }

    fn of(nodes: usize, setup: impl Fn(usize) -> Setup) -> Self {
        let setup = |node| setup(node).with_role(Role::ClusterNode);
        let nodes = RedisServer::start_all((0..nodes).map(setup));
        let id = |node: &RedisServer| node.command(&["CLUSTER", "MYID"]);
        let ids = nodes.iter().map(id).collect();
        let cluster = Self { nodes, ids };
        cluster.join();
        cluster
    }

    /// `redis-cli --cluster create` would sleep for seconds.
    fn join(&self) {
        for (number, node) in self.nodes.iter().enumerate() {
            let epoch = (number + 1).to_string();
            node.command::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
        }
        for (number, master) in self.nodes[..SHARDS].iter().enumerate() {
            let first = (number * SLOTS / SHARDS).to_string();
            let last = ((number + 1) * SLOTS / SHARDS - 1).to_string();
            master.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
        }
        // Each meets each, because gossip takes longer.
        for (number, node) in self.nodes.iter().enumerate() {
            for other in &self.nodes[number + 1..] {
                let (port, bus) = (other.port().to_string(), other.bus_port().to_string());
                node.command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
            }
        }
        for replica in SHARDS..self.nodes.len() {
            let master = &self.ids[self.partner(replica)];
            wait_for("a node that knows its master", || {
                let words = ["CLUSTER", "REPLICATE", master];
                self.nodes[replica].attempt::<()>(&words).ok()
            });
        }
        self.wait_until_settled();
    }

    pub(crate) fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    pub(crate) fn nodes_mut(&mut self) -> &mut [RedisServer] {
        &mut self.nodes
    }

    pub(crate) fn node(&self, node: usize) -> &RedisServer {
        &self.nodes[node]
    }

    /// Makes each master announce another port, which leads to it.
    pub(crate) fn announce(&self, ports: &[u16]) {
        // Nodes gossip twice within this timeout.
        self.set_timeout("1000");
        for (node, port) in self.nodes.iter().zip(ports) {
            let port = port.to_string();
            node.command::<()>(&["CONFIG", "SET", "cluster-announce-port", &port]);
        }
        wait_for("nodes that have heard of the ports", || {
            let mut nodes = self.nodes.iter();
            let know_all = nodes.all(|node| {
                let known: String = node.command(&["CLUSTER", "NODES"]);
                let mut ports = ports.iter();
                ports.all(|port| known.contains(&format!(":{port}@")))
            });
            know_all.then_some(())
        });
        self.set_timeout("60000");
    }

    fn set_timeout(&self, millis: &str) {
        for node in &self.nodes {
            node.command::<()>(&["CONFIG", "SET", "cluster-node-timeout", millis]);
        }
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    pub(crate) fn tls_urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::tls_url).collect()
    }

    pub(crate) fn slot_of(&self, key: &str) -> u16 {
        self.any_node().command(&["CLUSTER", "KEYSLOT", key])
    }

    pub(crate) fn master_of(&self, key: &str) -> usize {
        self.owner_of(self.slot_of(key))
    }

    pub(crate) fn owner_of(&self, slot: u16) -> usize {
        let view = view(self.any_node());
        let owner = view.iter().find(|seen| seen.has(slot)).unwrap();
        self.ids.iter().position(|id| *id == owner.id).unwrap()
    }

    /// The replica of a master, and the master of a replica.
    pub(crate) fn partner(&self, node: usize) -> usize {
        (node + SHARDS) % (2 * SHARDS)
    }

    /// The same, checked: panics if the node is no master.
    pub(crate) fn replica_of(&self, master: usize) -> usize {
        let replica = self.partner(master);
        let seen = view(self.any_node());
        let seen = seen.iter().find(|seen| seen.id == self.ids[replica]);
        assert_eq!(seen.unwrap().master, self.ids[master], "not a master");
        replica
    }

    pub(crate) fn stop(&mut self, node: usize) {
        self.nodes[node].stop();
    }

    /// Starts a node again, empty but for its cluster state. It keeps its role until it hears of its
    /// successor.
    pub(crate) fn restart(&mut self, node: usize) {
        self.nodes[node].restart();
    }

    /// Makes a replica the master: without losing a write if the master answers, else by the votes of the
    /// other masters. Returns when all nodes that answer know it.
    pub(crate) fn fail_over(&self, replica: usize) {
        if self.nodes[self.partner(replica)].is_responsive() {
            self.promote(replica, &["CLUSTER", "FAILOVER"]);
        } else {
            self.promote(replica, &["CLUSTER", "FAILOVER", "FORCE"]);
        }
    }

    /// Makes a replica the master without asking the other nodes, so no majority is needed.
    pub(crate) fn take_over(&self, replica: usize) {
        self.promote(replica, &["CLUSTER", "FAILOVER", "TAKEOVER"]);
    }

    fn promote(&self, replica: usize, command: &[&str]) {
        let mut told: Option<Instant> = None;
        wait_for("a failover", || {
            if self.is_known_as_master(replica) {
                return Some(());
            }
            if told.is_none_or(|told| told.elapsed() > FAILOVER_ATTEMPT) {
                // Refused while a replica does not know its master, and when it is already a master but
                // others do not know it yet.
                let accepted = self.nodes[replica].attempt::<()>(command);
                told = accepted.is_ok().then(Instant::now);
            }
            None
        });
    }

    /// Waits for an automatic failover. Returns the new master.
    pub(crate) fn wait_for_failover(&self, old: usize) -> usize {
        let replica = self.partner(old);
        wait_for("an automatic failover", || {
            self.is_known_as_master(replica).then_some(replica)
        })
    }

    /// Waits until the nodes that answer agree on all nodes and serve all their slots, and the replicas are
    /// in sync.
    pub(crate) fn wait_until_settled(&self) {
        wait_for("a cluster that has settled", || {
            self.is_settled().then_some(())
        });
    }

    pub(crate) fn begin_move(&self, slot: u16, to: usize) -> SlotMove<'_> {
        SlotMove::begin(self, slot, to)
    }

    /// Moves a slot with its keys, and waits until all nodes that answer know it.
    pub(crate) fn move_slot(&self, slot: u16, to: usize) {
        let slot_move = self.begin_move(slot, to);
        slot_move.migrate();
        slot_move.finish();
    }

    fn responsive(&self) -> impl Iterator<Item = (&RedisServer, &String)> {
        let nodes = self.nodes.iter().zip(&self.ids);
        nodes.filter(|(node, _)| node.is_responsive())
    }

    fn any_node(&self) -> &RedisServer {
        let (node, _) = self.responsive().next().expect("no node answers");
        node
    }

    /// Whether all nodes that answer know it, and not its partner, as the master of its shard.
    fn is_known_as_master(&self, node: usize) -> bool {
        let has_slots = |view: &[Seen], id| {
            let mut nodes = view.iter();
            nodes.any(|seen| seen.id == id && seen.is_master() && !seen.slots.is_empty())
        };
        let [id, other] = [node, self.partner(node)].map(|node| self.ids[node].as_str());
        self.responsive().all(|(node, _)| {
            let view = view(node);
            has_slots(&view, id) && !has_slots(&view, other)
        })
    }

    fn is_settled(&self) -> bool {
        let mut first = None;
        for (node, _) in self.responsive() {
            let view = view(node);
            let ids = || self.responsive().map(|(_, id)| id);
            let fine = |id: &String| view.iter().any(|seen| seen.id == *id && seen.is_fine());
            let info: String = node.command(&["CLUSTER", "INFO"]);
            if view.len() != self.nodes.len()
                || !ids().all(fine)
                || !info.contains("cluster_state:ok")
            {
                return false;
            }
            let claims: Vec<_> = view.iter().map(Seen::claim).collect();
            if *first.get_or_insert_with(|| claims.clone()) != claims {
                return false;
            }
            let own = view.iter().find(|seen| seen.is_myself()).unwrap();
            let master_answers = ids().any(|id| *id == own.master);
            if master_answers && !node.follows_its_master() {
                return false;
            }
        }
        true
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (number, node) in self.nodes.iter().enumerate() {
                eprintln!("What node {number} said:\n{}", node.log());
            }
        }
    }
}
