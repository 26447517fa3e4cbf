//! Two masters, and a replica of the first. One slot, and one key in it.

use super::router::At;
use super::{Kind, State, World};

pub(super) const COUNT: usize = 3;

/// How often each counter was added to.
pub(super) type Counters = [u8; 2];

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(in crate::interleavings) enum NodeId {
    First,
    Second,
    Replica,
}

impl NodeId {
    pub(super) const ALL: [Self; COUNT] = [Self::First, Self::Second, Self::Replica];
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// `CLUSTER SETSLOT … IMPORTING` and `MIGRATING`, `MIGRATE` of the key, and `NODE` at the node that gets
    /// the slot. The others hear of it.
    Import(NodeId),
    Migrate(NodeId, NodeId),
    MoveKey(NodeId, NodeId),
    Own(NodeId),
    /// `CLUSTER SETSLOT … STABLE`
    Stable(NodeId),
    End(NodeId),
    Promote,
    /// A node starts with its old knowledge. It is down until it hears from the others.
    Start(NodeId),
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Node {
    pub(super) runs: bool,
    /// Whether it believes the cluster is up.
    pub(super) is_up: bool,
    /// The slot's owner as far as it knows, and since which epoch.
    pub(super) owner: NodeId,
    pub(super) epoch: u64,
    is_importing: bool,
    migrates_to: Option<NodeId>,
    pub(super) key: Option<Counters>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Reply {
    Done,
    Read(Option<Counters>),
    Moved(NodeId),
    Ask(NodeId),
    ClusterDown,
    /// The connection failed before anything was sent.
    NotSent,
    Cut,
}

pub(super) fn start() -> [Node; COUNT] {
    NodeId::ALL.map(|id| Node {
        runs: true,
        is_up: true,
        owner: NodeId::First,
        epoch: 1,
        is_importing: false,
        migrates_to: None,
        key: (id != NodeId::Second).then_some([0; 2]),
    })
}

/// The owner of the slot, and since which epoch.
pub(super) fn newest(nodes: &[Node; COUNT]) -> (u64, NodeId) {
    let known = nodes.iter().map(|node| (node.epoch, node.owner));
    known.max().unwrap_or((0, NodeId::First))
}

impl Node {
    pub(super) fn may_hear(&self, (epoch, _): (u64, NodeId)) -> bool {
        self.runs && (self.epoch < epoch || !self.is_up)
    }

    pub(super) fn hear(&mut self, (epoch, owner): (u64, NodeId)) {
        self.is_up = true;
        if self.epoch < epoch {
            (self.epoch, self.owner) = (epoch, owner);
            self.migrates_to = None;
        }
    }

    /// Redis's `getNodeByQuery`.
    pub(super) fn answer(&mut self, id: NodeId, kind: Kind, is_asking: bool) -> Reply {
        if !self.is_up {
            return Reply::ClusterDown;
        }
        let is_here = self.owner == id;
        match self.migrates_to {
            Some(to) if is_here && self.key.is_none() => return Reply::Ask(to),
            _ if is_here || (self.is_importing && is_asking) => {}
            _ => return Reply::Moved(self.owner),
        }
        match kind {
            Kind::Read => Reply::Read(self.key),
            Kind::Add(counter) => {
                self.key.get_or_insert_default()[counter] += 1;
                Reply::Done
            }
        }
    }
}

impl World {
    pub(super) fn change(&self, state: &mut State) {
        let change = self.bounds.changes[state.changed];
        state.changed += 1;
        let (epoch, _) = newest(&state.nodes);
        match change {
            Change::Import(id) => state.node(id).is_importing = true,
            Change::Migrate(from, to) => state.node(from).migrates_to = Some(to),
            Change::MoveKey(from, to) => {
                state.node(to).key = state.node(from).key.take();
                state.replicate();
            }
            Change::Own(id) => {
                state.node(id).hear((epoch + 1, id));
                state.node(id).is_importing = false;
            }
            Change::Stable(id) => {
                state.node(id).is_importing = false;
                state.node(id).migrates_to = None;
            }
            Change::End(id) => {
                let node = state.node(id);
                (node.runs, node.is_up, node.key) = (false, false, None);
                Self::breaks(state, id);
            }
            Change::Promote => {
                let id = NodeId::Replica;
                state.node(id).hear((epoch + 1, id));
            }
            Change::Start(id) => state.node(id).runs = true,
        }
    }

    /// The outcome of what was sent to the node is unknown.
    fn breaks(state: &mut State, id: NodeId) {
        for who in 0..state.calls.len() {
            if state.calls[who].sent.is_some_and(|sent| sent.to == id) {
                state.call(who).sent = None;
                if let At::Sent(sent) = state.calls[who].at {
                    state.call(who).at = At::Answered(sent, Reply::Cut);
                }
            }
        }
    }

    pub(super) fn execute(&self, state: &mut State, who: usize) {
        let call = &state.calls[who];
        let (kind, at) = (call.kind, call.at);
        let Some(sent) = call.sent else { return };
        state.call(who).sent = None;
        let reply = state.node(sent.to).answer(sent.to, kind, sent.is_asking);
        state.replicate();
        if at == At::Sent(sent) {
            state.call(who).at = At::Answered(sent, reply);
        }
    }
}

impl State {
    fn node(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    /// The replica has everything that its master has confirmed; what Redis may lose is not the topic here.
    fn replicate(&mut self) {
        let master = self.nodes[NodeId::First as usize];
        let replica = self.node(NodeId::Replica);
        if master.runs && replica.owner != NodeId::Replica {
            replica.key = master.key;
        }
    }
}
