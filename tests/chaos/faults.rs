use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::app::HASTY;
use super::fleet::PROCESSES;
use super::ledger::{Fault, Weather, What};
use super::support::http::{Connection, Jar, Request};
use super::support::process::wait_for;
use super::topology::{Kind, SHARDS, Topology};
use super::world::World;

/// How many requests run, at least, when a process gets SIGTERM.
const WAITING: usize = 4;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    /// The pause between two faults.
    pub(crate) calm: Duration,
    /// `None`: a short run.
    pub(crate) until: Option<Instant>,
    /// The two short runs share the faults.
    pub(crate) waits: bool,
}

impl Plan {
    fn faults(&self) -> &'static [Fault] {
        match (self.kind, self.until, self.waits) {
            (Kind::Node, ..) => &[Fault::Cut, Fault::Freeze, Fault::Kill],
            (_, Some(_), _) => &[Fault::Cut, Fault::Planned, Fault::Freeze, Fault::Kill],
            (Kind::Cluster, None, false) => &[Fault::Cut, Fault::Planned, Fault::Freeze],
            (Kind::Sentinel, None, false) => &[Fault::Freeze],
            (Kind::Cluster, None, true) => &[Fault::Kill],
            (Kind::Sentinel, None, true) => &[Fault::Cut, Fault::Kill],
        }
    }

    fn restarts(&self) -> usize {
        match self.until {
            Some(_) => PROCESSES,
            None => 1,
        }
    }

    pub(crate) fn run(&self, world: &World, topology: &mut Topology, handle: &Handle) {
        let mut epoch = topology.epoch();
        self.step(world, topology, &mut epoch, Fault::None, 0, handle);
        self.step(world, topology, &mut epoch, Fault::Rolling, 0, handle);
        for round in 0.. {
            for fault in self.faults() {
                self.step(world, topology, &mut epoch, Fault::None, 0, handle);
                let shard = round % SHARDS;
                self.step(world, topology, &mut epoch, *fault, shard, handle);
            }
            if self.until.is_none_or(|until| Instant::now() > until) {
                break;
            }
        }
        self.step(world, topology, &mut epoch, Fault::None, 0, handle);
    }

    fn step(
        &self,
        world: &World,
        topology: &mut Topology,
        epoch: &mut u64,
        fault: Fault,
        shard: usize,
        handle: &Handle,
    ) {
        let is_replaced = matches!(fault, Fault::Freeze | Fault::Kill) && self.kind != Kind::Node;
        let is_lossy = fault == Fault::Planned && !self.kind.hands_over();
        let is_one_of_several = self.kind == Kind::Cluster
            && matches!(fault, Fault::Planned | Fault::Freeze | Fault::Kill);
        let number = {
            let mut entries = world.ledger.entries();
            entries.weather.push(Weather {
                fault,
                shard: is_one_of_several.then_some(shard),
                from: Instant::now(),
                hit: None,
                until: None,
                replaces: is_replaced || is_lossy,
            });
            entries.weather.len() - 1
        };
        let hit = || world.ledger.entries().weather[number].hit = Some(Instant::now());
        match fault {
            Fault::None => std::thread::sleep(self.calm),
            Fault::Rolling => {
                hit();
                (0..self.restarts()).for_each(|process| restart(world, process, handle));
            }
            Fault::Cut => {
                hit();
                topology.cut();
            }
            Fault::Planned => {
                hit();
                topology.fail_over(shard);
            }
            Fault::Freeze => topology.freeze(shard, hit),
            Fault::Kill => topology.kill(shard, hit),
        }
        let now = topology.epoch();
        let failovers = now.saturating_sub(std::mem::replace(epoch, now));
        let expected = u64::from(is_replaced || fault == Fault::Planned);
        let mut entries = world.ledger.entries();
        let weather = &mut entries.weather[number];
        weather.until = Some(Instant::now());
        // On a slow machine, servers may declare each other dead.
        if failovers > expected {
            eprintln!("chaos: {failovers} failovers, not {expected}, in {fault:?}");
            weather.replaces = true;
        }
    }
}

/// Ends a process by SIGTERM while requests run in it, and starts another. Those requests must be answered
/// 200 and stored.
fn restart(world: &World, process: usize, handle: &Handle) {
    let waiting: Vec<_> = (0..WAITING)
        .map(|_| handle.block_on(begin(world)))
        .collect();
    let address = world.fleet.address(process).unwrap();
    let since = Instant::now();
    let sent = waiting.into_iter().map(|jar| {
        let request = Request::post("/slow", &[]).cookies(&jar);
        let sending = handle.spawn(async move {
            let mut connection = Connection::open(address).await.ok()?;
            connection.try_send(&request).await
        });
        (jar, sending)
    });
    let sent: Vec<_> = sent.collect();
    wait_for("requests that are under way", || {
        let asked = handle.block_on(async {
            let mut connection = Connection::open(address).await.ok()?;
            connection.try_send(&Request::get("/waiting")).await
        });
        let waiting: usize = asked?.text().parse().ok()?;
        (waiting >= WAITING).then_some(())
    });
    world.fleet.tell_to_end(process);
    for (jar, sending) in sent {
        let response = handle.block_on(sending).unwrap();
        let status = response.map(|response| response.status);
        if status != Some(200) {
            let text = format!("NOT ANSWERED: {status:?} for a request under way at SIGTERM");
            world.ledger.find(What::Never, since, text);
            continue;
        }
        let (world, views) = (world.clone(), Arc::new(jar));
        let views = handle.block_on(async move {
            let request = Request::get("/read").cookies(&views);
            let reply = world.fleet.send(process + 1, &request).await;
            reply
                .response
                .map(|response| response.json()["views"].as_u64())
        });
        world.ledger.entries().counts.finished += 1;
        if views != Some(Some(2)) {
            let text = format!("LOST: what was under way at SIGTERM ({views:?} views, not 2)");
            world.ledger.find(What::Never, since, text);
        }
    }
    let (begun, answered, log) = world.fleet.replace(process);
    let mut entries = world.ledger.entries();
    entries.counts.hasty_ends += u64::from(log.contains(HASTY));
    drop(entries);
    if begun != answered {
        let text = format!("NOT ANSWERED: of {begun} requests that were begun, {answered} are");
        world.ledger.find(What::Never, since, text);
    }
}

async fn begin(world: &World) -> Jar {
    let reply = world.fleet.send(0, &Request::post("/count", &[])).await;
    let mut jar = Jar::default();
    if let Some(response) = reply.response {
        jar.keep(&response);
    }
    jar
}
