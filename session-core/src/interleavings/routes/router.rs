use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use super::super::explore::{Claim, broken};
use super::claims::FORGOT;
use super::nodes::{NodeId, Reply};
use super::tests::Mutant;
use super::{Kind, State, World};
use crate::error::Error;
use crate::store::redis::cluster::map::Map;
use crate::store::redis::cluster::route::{self, Advice, Choice, advice};
use crate::store::redis::error::Refused;

const SLOT: u16 = 7;

/// After this many nodes, a call has no time left.
const HOPS: u8 = 5;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Router {
    pub(super) epoch: u64,
    map: Map<NodeId>,
    /// The nodes that have not yet told the map, and the choice so far.
    asking: Option<(BTreeSet<NodeId>, Choice<NodeId>)>,
    pub(super) is_map_new: bool,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Sent {
    pub(super) to: NodeId,
    pub(super) is_asking: bool,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum At {
    Begins,
    Sent(Sent),
    Answered(Sent, Reply),
    /// It waits for the map: this node was unreachable.
    Looks(NodeId, Reply),
    Ended(Reply),
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Call {
    pub(super) kind: Kind,
    pub(super) at: At,
    /// What a node has received. It may execute it even if nobody waits.
    pub(super) sent: Option<Sent>,
    hops: u8,
    /// A read is sent once more over a new connection.
    is_sent_again: bool,
}

impl Call {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            at: At::Begins,
            sent: None,
            hops: 0,
            is_sent_again: false,
        }
    }

    pub(super) fn may_go(&self, is_asking: bool) -> bool {
        match self.at {
            At::Begins => true,
            At::Looks(..) => !is_asking,
            At::Sent(_) | At::Answered(..) | At::Ended(_) => false,
        }
    }

    pub(super) fn is_under_way(&self) -> bool {
        matches!(
            self.at,
            At::Sent(_) | At::Answered(_, Reply::Done | Reply::Read(_))
        )
    }
}

impl Router {
    pub(super) fn new(owner: NodeId) -> Self {
        Self {
            epoch: 1,
            map: Map::new(vec![(SLOT, SLOT, owner)]),
            asking: None,
            is_map_new: false,
        }
    }

    pub(super) fn owner(&self) -> NodeId {
        *self.map.owner(SLOT).unwrap_or(&NodeId::First)
    }

    pub(super) fn is_asking(&self) -> bool {
        self.asking.is_some()
    }

    pub(super) fn waits_for(&self, id: NodeId) -> bool {
        let asking = self.asking.as_ref();
        asking.is_some_and(|(waits, _)| waits.contains(&id))
    }

    /// `Inner::ask_for_map`
    pub(super) fn ask_for_map(&mut self) {
        if !self.is_map_new && self.asking.is_none() {
            let choice = Choice::new(self.epoch);
            self.asking = Some((NodeId::ALL.into(), choice));
        }
    }
}

impl Hash for Router {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.owner(), self.epoch, &self.asking, self.is_map_new).hash(state);
    }
}

impl State {
    pub(super) fn call(&mut self, who: usize) -> &mut Call {
        &mut Rc::make_mut(&mut self.calls)[who]
    }
}

impl World {
    pub(super) fn go(&self, state: &mut State, who: usize) {
        let owner = state.router.owner();
        match state.calls[who].at {
            At::Looks(failed, reply) if failed == owner => state.call(who).at = At::Ended(reply),
            _ => self.send(state, who, owner, false),
        }
    }

    fn send(&self, state: &mut State, who: usize, to: NodeId, is_asking: bool) {
        let is_reached = state.nodes[to as usize].runs;
        let is_asking =
            (is_asking && !self.is(Mutant::AsksLikeAnybody)) || self.is(Mutant::AsksAlways);
        let call = state.call(who);
        let sent = Sent { to, is_asking };
        call.hops += 1;
        match is_reached {
            true => {
                call.sent = Some(sent);
                call.at = At::Sent(sent);
            }
            false => call.at = At::Answered(sent, Reply::NotSent),
        }
    }

    /// What was sent may still be executed.
    pub(super) fn cut(&self, state: &mut State, who: usize) {
        let call = state.call(who);
        if let At::Sent(sent) | At::Answered(sent, _) = call.at {
            call.at = At::Answered(sent, Reply::Cut);
        }
    }

