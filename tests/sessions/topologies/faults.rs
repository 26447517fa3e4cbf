//! A cluster under load whose nodes freeze, stop and change roles.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rocket_typed_session::store::RedisStore;
use session_core::store::Store as _;
use tokio::task::JoinHandle;

use super::cluster::one_on_each;
use super::*;
use crate::support::cluster::Cluster;
use crate::support::process::{PATIENCE, wait_for};
use crate::support::redis::Setup;

/// How long a request may take, and how late an answer may be on a busy machine.
const DEADLINE: Duration = Duration::from_secs(1);
const SLACK: Duration = Duration::from_millis(700);

async fn on(cluster: &Cluster) -> Server {
    let rocket = rocket([("urls", Value::Texts(cluster.urls()))]);
    launch(with(rocket, "timeout", "1s")).await
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Views answered 200.
    done: usize,
    /// Views answered 503: done once or not at all.
    unknown: usize,
    slowest: Duration,
    /// From the first 503 to the first 200 after the last one.
    out_for: Duration,
}

impl Tally {
    /// Nothing that was answered is lost, and nothing done twice.
    fn assert_counts(&self, views: usize) {
        let possible = self.done..=self.done + self.unknown;
        assert!(possible.contains(&views), "{views} of {self:?}");
    }
}

/// Views until it is stopped and the last view is answered 200.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    /// Views answered 200 so far.
    done: Arc<AtomicUsize>,
    viewing: JoinHandle<(Browser, Tally)>,
}

