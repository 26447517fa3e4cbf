//! A cluster: which node has a key, and what to do when another one has it by now.
//!
//! Every call has one key, so it goes to one node, over one connection that all requests share. Each
//! node has its own connection, deadline, clock and copies: one that is frozen holds up its own keys
//! only. A node refuses what is not its own, and says who has it (MOVED, ASK). A refusal may be
//! followed; what may have been done is never sent again.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use deadpool_redis::redis::{self, ConnectionInfo, FromRedisValue as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::map::{Address, Map, Range};
use self::route::{Advice, Choice, State, advice};
use self::time::ClusterTime;
use super::dial::To;
use super::error::{no_node, not_a_cluster, refused, timed_out};
use super::flight::{Flight, SingleFlight};
use super::sentinel::at;
use super::servers::{Answer, Request, Settings, Skew};
use super::shared::Shared;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::users::Mark;

pub(crate) mod map;
pub(crate) mod route;
mod time;

/// How long a node may take to say who has which slot.
const MAP_TIMEOUT: Duration = Duration::from_secs(1);

/// When a node told a map that may be an old one, how long the others may take to tell a newer one.
const NEWER_WITHIN: Duration = Duration::from_millis(100);

/// How long after one map the next one is asked for at the earliest.
const MAP_TRUSTED_FOR: Duration = Duration::from_millis(100);

/// After a call waited so long, and again after as long, it looks whether another node has its key by now.
const PATIENCE: Duration = Duration::from_millis(200);

/// How long a call waits that the cluster can answer in a moment.
const PAUSE: Duration = Duration::from_millis(20);

/// In microseconds: what is known of a node's clock falls by no more in two seconds.
const MARK_SLACK: u64 = 1000;

/// How many nodes are asked for the map at a time.
const ASKED_AT_ONCE: usize = 5;

pub(super) struct Cluster(Arc<Inner>);

struct Inner {
    /// Where the map is asked for first.
    seeds: Vec<ConnectionInfo>,
    settings: Settings,
    map: RwLock<Arc<Nodes>>,
    time: ClusterTime,
    asking: Mutex<Asking>,
}

/// What is known of the cluster.
#[derive(Default)]
struct Nodes {
    /// The epoch of the map.
    epoch: u64,
    map: Map<Arc<Shared>>,
    /// By host and port.
    by_address: HashMap<Address, Arc<Shared>>,
}

/// Asking for the map, once for all who want it.
#[derive(Default)]
struct Asking {
    flight: SingleFlight,
    /// When a map was taken over last.
    answered: Option<Instant>,
}

impl Cluster {
    pub(super) fn new(seeds: Vec<ConnectionInfo>, settings: Settings, timeout: Duration) -> Self {
        Self(Arc::new(Inner {
            seeds,
            settings,
            map: RwLock::default(),
            time: ClusterTime::new(timeout),
            asking: Mutex::default(),
        }))
    }

    /// Makes a call to the node that has the key.
    pub(super) async fn run(
        &self,
        request: Request<'_>,
        key: &str,
        deadline: Instant,
    ) -> Result<Answer, Error> {
        let inner = &self.0;
        let slot = map::slot(key);
        let (mut next, mut failed) = (None, None);
        loop {
            let (shared, asking) = match next.take() {
                Some(next) => next,
                None => (inner.owner_within(slot, deadline).await?, false),
            };
            let answer = inner.answer(&shared, slot, request, deadline, asking).await;
            let Some(error) = answer.as_ref().err() else {
                return answer;
            };
            let is_over = Instant::now() + PAUSE >= deadline;
            match advice(error, &shared.host()) {
                _ if is_over => return answer,
                Advice::Moved(address) => {
                    let owner = inner.moved(slot, &address);
                    // Two nodes that each name the other one have not agreed yet.
                    if failed.replace(shared).is_some() {
                        sleep(PAUSE).await;
                    }
                    next = Some((owner, false));
                    inner.ask_for_map();
                }
                Advice::Ask(address) => next = Some((inner.node(&address), true)),
                Advice::Wait => {
                    inner.ask_for_map();
                    sleep(PAUSE).await;
                }
                Advice::GiveUp => {
                    if error.is_unknown() {
                        inner.ask_for_map();
                    }
                    return answer;
                }
                Advice::LookAgain => {
                    inner.doubt(slot, &shared);
                    let asked = inner.map_within(deadline).await;
                    if asked.is_err() || inner.is_owner(slot, &shared) {
                        return answer;
                    }
                }
            }
        }
    }

