//! The router of a cluster: slots move, nodes stop and start, connections are cut, and some nodes have not
//! heard of a change.
//!
//! The real [`advice`](crate::store::redis::cluster::route::advice),
//! [`Map`](crate::store::redis::cluster::map::Map) and
//! [`Choice`](crate::store::redis::cluster::route::Choice) decide. The steps are those of `Cluster::run`,
//! `Inner::answer`, `ask_for_map` and `Shared::try_twice`. The nodes follow Redis's rules.

mod claims;
mod nodes;
mod router;
mod tests;

use std::rc::Rc;

use self::nodes::{Change, Node, NodeId};
use self::router::{At, Call, Router};
use self::tests::Mutant;
use super::explore::{self, Claim};

#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// The owner in the router's first map.
    map: NodeId,
    changes: &'static [Change],
    calls: &'static [Kind],
    cuts: u8,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Kind {
    Read,
    /// Adds one to the counter of this number.
    Add(usize),
}

pub(super) struct World {
    bounds: Bounds,
    mutant: Option<Mutant>,
    watched: Option<Claim>,
}

#[derive(Clone, Eq, Hash, PartialEq)]
pub(super) struct State {
    nodes: [Node; nodes::COUNT],
    changed: usize,
    router: Router,
    calls: Rc<[Call]>,
    cuts: u8,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Change,
    /// A node hears of the newest change.
    Gossip(NodeId),
    /// A call begins, or continues after a pause.
    Go(usize),
    /// A node executes a call, even if its connection was cut.
    Execute(usize),
    Hear(usize),
    Cut(usize),
    /// A call has waited long for its answer.
    Impatient(usize),
    /// A node tells the map, or fails to.
    Tell(NodeId),
    MapAges,
}

impl explore::World for World {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        State {
            nodes: nodes::start(),
            changed: 0,
            router: Router::new(self.bounds.map),
            calls: self.bounds.calls.iter().copied().map(Call::new).collect(),
            cuts: self.bounds.cuts,
        }
    }

    fn steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut may = |step: Step, can: bool| can.then(|| steps.push(step));
        may(Step::Change, state.changed < self.bounds.changes.len());
        for id in NodeId::ALL {
            let newest = nodes::newest(&state.nodes);
            may(Step::Gossip(id), state.nodes[id as usize].may_hear(newest));
            may(Step::Tell(id), state.router.waits_for(id));
        }
        may(Step::MapAges, state.router.is_map_new);
        for (who, call) in state.calls.iter().enumerate() {
            let is_looking = state.router.is_asking();
            may(Step::Go(who), call.may_go(is_looking));
            may(Step::Execute(who), call.sent.is_some());
            may(Step::Hear(who), matches!(call.at, At::Answered(..)));
            may(Step::Cut(who), state.cuts > 0 && call.is_under_way());
            may(Step::Impatient(who), call.is_under_way());
        }
        steps
    }

    fn take(&self, state: &mut State, step: Step) -> Result<(), Claim> {
        match step {
            Step::Change => self.change(state),
            Step::Gossip(id) => {
                let newest = nodes::newest(&state.nodes);
                state.nodes[id as usize].hear(newest);
            }
            Step::Go(who) => self.go(state, who),
            Step::Execute(who) => self.execute(state, who),
            Step::Hear(who) => self.hear(state, who),
            Step::Cut(who) => {
                state.cuts -= 1;
                self.cut(state, who);
            }
            Step::Impatient(who) => self.impatient(state, who),
            Step::Tell(id) => self.tell(state, id)?,
            Step::MapAges => state.router.is_map_new = false,
        }
        self.check(state)
    }
}

impl World {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}
