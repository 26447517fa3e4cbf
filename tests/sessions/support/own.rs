use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use rocket::{Build, Rocket};
use session_core::store::memory::MemoryStore;
use session_core::testing::{Fault, FaultyStore, Moment};

use super::cluster::Cluster;
use super::http::Server;
use super::redis::RedisServer;

/// The call fails and is not done.
pub(crate) const REFUSED: Fault = Fault::Fail(Moment::Before);
/// The call is done, and its answer is lost.
pub(crate) const UNHEARD: Fault = Fault::Fail(Moment::After);

pub(crate) fn faulty() -> Arc<FaultyStore> {
    Arc::new(FaultyStore::new(MemoryStore::new()))
}

pub(crate) fn quiet() -> Rocket<Build> {
    rocket::custom(rocket::Config::figment().merge(("log_level", "off")))
}

pub(crate) fn configured(rocket: Rocket<Build>, key: &str, value: &str) -> Rocket<Build> {
    let figment = rocket.figment().clone().merge((key, value));
    rocket.configure(figment)
}

/// Runs a test on every kind of store, each time with `build` applied to a rocket.
pub(crate) async fn on_all_stores(
    build: impl Fn(Rocket<Build>) -> Rocket<Build>,
    test: impl AsyncFn(Server),
) {
    static PREFIXES: AtomicUsize = AtomicUsize::new(0);
    eprintln!("in memory:");
    test(Server::launch(build(quiet())).await).await;
    eprintln!("on Redis:");
    let redis = RedisServer::start();
    let rocket = configured(quiet(), "databases.sessions.url", &redis.url());
    test(Server::launch(build(rocket)).await).await;
    eprintln!("on a cluster:");
    let prefix = format!("{}:", PREFIXES.fetch_add(1, Ordering::Relaxed));
    let rocket = configured(quiet(), "sessions.prefix", &prefix);
    let figment = rocket.figment().clone();
    let rocket = rocket.configure(figment.merge(("databases.sessions.urls", CLUSTER.urls())));
    test(Server::launch(build(rocket)).await).await;
}

/// Shared by tests that only use it. The nodes' clocks are half an hour apart, because nothing may depend on
/// a common clock.
pub(crate) static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    let offsets = [None, Some("+31m"), Some("-29m")];
    Cluster::start_with_clocks([offsets, offsets].concat().try_into().unwrap())
});