    /// `Inner::answer`, each time that it lost patience.
    pub(super) fn impatient(&self, state: &mut State, who: usize) {
        state.router.ask_for_map();
        let Call { kind, at, .. } = state.calls[who];
        let At::Sent(sent) = at else { return };
        let is_read = kind == Kind::Read || self.is(Mutant::UpdatesLeave);
        if is_read && !sent.is_asking && state.router.owner() != sent.to {
            state.call(who).at = At::Answered(sent, Reply::NotSent);
        }
    }

    /// `Cluster::run`, after a node has answered.
    pub(super) fn hear(&self, state: &mut State, who: usize) {
        let Call {
            kind,
            at,
            is_sent_again,
            hops,
            ..
        } = state.calls[who];
        let At::Answered(sent, reply) = at else {
            return;
        };
        let Some(error) = self.error(kind, reply) else {
            state.call(who).at = At::Ended(reply);
            return;
        };
        // `Shared::try_twice`
        let is_again = kind == Kind::Read || self.is(Mutant::UpdatesAreSentAgain);
        if reply == Reply::Cut && is_again && !is_sent_again {
            state.call(who).is_sent_again = true;
            self.send(state, who, sent.to, sent.is_asking);
            return;
        }
        let advice = match advice(&error, "host") {
            _ if hops >= HOPS => Advice::GiveUp,
            Advice::Ask(to) if self.is(Mutant::AskIsMoved) => Advice::Moved(to),
            Advice::Moved(_) if self.is(Mutant::MovedIsNotFollowed) => Advice::GiveUp,
            Advice::Wait if self.is(Mutant::GivesUpAtOnce) => Advice::GiveUp,
            Advice::LookAgain if self.is(Mutant::LooksNowhereElse) => Advice::GiveUp,
            advice => advice,
        };
        match advice {
            Advice::Moved((_, port)) => {
                let to = NodeId::ALL[usize::from(port)];
                state.router.map.moved(SLOT, to);
                state.router.ask_for_map();
                self.send(state, who, to, false);
            }
            Advice::Ask((_, port)) => self.send(state, who, NodeId::ALL[usize::from(port)], true),
            Advice::Wait => {
                state.router.ask_for_map();
                state.call(who).at = At::Begins;
            }
            Advice::LookAgain => {
                // No claim needs this: only a proxy may be that wrong.
                state.router.map.doubt(SLOT, |node| *node == sent.to);
                state.router.ask_for_map();
                state.call(who).at = At::Looks(sent.to, reply);
            }
            Advice::GiveUp => {
                state.router.ask_for_map();
                state.call(who).at = At::Ended(reply);
            }
        }
    }

    fn error(&self, kind: Kind, reply: Reply) -> Option<Error> {
        let refused = |code: &str, to: Option<NodeId>| {
            let redirect = to.map(|to| format!("host:{}", to as usize));
            let code = code.into();
            Error::store("refused").with_source(Refused { code, redirect })
        };
        match reply {
            Reply::Done | Reply::Read(_) => None,
            Reply::Moved(to) => Some(refused("MOVED", Some(to))),
            Reply::Ask(to) => Some(refused("ASK", Some(to))),
            Reply::ClusterDown => Some(refused("CLUSTERDOWN", None)),
            Reply::Cut if kind != Kind::Read && !self.is(Mutant::CutIsNotDone) => {
                Some(Error::unknown("cut"))
            }
            Reply::Cut | Reply::NotSent => Some(Error::store("not sent")),
        }
    }

    /// `newest_map` and `Inner::take`
    pub(super) fn tell(&self, state: &mut State, id: NodeId) -> Result<(), Claim> {
        let node = state.nodes[id as usize];
        let Some((mut waits, mut choice)) = state.router.asking.take() else {
            return Ok(());
        };
        waits.remove(&id);
        let told = route::State {
            epoch: node.epoch,
            is_up: node.is_up || self.is(Mutant::TrustsWhoIsDown),
        };
        let is_enough = node.runs && choice.hear(told, node.owner);
        if !is_enough && !waits.is_empty() && !self.is(Mutant::FirstMapWins) {
            state.router.asking = Some((waits, choice));
            return Ok(());
        }
        let Some((epoch, owner)) = choice.best() else {
            return Ok(());
        };
        let router = &mut state.router;
        let newer = |id: &NodeId| {
            let node = state.nodes[*id as usize];
            node.is_up && node.epoch >= router.epoch
        };
        if epoch < router.epoch && waits.iter().any(newer) {
            broken(self.watched, FORGOT)?;
        }
        *router = Router {
            epoch,
            is_map_new: true,
            ..Router::new(owner)
        };
        Ok(())
    }
}
