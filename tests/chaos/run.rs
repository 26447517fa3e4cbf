use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::browser::Browser;
use super::faults::Plan;
use super::fleet::{Fleet, resident};
use super::graves::Graves;
use super::ledger::Ledger;
use super::options::Options;
use super::random::Random;
use super::topology::{Kind, Topology};
use super::world::World;

/// The users, and the browsers of each.
const USERS: u64 = 6;
const BROWSERS: usize = 3;

/// How many tasks share one browser of each user.
const SHARING: usize = 3;

const PAUSE: Duration = Duration::from_millis(if cfg!(debug_assertions) { 60 } else { 25 });

/// How often this process checks for its own delays.
const TICK: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) kind: Kind,
    pub(crate) wait_replicas: usize,
    pub(crate) began: Instant,
    pub(crate) took: Duration,
    pub(crate) ledger: Arc<Ledger>,
}

impl Run {
    pub(crate) async fn of(kind: Kind, wait_replicas: usize, options: &Options) -> Self {
        let mut topology = Topology::start(kind);
        let fleet = Arc::new(Fleet::start(topology.serve(wait_replicas)));
        let world = World {
            fleet,
            ledger: Arc::default(),
            graves: Arc::new(Graves::default()),
            is_over: Arc::new(AtomicBool::new(false)),
        };
        let began = Instant::now();
        let mut random = Random::new(1);
        let mut tasks = Vec::new();
        for user in 0..USERS {
            for browser in 0..BROWSERS {
                let browser = Browser {
                    world: world.clone(),
                    user: format!("user{user}"),
                    tasks: if browser == 0 { SHARING } else { 1 },
                    pause: PAUSE,
                    random: random.split(),
                };
                tasks.push(tokio::spawn(browser.run()));
            }
        }
        let (roaming, choices) = (world.clone(), random.split());
        tasks.push(tokio::spawn(async move {
            roaming.graves.roam(&roaming, choices).await;
        }));
        tasks.push(tokio::spawn(watch(world.clone())));
        let seconds = options.seconds.map(Duration::from_secs);
        let plan = Plan {
            kind,
            calm: Duration::from_millis(if seconds.is_some() { 1500 } else { 300 }),
            until: seconds.map(|seconds| began + seconds),
            waits: wait_replicas > 0,
        };
        let (driven, handle) = (world.clone(), Handle::current());
        let driving = tokio::task::spawn_blocking(move || {
            plan.run(&driven, &mut topology, &handle);
            topology
        });
        let topology = driving.await.unwrap();
        world.is_over.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await.unwrap();
        }
        let took = began.elapsed();
        world.graves.sweep(&world, random.split()).await;
        drop(topology);
        Self {
            kind,
            wait_replicas,
            began,
            took,
            ledger: world.ledger,
        }
    }
}

async fn watch(world: World) {
    let mut looked: Option<Instant> = None;
    while !world.is_over.load(Ordering::Relaxed) {
        let began = Instant::now();
        tokio::time::sleep(TICK).await;
        let late = began.elapsed().saturating_sub(2 * TICK);
        if !late.is_zero() {
            let held_up = (Instant::now(), late);
            world.ledger.entries().held_up.push(held_up);
        }
        if looked.is_none_or(|looked| looked.elapsed() > Duration::from_millis(250)) {
            let now = Instant::now();
            looked = Some(now);
            for id in world.fleet.ids() {
                if let Some(memory) = resident(id) {
                    let mut entries = world.ledger.entries();
                    entries.memory.entry(id).or_default().push((now, memory));
                }
            }
        }
    }
}
