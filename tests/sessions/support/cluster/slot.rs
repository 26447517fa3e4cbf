use std::time::Duration;

use super::super::process::{PATIENCE, wait_for};
use super::super::redis::{RedisServer, Setup};
use super::super::tls::Certificates;
use super::Cluster;

/// A move that is not finished. The old master serves the keys that it still has, and answers `ASK` for
/// others, until [`finish`](Self::finish); dropping this does not end the move.
#[derive(Debug)]
pub(crate) struct SlotMove<'c> {
    cluster: &'c Cluster,
    slot: u16,
    from: usize,
    to: usize,
}

impl<'c> SlotMove<'c> {
    pub(super) fn begin(cluster: &'c Cluster, slot: u16, to: usize) -> Self {
        let from = cluster.owner_of(slot);
        assert_ne!(from, to, "the slot is there already");
        let begun = Self {
            cluster,
            slot,
            from,
            to,
        };
        // The target comes first: it must be ready when clients are redirected.
        begun.set_slot(to, &["IMPORTING", &cluster.ids[from]]);
        begun.set_slot(from, &["MIGRATING", &cluster.ids[to]]);
        begun
    }

    /// Moves all keys, new ones too.
    pub(crate) fn migrate(&self) {
        let slot = self.slot.to_string();
        loop {
            let words = ["CLUSTER", "GETKEYSINSLOT", &slot, "100"];
            let keys: Vec<String> = self.source().command(&words);
            if keys.is_empty() {
                break;
            }
            for key in keys {
                self.migrate_key(&key);
            }
        }
    }

    pub(crate) fn migrate_key(&self, key: &str) {
        let target = self.cluster.node(self.to);
        let port = target.peer_port().to_string();
        let timeout = Duration::as_millis(&PATIENCE).to_string();
        let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", &timeout];
        if let Some(password) = target.password() {
            words.extend(["AUTH", password]);
        }
        words.extend(["KEYS", key]);
        let moved: String = self.source().command(&words);
        assert!(["OK", "NOKEY"].contains(&&*moved), "{moved}");
    }

    /// Gives the slot to the new master, and waits until all nodes that answer know it.
    pub(crate) fn finish(self) {
        // The target comes first: if the second step failed, the slot would still have an owner.
        for node in [self.to, self.from] {
            self.set_slot(node, &["NODE", &self.cluster.ids[self.to]]);
        }
        let id = &self.cluster.ids[self.to];
        wait_for("nodes that know who has a slot", || {
            let mut nodes = self.cluster.responsive();
            let knows = |node| {
                let view = super::view(node);
                view.iter()
                    .any(|seen| seen.id == *id && seen.has(self.slot))
            };
            nodes.all(|(node, _)| knows(node)).then_some(())
        });
    }

    fn source(&self) -> &RedisServer {
        self.cluster.node(self.from)
    }

    fn set_slot(&self, node: usize, words: &[&str]) {
        let slot = self.slot.to_string();
        let words = [&["CLUSTER", "SETSLOT", &slot], words].concat();
        self.cluster.node(node).command::<()>(&words);
    }
}

#[test]
fn a_test_can_stand_in_the_middle_of_a_move() {
    let certificates = Certificates::new();
    let setup = Setup::default().with_tls(&certificates, true);
    let setup = setup.with_password("secret");
    let cluster = Cluster::start_with(|_| setup.clone());
    let (one, other) = ("{tag}one", "{tag}other");
    let from = cluster.master_of(one);
    let to = (from + 1) % 3;
    for key in [one, other] {
        cluster.node(from).command::<()>(&["SET", key, "value"]);
    }

    let slot_move = cluster.begin_move(cluster.slot_of(one), to);
    slot_move.migrate_key(one);
    let refusal = cluster.node(from).refusal(&["GET", one]);
    assert!(refusal.starts_with("Ask"), "{refusal}");
    let value: String = cluster.node(from).command(&["GET", other]);
    assert_eq!(value, "value");
    assert_eq!(cluster.master_of(one), from);
    slot_move.migrate();
    slot_move.finish();

    assert_eq!(cluster.master_of(one), to);
    let refusal = cluster.node(from).refusal(&["GET", one]);
    assert!(refusal.starts_with("Moved"), "{refusal}");
    assert_eq!(cluster.node(to).keys(), [one, other]);
    cluster.move_slot(cluster.slot_of(one), from);
    assert_eq!(cluster.node(from).keys(), [one, other]);
}
