use super::super::explore::{Claim, broken};
use super::nodes::{self, Reply};
use super::router::{At, Call};
use super::{Kind, State, World};

pub(super) const TWICE: Claim = "no update is done twice";
pub(super) const DENIED: Claim = "an update that was said not to be done is not done";
pub(super) const LOST: Claim = "an update that was said to be done is done";
pub(super) const ABSENT: Claim = "what is there is found";
pub(super) const STUCK: Claim = "a call is answered, if the node that has its key can";
pub(super) const FORGOT: Claim = "while a node tells a newer map, no older one is taken";

const PATIENCE: usize = 40;

impl World {
    pub(super) fn check(&self, state: &State) -> Result<(), Claim> {
        let counts = |counter: usize| {
            let keys = state.nodes.iter().filter_map(|node| node.key);
            keys.map(move |key| key[counter]).max().unwrap_or(0)
        };
        for call in &*state.calls {
            let told = match call.at {
                At::Ended(reply) => Some(reply),
                _ => None,
            };
            let done = match call.kind {
                Kind::Add(counter) => counts(counter),
                Kind::Read => 0,
            };
            let is_update = call.kind != Kind::Read;
            let was_done = matches!(told, Some(Reply::Done));
            let was_not_done = is_update && !matches!(told, None | Some(Reply::Done | Reply::Cut));
            for (is_broken, claim) in [
                (done > 1, TWICE),
                (was_done && done == 0, LOST),
                (was_not_done && done > 0, DENIED),
                (told == Some(Reply::Read(None)), ABSENT),
            ] {
                if is_broken {
                    broken(self.watched, claim)?;
                }
            }
        }
        self.check_stuck(state)
    }

    /// Checks that a call that begins now would be answered, even if the nodes that know least told the map
    /// first.
    fn check_stuck(&self, state: &State) -> Result<(), Claim> {
        let (epoch, owner) = nodes::newest(&state.nodes);
        let has_heard = |node: &nodes::Node| !node.is_up || node.epoch == epoch;
        let is_served = state.nodes[owner as usize].runs;
        if !is_served || !state.nodes.iter().all(has_heard) {
            return Ok(());
        }
        let mut state = state.clone();
        state.calls = [Call::new(Kind::Read)].into();
        let mut by_epoch = nodes::NodeId::ALL;
        by_epoch.sort_by_key(|id| (state.nodes[*id as usize].epoch, *id));
        for _ in 0..PATIENCE {
            if !state.router.is_asking() {
                state.router.is_map_new = false;
            }
            let first = by_epoch.iter().find(|id| state.router.waits_for(**id));
            match state.calls[0].at {
                At::Ended(Reply::Read(Some(_))) => return Ok(()),
                At::Ended(_) => break,
                At::Sent(_) => self.execute(&mut state, 0),
                At::Answered(..) => self.hear(&mut state, 0),
                At::Begins | At::Looks(..) => match first {
                    Some(id) => self.tell(&mut state, *id)?,
                    None => self.go(&mut state, 0),
                },
            }
        }
        broken(self.watched, STUCK)
    }
}