    /// The node that has a key, as far as is known.
    pub(super) fn owner(&self, key: &str) -> Option<Arc<Shared>> {
        self.0.owner(map::slot(key))
    }

    /// All masters.
    pub(super) async fn masters(&self, deadline: Instant) -> Result<Vec<Arc<Shared>>, Error> {
        self.0.map_within(deadline).await?;
        let nodes = self.0.nodes();
        let masters = nodes
            .map
            .nodes()
            .map(|node| (node.address(), Arc::clone(node)));
        let masters: BTreeMap<_, _> = masters.collect();
        Ok(masters.into_values().collect())
    }

    pub(super) fn skew(&self, shared: &Shared) -> Skew {
        self.0.skew(shared)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.0.time.now(|| self.0.times())
    }

    /// A point in this process' own time: of the nodes' clocks, each is used for its own keys.
    pub(super) fn present(&self) -> Mark {
        Mark::new(self.0.time.local())
    }

    pub(super) fn is_time_known(&self) -> bool {
        !self.0.times().is_empty()
    }

    /// Connects to the node that has the key.
    pub(super) async fn hear_time(&self, key: &str, deadline: Instant) -> Result<(), Error> {
        let owner = self.0.owner_within(map::slot(key), deadline).await?;
        owner.connected(deadline).await
    }

    pub(super) fn address(&self) -> String {
        let seeds = self.0.seeds.iter().map(|info| info.addr().to_string());
        let seeds: Vec<_> = seeds.collect();
        format!("the cluster of {}", seeds.join(", "))
    }
}

impl Inner {
    /// Asks one node. While that does not answer, it looks whether another one has taken over.
    async fn answer(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        slot: u16,
        request: Request<'_>,
        deadline: Instant,
        asking: bool,
    ) -> Result<Answer, Error> {
        let is_read = matches!(request, Request::Read(..));
        let answer = async {
            if !shared.time().is_known() {
                // How its clock differs is known once it is connected.
                shared.connected(deadline).await?;
            }
            let skew = || self.skew(shared);
            shared.run(request, &skew, deadline, asking).await
        };
        let mut answer = pin!(answer);
        loop {
            if let Ok(answer) = timeout(PATIENCE, &mut answer).await {
                return answer;
            }
            self.ask_for_map();
            if is_read && !asking && !self.is_owner(slot, shared) {
                return Err(timed_out(false));
            }
        }
    }

    /// How a node's time differs from the cluster's.
    fn skew(&self, shared: &Shared) -> Skew {
        let there = shared.time().micros().unwrap_or_default();
        let ahead = self.time.ahead_of_it(there, || self.times());
        let local = i64::try_from(self.time.local()).unwrap_or(i64::MAX);
        Skew {
            // Rounded down: a little too early.
            millis: ahead.div_euclid(1000),
            micros: i64::try_from(there)
                .unwrap_or(i64::MAX)
                .saturating_sub(local),
            slack: MARK_SLACK,
        }
    }

    /// The times of all nodes that are known.
    fn times(&self) -> Vec<u64> {
        let nodes = self.nodes();
        let known = nodes.by_address.values();
        known.filter_map(|node| node.time().micros()).collect()
    }

