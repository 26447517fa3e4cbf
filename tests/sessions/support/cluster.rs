//! A Redis cluster of one's own.

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

/// How many masters there are, and how many replicas: one each.
const SHARDS: usize = 3;

const SLOTS: usize = 16384;

/// After how long a failover that a replica was told of is tried again. Redis gives up after five
/// seconds.
const FAILOVER_ATTEMPT: Duration = Duration::from_secs(6);

/// Three masters, the nodes 0, 1 and 2, and their replicas if they have any, the nodes 3, 4 and 5: node 3
/// is that of node 0 and so on. In a failover the two change places, and no node ever changes its shard.
///
/// As those of [`RedisServer`], its methods block, and can be called in async tests. Those that wait
/// ask no node that is stopped or paused.
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<RedisServer>,
    /// What the nodes call themselves.
    ids: Vec<String>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| Setup::default())
    }

    /// The nodes' clocks are off, like `+31m`.
    pub(crate) fn start_with_clocks(offsets: [Option<&str>; 2 * SHARDS]) -> Self {
        Self::start_with(|node| match offsets[node] {
            Some(offset) => Setup::default().with_clock(offset),
            None => Setup::default(),
        })
    }

    /// The nodes speak TLS, and nothing else with each other.
    pub(crate) fn start_tls(
        certificates: &Certificates,
        requires_client_certificate: bool,
    ) -> Self {
        Self::start_with(|_| Setup::default().with_tls(certificates, requires_client_certificate))
    }

    /// Each node is set up as one likes.
    pub(crate) fn start_with(setup: impl Fn(usize) -> Setup) -> Self {
        Self::of(2 * SHARDS, setup)
    }

    /// The masters alone: none is ever replaced, and none is given up by the others while a test lasts.
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

    /// Not by `redis-cli --cluster create`, which sleeps for seconds.
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
        // Each with each: they would hear of one another by and by.
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

    /// Each of the masters says that it is at another port than its own, which leads to it.
    pub(crate) fn announce(&self, ports: &[u16]) {
        // They talk twice in it.
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

    /// The addresses of all nodes.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// The same for clients that speak TLS.
    pub(crate) fn tls_urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::tls_url).collect()
    }

    pub(crate) fn slot_of(&self, key: &str) -> u16 {
        self.any_node().command(&["CLUSTER", "KEYSLOT", key])
    }

    /// The node that has the key's slot, as the others say if it is silent itself.
    pub(crate) fn master_of(&self, key: &str) -> usize {
        self.owner_of(self.slot_of(key))
    }

    /// The node that has the slot.
    pub(crate) fn owner_of(&self, slot: u16) -> usize {
        let view = view(self.any_node());
        let owner = view.iter().find(|seen| seen.has(slot)).unwrap();
        self.ids.iter().position(|id| *id == owner.id).unwrap()
    }

    /// The replica of a master, and the master of a replica.
    pub(crate) fn partner(&self, node: usize) -> usize {
        (node + SHARDS) % (2 * SHARDS)
    }

    /// The node that copies this master.
    pub(crate) fn replica_of(&self, master: usize) -> usize {
        let replica = self.partner(master);
        let seen = view(self.any_node());
        let seen = seen.iter().find(|seen| seen.id == self.ids[replica]);
        assert_eq!(seen.unwrap().master, self.ids[master], "not a master");
        replica
    }

    /// Ends a node. When it was the only one with its data, they are lost.
    pub(crate) fn stop(&mut self, node: usize) {
        self.nodes[node].stop();
    }

    /// Starts a node again, empty, and with all that it knew of the cluster. It comes back as what it
    /// was, until it hears that its place was taken.
    pub(crate) fn restart(&mut self, node: usize) {
        self.nodes[node].restart();
    }

    /// Makes a replica the master: without losing a write if the master answers, else by the votes of
    /// the other masters. Returns when all nodes that answer know it.
    pub(crate) fn fail_over(&self, replica: usize) {
        if self.nodes[self.partner(replica)].is_responsive() {
            self.promote(replica, &["CLUSTER", "FAILOVER"]);
        } else {
            self.promote(replica, &["CLUSTER", "FAILOVER", "FORCE"]);
        }
    }

    /// Makes a replica the master, whatever the other nodes say. It works without a majority too.
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
                // Refused as long as a replica has not found its master, and when it is a master by
                // now, of which the others have not heard.
                let accepted = self.nodes[replica].attempt::<()>(command);
                told = accepted.is_ok().then(Instant::now);
            }
            None
        });
    }

    /// Waits until the nodes have replaced a master by themselves, as they do a second or two after
    /// it fell silent. Gives its successor.
    pub(crate) fn wait_for_failover(&self, old: usize) -> usize {
        let replica = self.partner(old);
        wait_for("an automatic failover", || {
            self.is_known_as_master(replica).then_some(replica)
        })
    }

    /// Waits until the nodes that answer agree on all nodes and serve all that they have, and each
    /// replica has what its master has.
    pub(crate) fn wait_until_settled(&self) {
        wait_for("a cluster that has settled", || {
            self.is_settled().then_some(())
        });
    }

    /// Begins to move a slot with its keys to another master.
    pub(crate) fn begin_move(&self, slot: u16, to: usize) -> SlotMove<'_> {
        SlotMove::begin(self, slot, to)
    }

    /// Moves a slot with its keys to another master, and waits until all nodes that answer know it.
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

    /// Whether all nodes that answer know it as the master of its shard, and none takes the other
    /// node for one.
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
