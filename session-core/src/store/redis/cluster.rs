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

use deadpool_redis::redis::{self, ConnectionInfo};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::map::{Address, Map};
use self::time::ClusterTime;
use super::dial::To;
use super::error::{no_node, not_a_cluster, refused, timed_out};
use super::sentinel::at;
use super::servers::{Answer, Request, Settings, Skew};
use super::shared::Shared;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::users::Mark;

mod map;
mod time;

/// How long a node may take to say who has which slot.
const MAP_TIMEOUT: Duration = Duration::from_secs(1);

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
    map: Map<Arc<Shared>>,
    /// By host and port.
    by_address: HashMap<Address, Arc<Shared>>,
}

/// Asking for the map, once for all who want it.
#[derive(Default)]
struct Asking {
    under_way: Option<watch::Receiver<Outcome>>,
    ended: Option<Instant>,
}

/// What became of asking; `None` while it is under way.
type Outcome = Option<Result<(), Error>>;

/// What a node's refusal asks for.
enum Advice {
    /// The slot is another node's.
    Moved(Address),
    /// This one key is at another node, which is just getting the slot.
    Ask(Address),
    /// The cluster is about to sort it out.
    Wait,
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
            match advice(error, &shared) {
                _ if is_over => return answer,
                Some(Advice::Moved(address)) => {
                    let owner = inner.moved(slot, &address);
                    // Two nodes that each name the other one have not agreed yet.
                    if failed.replace(shared).is_some() {
                        sleep(PAUSE).await;
                    }
                    next = Some((owner, false));
                    inner.ask_for_map();
                }
                Some(Advice::Ask(address)) => next = Some((inner.node(&address), true)),
                Some(Advice::Wait) => {
                    inner.ask_for_map();
                    sleep(PAUSE).await;
                }
                None if refused(error).is_some() => return answer,
                None if error.is_unknown() => {
                    inner.ask_for_map();
                    return answer;
                }
                None => {
                    // It was not done, so if another node has the key by now, that one is asked.
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

    fn change<R>(&self, what: impl FnOnce(&mut Nodes) -> R) -> R {
        let mut nodes = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let mut new = Nodes {
            map: nodes.map.clone(),
            by_address: nodes.by_address.clone(),
        };
        let result = what(&mut new);
        *nodes = Arc::new(new);
        result
    }

    /// Takes over a map.
    fn take(self: &Arc<Self>, ranges: Vec<(u16, u16, Address)>) {
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
        let nodes = Nodes { map, by_address };
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
        let Some(mut asking) = self.ask_for_map() else {
            return Ok(());
        };
        let outcome = timeout_at(deadline, asking.wait_for(Option::is_some)).await;
        let outcome = outcome.map_err(|_| timed_out(false))?;
        // The sender is gone without a word only if the runtime is shutting down.
        let outcome = outcome.map_err(|_| timed_out(false))?.clone();
        outcome.unwrap_or(Ok(()))
    }

    /// Asks for the map in a task of its own, unless it was just asked for.
    fn ask_for_map(self: &Arc<Self>) -> Option<watch::Receiver<Outcome>> {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        // One whose runtime has ended says nothing any more.
        let under_way = &mut asking.under_way;
        under_way.take_if(|under_way| under_way.has_changed().is_err());
        if let Some(under_way) = &asking.under_way {
            return Some(under_way.clone());
        }
        if asking
            .ended
            .is_some_and(|ended| ended.elapsed() < MAP_TRUSTED_FOR)
        {
            return None;
        }
        let (sender, receiver) = watch::channel(None);
        asking.under_way = Some(receiver.clone());
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            let ranges = inner.asked_for_map().await;
            let outcome = ranges.map(|ranges| inner.take(ranges));
            let mut asking = inner.asking.lock().unwrap_or_else(PoisonError::into_inner);
            asking.under_way = None;
            // Where it failed, the next one who needs it may try at once.
            asking.ended = outcome.is_ok().then(Instant::now);
            sender.send_replace(Some(outcome));
        });
        Some(receiver)
    }

    /// Asks several nodes at once, so that one that is frozen costs no time.
    async fn asked_for_map(self: &Arc<Self>) -> Result<Vec<(u16, u16, Address)>, Error> {
        let known = self.nodes();
        let known = known.by_address.iter();
        let mut nodes: Vec<_> = known
            .map(|(address, node)| (address.0.clone(), Arc::clone(node)))
            .collect();
        let mut result = Err(no_node());
        if !nodes.is_empty() {
            result = first_map(nodes.split_off(nodes.len().saturating_sub(ASKED_AT_ONCE))).await;
        }
        if result.is_err() {
            // Only to ask: they may be named otherwise there.
            let settings = Settings {
                near: None,
                wait_replicas: 0,
                ..self.settings
            };
            let seeds = self.seeds.iter().map(|seed| {
                let shared = Shared::new(To::Node(seed.clone()), &settings);
                (host(seed), Arc::new(shared))
            });
            result = first_map(seeds.collect()).await;
        }
        result
    }
}

/// The first map that one of these nodes answers.
async fn first_map(nodes: Vec<(String, Arc<Shared>)>) -> Result<Vec<(u16, u16, Address)>, Error> {
    let mut asked = JoinSet::new();
    for (host, node) in nodes {
        asked.spawn(async move {
            let command = redis::cmd("CLUSTER").arg("SLOTS").take();
            let deadline = Instant::now() + MAP_TIMEOUT;
            let ranges = map::read(node.ask(&command, deadline).await?, &host);
            Ok(ranges.filter(|ranges| !ranges.is_empty()))
        });
    }
    let mut result = Err(no_node());
    while let Some(answer) = asked.join_next().await {
        match answer {
            Ok(Ok(Some(ranges))) => return Ok(ranges),
            Ok(Err(error)) if refused(&error).is_some_and(|refused| refused.code == "ERR") => {
                result = Err(not_a_cluster());
            }
            Ok(Err(error)) => result = Err(error),
            Ok(Ok(None)) | Err(_) => {}
        }
    }
    result
}

fn host(info: &ConnectionInfo) -> String {
    let address = info.addr().to_string();
    let host = address.rsplit_once(':').map(|(host, _)| host.to_owned());
    host.unwrap_or(address)
}

/// What to do about a refusal of `shared`.
fn advice(error: &Error, shared: &Shared) -> Option<Advice> {
    let refused = refused(error)?;
    let redirect = || {
        let asked = shared.address();
        let (host, _) = asked.rsplit_once(':')?;
        map::address(refused.redirect.as_deref()?, host)
    };
    match refused.code.as_str() {
        "MOVED" => redirect().map(Advice::Moved),
        "ASK" => redirect().map(Advice::Ask),
        "TRYAGAIN" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "READONLY" => Some(Advice::Wait),
        _ => None,
    }
}