    fn nodes(&self) -> Arc<Nodes> {
        Arc::clone(&self.map.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn owner(&self, slot: u16) -> Option<Arc<Shared>> {
        self.nodes().map.owner(slot).map(Arc::clone)
    }

    fn is_owner(&self, slot: u16, shared: &Arc<Shared>) -> bool {
        self.owner(slot)
            .is_none_or(|owner| Arc::ptr_eq(&owner, shared))
    }

    /// The owner of a slot; a cluster that is just being changed may have none for a moment.
    async fn owner_within(
        self: &Arc<Self>,
        slot: u16,
        deadline: Instant,
    ) -> Result<Arc<Shared>, Error> {
        loop {
            if let Some(owner) = self.owner(slot) {
                return Ok(owner);
            }
            self.map_within(deadline).await?;
            if let Some(owner) = self.owner(slot) {
                return Ok(owner);
            }
            if Instant::now() + PAUSE >= deadline {
                return Err(no_node());
            }
            sleep(PAUSE).await;
        }
    }

    /// The way to a node, which may be new.
    fn node(self: &Arc<Self>, address: &Address) -> Arc<Shared> {
        if let Some(node) = self.nodes().by_address.get(address) {
            return Arc::clone(node);
        }
        self.change(|nodes| {
            let node = nodes.by_address.entry(address.clone());
            Arc::clone(node.or_insert_with(|| Arc::new(self.connecting_to(address))))
        })
    }

    fn connecting_to(&self, address: &Address) -> Shared {
        let info = at(&self.seeds[0], address);
        Shared::new(To::Node(info), &self.settings)
    }

    /// Notes that a slot is another node's now.
    fn moved(self: &Arc<Self>, slot: u16, address: &Address) -> Arc<Shared> {
        let node = self.node(address);
        let before = self.owner(slot);
        self.change(|nodes| nodes.map.moved(slot, Arc::clone(&node)));
        // What was copied under the owner of before is not heard of any more.
        for changed in before.iter().chain([&node]) {
            changed.forget_copies();
        }
        node
    }

    /// Forgets that a slot moved to this node, which cannot be reached. Who said so may be wrong, and would
    /// keep the slot from everybody until the next map.
    fn doubt(&self, slot: u16, node: &Arc<Shared>) {
        let is_it = |other: &Arc<Shared>| Arc::ptr_eq(other, node);
        self.change(|nodes| nodes.map.doubt(slot, is_it));
    }

    fn change<R>(&self, what: impl FnOnce(&mut Nodes) -> R) -> R {
        let mut nodes = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let mut new = Nodes {
            epoch: nodes.epoch,
            map: nodes.map.clone(),
            by_address: nodes.by_address.clone(),
        };
        let result = what(&mut new);
        *nodes = Arc::new(new);
        result
    }

    /// Takes over a map.
    fn take(self: &Arc<Self>, epoch: u64, ranges: Vec<Range>) {
        let old = self.nodes();
        let ranges = ranges.into_iter().map(|(first, last, address)| {
            let node = self.node(&address);
            node.warm();
            (first, last, address, node)
        });
        let ranges: Vec<_> = ranges.collect();
        let by_address = ranges
            .iter()
            .map(|(_, _, address, node)| (address.clone(), Arc::clone(node)));
        let by_address: HashMap<_, _> = by_address.collect();
        let map = Map::new(
            ranges
                .into_iter()
                .map(|(first, last, _, node)| (first, last, node))
                .collect(),
        );
        let nodes = Nodes {
            epoch,
            map,
            by_address,
        };
        let changed: Vec<_> = old
            .map
            .nodes()
            .chain(nodes.map.nodes())
            .filter(|node| {
                let is_it = |other: &Arc<Shared>| Arc::ptr_eq(other, node);
                old.map.slots_of(is_it) != nodes.map.slots_of(is_it)
            })
            .map(Arc::clone)
            .collect();
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(nodes);
        for node in changed {
            node.forget_copies();
        }
    }

    /// Asks for the map and waits for it.
    async fn map_within(self: &Arc<Self>, deadline: Instant) -> Result<(), Error> {
        let Some(asking) = self.ask_for_map() else {
            return Ok(());
        };
        let asked = timeout_at(deadline, asking.end()).await;
        asked.map_err(|_| timed_out(false))?
    }

    /// Asks for the map, unless it was just asked for.
    fn ask_for_map(self: &Arc<Self>) -> Option<Flight> {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(under_way) = asking.flight.under_way() {
            return Some(under_way);
        }
        let is_new = |answered: Instant| answered.elapsed() < MAP_TRUSTED_FOR;
        if asking.answered.is_some_and(is_new) {
            return None;
        }
        // If it fails, the next one who needs it may try at once.
        asking.answered = None;
        let inner = Arc::clone(self);
        let flight = asking.flight.begin(async move {
            let (epoch, ranges) = inner.asked_for_map().await?;
            inner.take(epoch, ranges);
            let mut asking = inner.asking.lock().unwrap_or_else(PoisonError::into_inner);
            asking.answered = Some(Instant::now());
            Ok(())
        });
        Some(flight)
    }

    /// Asks several nodes at once, so that one that is frozen costs no time.
    async fn asked_for_map(self: &Arc<Self>) -> Result<(u64, Vec<Range>), Error> {
        let known = self.nodes();
        let mut nodes: Vec<_> = known.by_address.values().map(Arc::clone).collect();
        let mut result = Err(no_node());
        if !nodes.is_empty() {
            result = newest_map(
                nodes.split_off(nodes.len().saturating_sub(ASKED_AT_ONCE)),
                known.epoch,
            )
            .await;
        }
        if result.is_err() {
            // Only to ask: they may be named otherwise there.
            let settings = Settings {
                near: None,
                wait_replicas: 0,
                ..self.settings
            };
            let to_ask = |seed: &ConnectionInfo| {
                let to = To::Node(seed.clone());
                Arc::new(Shared::new(to, &settings))
            };
            let seeds = self.seeds.iter().map(to_ask).collect();
            result = newest_map(seeds, known.epoch).await;
        }
        result
    }
}

/// The newest map that these nodes tell, and its epoch. One of the epoch `known` is new enough.
async fn newest_map(nodes: Vec<Arc<Shared>>, known: u64) -> Result<(u64, Vec<Range>), Error> {
    let mut asked = JoinSet::new();
    for node in nodes {
        asked.spawn(async move { told_map(&node).await });
    }
    let mut choice = Choice::new(known);
    let mut result = Err(no_node());
    let mut until = Instant::now() + MAP_TIMEOUT;
    while let Ok(Some(answer)) = timeout_at(until, asked.join_next()).await {
        match answer {
            Ok(Ok(Some((state, ranges)))) => {
                if choice.hear(state, ranges) {
                    break;
                }
                until = until.min(Instant::now() + NEWER_WITHIN);
            }
            Ok(Err(error)) if refused(&error).is_some_and(|refused| refused.code == "ERR") => {
                result = Err(not_a_cluster());
            }
            Ok(Err(error)) => result = Err(error),
            Ok(Ok(None)) | Err(_) => {}
        }
    }
    choice.best().map_or(result, Ok)
}

/// How a node sees its cluster, and which slots are where; `None` if it knows of no slots.
async fn told_map(node: &Arc<Shared>) -> Result<Option<(State, Vec<Range>)>, Error> {
    let deadline = Instant::now() + MAP_TIMEOUT;
    let about = |what| redis::cmd("CLUSTER").arg(what).take();
    let (info, slots) = (about("INFO"), about("SLOTS"));
    // In this order, so that the map is no older than the epoch.
    let (info, slots) = tokio::join!(node.ask(&info, deadline), node.ask(&slots, deadline));
    let ranges = map::read(slots?, &node.host());
    let ranges = ranges.filter(|ranges| !ranges.is_empty());
    let info = String::from_redis_value(info?).unwrap_or_default();
    Ok(ranges.map(|ranges| (State::read(&info), ranges)))
}