impl Load {
    pub(super) fn start(mut browser: Browser) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let done = Arc::new(AtomicUsize::new(0));
        let done_so_far = Arc::clone(&done);
        let viewing = tokio::spawn(async move {
            let mut tally = Tally::default();
            let mut out_since = None;
            let began = Instant::now();
            loop {
                let sent = Instant::now();
                let (status, text) = view(&mut browser).await;
                tally.slowest = tally.slowest.max(sent.elapsed());
                match status {
                    200 => {
                        tally.done += 1;
                        done_so_far.store(tally.done, Ordering::Relaxed);
                        if let Some(since) = out_since {
                            tally.out_for = Instant::duration_since(&Instant::now(), since);
                        }
                        if is_over.load(Ordering::Relaxed) {
                            return (browser, tally);
                        }
                    }
                    503 => {
                        tally.unknown += 1;
                        out_since.get_or_insert(sent);
                    }
                    _ => panic!("{status} {text}"),
                }
                assert!(began.elapsed() < 3 * PATIENCE, "{tally:?}");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        Self {
            stop,
            done,
            viewing,
        }
    }

    pub(super) async fn end(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let (mut browser, tally) = self.viewing.await.unwrap();
        let views = browser.get("/result").await.text();
        let views = views
            .strip_prefix("views=")
            .unwrap()
            .parse::<usize>()
            .unwrap();
        // One was seen before the load began.
        tally.assert_counts(views - 1);
        tally
    }
}

async fn meanwhile(cluster: Cluster, what: impl FnOnce(&mut Cluster) + Send + 'static) -> Cluster {
    let doing = tokio::task::spawn_blocking(move || {
        let mut cluster = cluster;
        what(&mut cluster);
        cluster
    });
    doing.await.unwrap()
}

async fn loads(server: &Server, cluster: &Cluster) -> Vec<Load> {
    let browsers = one_on_each(server, cluster).await;
    browsers.into_iter().map(Load::start).collect()
}

async fn ended(loads: Vec<Load>) -> Vec<Tally> {
    let mut tallies = Vec::new();
    for load in loads {
        tallies.push(load.end().await);
    }
    tallies
}

fn assert_undisturbed(tally: &Tally) {
    assert_eq!(tally.unknown, 0, "{tally:?}");
    assert!(tally.slowest < DEADLINE, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_planned_failover_refuses_nothing() {
    let cluster = Cluster::start();
    let server = on(&cluster).await;
    let loads = loads(&server, &cluster).await;
    let _cluster = meanwhile(cluster, |cluster| {
        for replica in [3, 4, 5] {
            cluster.fail_over(replica);
        }
        cluster.wait_until_settled();
        cluster.fail_over(0);
    })
    .await;
    for tally in ended(loads).await {
        eprintln!("{tally:?}");
        assert!(tally.slowest < DEADLINE + SLACK, "{tally:?}");
        assert_eq!(tally.unknown, 0, "{tally:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_frozen_master_holds_up_its_own_keys_only_and_is_replaced() {
    let cluster = Cluster::start();
    let server = on(&cluster).await;
    let loads = loads(&server, &cluster).await;
    let _cluster = meanwhile(cluster, |cluster| {
        cluster.node(0).pause();
        cluster.wait_for_failover(0);
        // What it says when it is back is not trusted.
        cluster.node(0).resume();
        cluster.wait_until_settled();
    })
    .await;
    let tallies = ended(loads).await;
    eprintln!("{tallies:?}");
    assert!(tallies[0].slowest < DEADLINE + SLACK, "{tallies:?}");
    assert_undisturbed(&tallies[1]);
    assert_undisturbed(&tallies[2]);
}

/// It waits for the node that takes over, not for the frozen one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_that_has_time_goes_to_the_node_that_has_taken_over() {
    let cluster = Cluster::start();
    let rocket = rocket([("urls", Value::Texts(cluster.urls()))]);
    let server = launch(with(rocket, "timeout", "25s")).await;
    let mut browsers = one_on_each(&server, &cluster).await;
    cluster.node(0).pause();
    assert_eq!(view(&mut browsers[0]).await, (200, "2".into()));
    assert_ne!(cluster.master_of(&key(&mut browsers[0]).await), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_master_that_thaws_before_it_is_replaced_is_used_again() {
    let cluster = Cluster::start_with(|_| Setup::default());
    for node in cluster.nodes() {
        node.command::<()>(&["CONFIG", "SET", "cluster-node-timeout", "60000"]);
    }
    let server = on(&cluster).await;
    let mut browsers = one_on_each(&server, &cluster).await;
    cluster.node(0).pause();
    let sent = Instant::now();
    assert_eq!(view(&mut browsers[0]).await.0, 503);
    assert!(sent.elapsed() < DEADLINE + SLACK);
    assert_eq!(view(&mut browsers[1]).await, (200, "2".into()));
    assert_eq!(view(&mut browsers[2]).await, (200, "2".into()));
    cluster.node(0).resume();
    assert_eq!(view(&mut browsers[0]).await, (200, "2".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_master_that_ends_is_replaced_and_its_sessions_go_on() {
    let cluster = Cluster::start();
    let server = on(&cluster).await;
    let mut browsers = one_on_each(&server, &cluster).await;
    // Redis itself may lose what no replica has yet.
    cluster.wait_until_settled();
    let cluster = meanwhile(cluster, |cluster| {
        cluster.stop(0);
    })
    .await;
    assert_eq!(view(&mut browsers[0]).await.0, 503);
    assert_eq!(view(&mut browsers[1]).await, (200, "2".into()));
    let loads: Vec<_> = browsers.into_iter().map(Load::start).collect();
    let mut cluster = meanwhile(cluster, |cluster| {
        cluster.wait_for_failover(0);
    })
    .await;
    cluster.restart(0);
    let _cluster = meanwhile(cluster, |cluster| cluster.wait_until_settled()).await;
    for load in loads {
        load.stop.store(true, Ordering::Relaxed);
        let (_, tally) = load.viewing.await.unwrap();
        eprintln!("{tally:?}");
        assert!(tally.slowest < DEADLINE + SLACK, "{tally:?}");
    }
}

/// A cut connection may have delivered an update, so it is not sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_that_are_cut_under_load_double_nothing() {
    let cluster = Cluster::start();
    let rocket = rocket([("urls", Value::Texts(cluster.urls()))]);
    // A request that is cut off is answered when its update can no longer land.
    let server = launch(with(rocket, "timeout", "200ms")).await;
    let loads = loads(&server, &cluster).await;
    let done: Vec<_> = loads.iter().map(|load| Arc::clone(&load.done)).collect();
    let _cluster = meanwhile(cluster, move |cluster| {
        wait_for("views between the cuts", || {
            for node in cluster.nodes() {
                node.end_connections();
            }
            let enough = |done: &Arc<AtomicUsize>| done.load(Ordering::Relaxed) > 40;
            done.iter().all(enough).then_some(())
        });
    })
    .await;
    let tallies = ended(loads).await;
    let unknown: usize = tallies.iter().map(|tally| tally.unknown).sum();
    assert!(unknown > 0, "no cut met a view: {tallies:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_whose_clock_is_set_fails_no_request_and_logs_nobody_out() {
    let cluster = Cluster::start_with_clocks([Some("+0"); 6]);
    let server = on(&cluster).await;
    let loads = loads(&server, &cluster).await;
    let _cluster = meanwhile(cluster, |cluster| {
        for offset in ["+20m", "-20m", "+0", "-1s", "+1s"] {
            cluster.node(0).clock().set(offset);
            // Time for several requests to hear of it.
            std::thread::sleep(Duration::from_millis(300));
        }
    })
    .await;
    for tally in ended(loads).await {
        assert_undisturbed(&tally);
        assert!(tally.done > 50, "{tally:?}");
    }
}

/// What a node had before it lost a slot does not count when it has the slot again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn copies_do_not_outlive_a_slot_that_came_back() {
    const LONG: Duration = Duration::from_secs(60);
    let cluster = Cluster::start();
    let rocket = rocket([("urls", Value::Texts(cluster.urls()))]);
    let server = launch(with(rocket, "near", "1min")).await;
    let mut browser = server.browser();
    view(&mut browser).await;
    let key = key(&mut browser).await;
    let (slot, from) = (cluster.slot_of(&key), cluster.master_of(&key));
    assert!(browser.get("/read").await.text().starts_with("views=1"));
    let other = launch(super::rocket([("urls", Value::Texts(cluster.urls()))])).await;
    let mut elsewhere = browser.clone();
    elsewhere.go_to(other.address());
    cluster.move_slot(slot, (from + 1) % 3);
    assert_eq!(view(&mut elsewhere).await, (200, "2".into()));
    cluster.move_slot(slot, from);
    assert!(browser.get("/read").await.text().starts_with("views=2"));
    // After two failovers, the process may have heard only of the second.
    cluster.fail_over(cluster.replica_of(from));
    assert_eq!(view(&mut elsewhere).await, (200, "3".into()));
    cluster.wait_until_settled();
    cluster.fail_over(from);
    cluster.wait_until_settled();
    let read = browser.get("/read").await.text();
    assert!(read.starts_with("views=3"), "{read}");
    let store = RedisStore::cluster(cluster.urls())
        .unwrap()
        .near_cache(LONG);
    store.ping().await.unwrap();
    assert!(store.describe().contains("60s"));
}
