//! A cluster: which node has a key, and what to do if the key has moved.
//!
//! Each node has its own connection, deadline, clock and copies, so a frozen node delays only its own keys.
//! The store may follow a refusal (MOVED, ASK), but it never resends a change that may have happened.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use deadpool_redis::redis::{self, ConnectionInfo, FromRedisValue as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::map::{Map, Range};
use self::route::{Advice, Choice, State, advice};
use self::time::ClusterTime;
use super::dial::{Address, To, at};
use super::error::{no_node, not_a_cluster, refused, timed_out};
use super::flight::{Flight, SingleFlight};
use super::servers::{Answer, Request, Settings, Skew};
use super::shared::Shared;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::users::Mark;

pub(crate) mod map;
pub(crate) mod route;
mod time;

const MAP_TIMEOUT: Duration = Duration::from_secs(1);

/// After a map that may be old, how long to wait for a newer one.
const NEWER_WITHIN: Duration = Duration::from_millis(100);

const MAP_TRUSTED_FOR: Duration = Duration::from_millis(100);

/// How often a waiting call checks whether another node now has its key.
const PATIENCE: Duration = Duration::from_millis(200);

const PAUSE: Duration = Duration::from_millis(20);

/// In microseconds: the most by which the estimate of a node's clock falls in two seconds.
const MARK_SLACK: u64 = 1000;

const ASKED_AT_ONCE: usize = 5;

pub(super) struct Cluster(Arc<Inner>);

struct Inner {
    /// The configured nodes.
    seeds: Vec<ConnectionInfo>,
    settings: Settings,
    map: RwLock<Arc<Nodes>>,
    time: ClusterTime,
    asking: Mutex<Asking>,
}

#[derive(Clone, Default)]
struct Nodes {
    epoch: u64,
    map: Map<Arc<Shared>>,
    by_address: HashMap<Address, Arc<Shared>>,
}

#[derive(Default)]
struct Asking {
    flight: SingleFlight,
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

    pub(super) async fn run(
        &self,
        request: Request<'_>,
        key: &str,
        deadline: Instant,
    ) -> Result<Answer, Error> {
        let inner = &self.0;
        let slot = map::slot(key);
        let (mut next, mut failed, mut waited_for) = (None, None, None);
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
                // The reason for waiting says more than a timeout.
                Advice::LookAgain if is_over => return waited_for.map_or(answer, Err),
                _ if is_over => return answer,
                Advice::Moved(address) => {
                    let owner = inner.moved(slot, &address);
                    // Two nodes that name each other have not agreed yet.
                    if failed.replace(shared).is_some() {
                        sleep(PAUSE).await;
                    }
                    next = Some((owner, false));
                    inner.ask_for_map();
                }
                Advice::Ask(address) => next = Some((inner.node(&address), true)),
                Advice::Wait => {
                    waited_for = answer.err();
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

    pub(super) fn owner(&self, key: &str) -> Option<Arc<Shared>> {
        self.0.owner(map::slot(key))
    }

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

    /// This process's own time. Each node's clock counts only for its own keys.
    pub(super) fn present(&self) -> Mark {
        Mark::new(self.0.time.local())
    }

    pub(super) fn is_time_known(&self) -> bool {
        !self.0.times().is_empty()
    }

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
    /// Until the node answers, this keeps checking for a new owner.
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
                // Its skew is known only once it is connected.
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

    fn skew(&self, shared: &Shared) -> Skew {
        let there = shared.time().micros().unwrap_or_default();
        let ahead = self.time.ahead_of_it(there, || self.times());
        let local = i64::try_from(self.time.local()).unwrap_or(i64::MAX);
        Skew {
            // Rounded down: a deadline is never late.
            millis: ahead.div_euclid(1000),
            micros: i64::try_from(there)
                .unwrap_or(i64::MAX)
                .saturating_sub(local),
            slack: MARK_SLACK,
        }
    }

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

    /// A cluster that is being changed may lack an owner for a moment.
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

    fn moved(self: &Arc<Self>, slot: u16, address: &Address) -> Arc<Shared> {
        let node = self.node(address);
        let before = self.owner(slot);
        self.change(|nodes| nodes.map.moved(slot, Arc::clone(&node)));
        // The previous owner's invalidations no longer arrive.
        for changed in before.iter().chain([&node]) {
            changed.forget_copies();
        }
        node
    }

    /// Forgets that a slot moved to this unreachable node. A wrong redirection would otherwise keep the slot
    /// from everybody until the next map.
    fn doubt(&self, slot: u16, node: &Arc<Shared>) {
        let is_it = |other: &Arc<Shared>| Arc::ptr_eq(other, node);
        self.change(|nodes| nodes.map.doubt(slot, is_it));
    }

    fn change<R>(&self, what: impl FnOnce(&mut Nodes) -> R) -> R {
        let mut nodes = self.map.write().unwrap_or_else(PoisonError::into_inner);
        what(Arc::make_mut(&mut nodes))
    }

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

    async fn map_within(self: &Arc<Self>, deadline: Instant) -> Result<(), Error> {
        let Some(asking) = self.ask_for_map() else {
            return Ok(());
        };
        let asked = timeout_at(deadline, asking.end()).await;
        asked.map_err(|_| timed_out(false))?
    }

    /// `None`: the map is fresh.
    fn ask_for_map(self: &Arc<Self>) -> Option<Flight> {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(under_way) = asking.flight.under_way() {
            return Some(under_way);
        }
        let is_new = |answered: Instant| answered.elapsed() < MAP_TRUSTED_FOR;
        if asking.answered.is_some_and(is_new) {
            return None;
        }
        // If this fails, the next caller may retry at once.
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

    /// Asks several nodes at once: one may be frozen.
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
            // Only for this question: the cluster may use other names for them.
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

/// The newest map that these nodes tell. One of the epoch `known` is new enough.
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

/// `None` if the node knows of no slots.
async fn told_map(node: &Arc<Shared>) -> Result<Option<(State, Vec<Range>)>, Error> {
    let deadline = Instant::now() + MAP_TIMEOUT;
    let about = |what| redis::cmd("CLUSTER").arg(what).take();
    let (info, slots) = (about("INFO"), about("SLOTS"));
    // In this order, so the map is no older than the epoch.
    let (info, slots) = tokio::join!(node.ask(&info, deadline), node.ask(&slots, deadline));
    let ranges = map::read(slots?, &node.host());
    let ranges = ranges.filter(|ranges| !ranges.is_empty());
    let info = String::from_redis_value(info?).unwrap_or_default();
    Ok(ranges.map(|ranges| (State::read(&info), ranges)))
}
