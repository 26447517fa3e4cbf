//! Where a call goes next, and whose map counts. Pure.

use super::map;
use crate::error::Error;
use crate::store::redis::dial::Address;
use crate::store::redis::error::refused;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Advice {
    Moved(Address),
    /// Another node is importing the slot, and has this key.
    Ask(Address),
    Wait,
    /// The call had no effect. Another node may have the slot by now.
    LookAgain,
    /// The error is the answer, or the outcome is unknown.
    GiveUp,
}

pub(crate) fn advice(error: &Error, asked: &str) -> Advice {
    let Some(refused) = refused(error) else {
        return match error.is_unknown() {
            true => Advice::GiveUp,
            false => Advice::LookAgain,
        };
    };
    let redirect = || map::address(refused.redirect.as_deref()?, asked);
    let advice = match refused.code.as_str() {
        "MOVED" => redirect().map(Advice::Moved),
        "ASK" => redirect().map(Advice::Ask),
        "TRYAGAIN" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "READONLY" => Some(Advice::Wait),
        _ => None,
    };
    advice.unwrap_or(Advice::GiveUp)
}

/// Chooses among several nodes' maps. A node that was cut off tells an old map; one that has just started
/// says that its cluster is down.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Choice<M> {
    /// Of the map in use.
    known: u64,
    best: Option<(u64, M)>,
}

impl<M> Choice<M> {
    pub(crate) fn new(known: u64) -> Self {
        Self { known, best: None }
    }

    /// Returns whether to stop waiting for others: this map is not older than the one in use, and its cluster
    /// is up.
    pub(crate) fn hear(&mut self, state: State, map: M) -> bool {
        let State { epoch, is_up } = state;
        let is_enough = is_up && epoch >= self.known;
        if is_enough || self.best.as_ref().is_none_or(|(best, _)| *best < epoch) {
            self.best = Some((epoch, map));
        }
        is_enough
    }

    /// The newest map. If it is older than the one in use, the cluster was recreated.
    pub(crate) fn best(self) -> Option<(u64, M)> {
        self.best
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct State {
    /// The highest that it knows.
    pub(crate) epoch: u64,
    pub(crate) is_up: bool,
}

impl State {
    /// Reads CLUSTER INFO.
    pub(crate) fn read(info: &str) -> Self {
        let value = |name: &str| {
            let mut pairs = info.lines().filter_map(|line| line.split_once(':'));
            pairs.find_map(|(key, value)| (key == name).then(|| value.trim()))
        };
        let epoch = value("cluster_current_epoch").and_then(|epoch| epoch.parse().ok());
        Self {
            epoch: epoch.unwrap_or_default(),
            is_up: value("cluster_state") == Some("ok"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_map_counts_only_if_nobody_tells_a_newer_one() {
        let at = |epoch| State { epoch, is_up: true };
        let mut choice = Choice::new(7);
        assert!(!choice.hear(at(5), 'a'));
        assert!(!choice.hear(at(6), 'b'));
        assert!(!choice.hear(at(4), 'c'));
        assert_eq!(choice.clone().best(), Some((6, 'b')));
        assert!(choice.hear(at(7), 'd'));
        assert_eq!(choice.best(), Some((7, 'd')));
    }

    #[test]
    fn a_node_whose_cluster_is_down_is_believed_last() {
        let state = |epoch, is_up| State { epoch, is_up };
        let mut choice = Choice::new(7);
        assert!(!choice.hear(state(7, false), 'a'));
        assert_eq!(choice.clone().best(), Some((7, 'a')));
        assert!(choice.hear(state(7, true), 'b'));
        assert_eq!(choice.best(), Some((7, 'b')));
    }

    #[test]
    fn the_state_is_read_of_cluster_info() {
        let info = "cluster_state:ok\r\ncluster_current_epoch:12\r\ncluster_my_epoch:3\r\n";
        let state = |epoch, is_up| State { epoch, is_up };
        assert_eq!(State::read(info), state(12, true));
        assert_eq!(State::read("cluster_state:fail\r\n"), state(0, false));
        assert_eq!(State::read("cluster_current_epoch:x"), state(0, false));
    }
}
