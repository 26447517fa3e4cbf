//! A cluster in normal use, and while it is changed.

use std::collections::BTreeSet;

use rocket_typed_session::store::RedisStore;
use session_core::store::Store as _;

use super::*;
use crate::support::cluster::Cluster;

async fn on(cluster: &Cluster) -> Server {
    launch(rocket([("urls", Value::Texts(cluster.urls()))])).await
}

/// Browsers with a session on each of the masters 0, 1 and 2, and on their replicas: a failover would undo
/// what a replica does not have yet.
pub(super) async fn one_on_each(server: &Server, cluster: &Cluster) -> [Browser; 3] {
    let mut found = [const { None }; 3];
    while found.iter().any(Option::is_none) {
        let mut browser = server.browser();
        assert_eq!(view(&mut browser).await, (200, "1".into()));
        let key = key(&mut browser).await;
        let master = cluster.master_of(&key);
        let node = cluster.node(master);
        // Unknown fields are left alone.
        node.command::<i64>(&["HSET", &key, "written by the test", "1"]);
        node.command::<i64>(&["WAIT", "1", "0"]);
        found[master % 3].get_or_insert(browser);
    }
    found.map(Option::unwrap)
}

#[tokio::test]
async fn sessions_are_on_all_nodes_and_one_known_node_is_enough() {
    let cluster = Cluster::start();
    let one = vec![cluster.node(4).url()];
    let server = launch(rocket([("urls", Value::Texts(one))])).await;
    for browser in &mut one_on_each(&server, &cluster).await {
        assert_eq!(view(browser).await, (200, "2".into()));
        browser.post("/login/ann", &[]).await;
        assert!(browser.get("/read").await.text().contains("user=ann"));
        browser.post("/logout", &[]).await;
        assert!(browser.get("/read").await.text().contains("user=-"));
    }
}

#[tokio::test]
async fn the_launch_says_what_the_cluster_is_and_what_is_no_cluster() {
    let cluster = Cluster::start();
    let store = RedisStore::cluster(cluster.urls()).unwrap();
    store.ping().await.unwrap();
    assert_eq!(store.check().await.unwrap(), [""; 0]);
    let description = store.describe();
    assert!(description.contains("3 masters of"), "{description}");
    cluster
        .node(1)
        .command::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let faults = store.check().await.unwrap();
    let port = cluster.node(1).port().to_string();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].contains(&port) && faults[0].contains("allkeys-lru"),
        "{faults:?}"
    );

    let alone = crate::support::redis::RedisServer::start();
    let error = RedisStore::cluster([alone.url()])
        .unwrap()
        .ping()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("not a cluster"), "{error}");
}

/// Redirects are followed, and each request is done once.
#[tokio::test]
async fn a_slot_that_moves_loses_and_doubles_nothing() {
    let cluster = Cluster::start();
    let server = on(&cluster).await;
    let mut browser = server.browser();
    view(&mut browser).await;
    let key = key(&mut browser).await;
    let (slot, from) = (cluster.slot_of(&key), cluster.master_of(&key));
    let moving = cluster.begin_move(slot, (from + 1) % 3);
    // The key is where it was.
    assert_eq!(view(&mut browser).await, (200, "2".into()));
    moving.migrate_key(&key);
    // The key has moved to the other node, which answers only after ASKING.
    assert_eq!(view(&mut browser).await, (200, "3".into()));
    assert!(browser.get("/read").await.text().starts_with("views=3"));
    moving.finish();
    assert_eq!(view(&mut browser).await, (200, "4".into()));
    assert_ne!(cluster.master_of(&key), from);
    cluster.move_slot(slot, from);
    assert_eq!(view(&mut browser).await, (200, "5".into()));
    browser.post("/logout", &[]).await;
    assert_eq!(view(&mut browser).await, (200, "1".into()));
}

#[tokio::test]
async fn under_load_no_slot_that_moves_loses_or_doubles_anything() {
    const VIEWS: usize = 60;
    let cluster = Cluster::start();
    let server = on(&cluster).await;
    let mut browsers = one_on_each(&server, &cluster).await;
    let mut slots = BTreeSet::new();
    let mut loads = Vec::new();
    for browser in &mut browsers {
        slots.insert(cluster.slot_of(&key(browser).await));
        loads.extend((0..4).map(|_| {
            let mut browser = browser.clone();
            tokio::spawn(async move {
                for _ in 0..VIEWS {
                    assert_eq!(browser.get("/view").await.status, 200);
                }
            })
        }));
    }
    let moves = tokio::task::spawn_blocking(move || {
        for turn in 1..=4 {
            for slot in &slots {
                let to = (cluster.owner_of(*slot) + turn % 2 + 1) % 3;
                cluster.move_slot(*slot, to);
            }
        }
        cluster
    });
    for load in loads {
        load.await.unwrap();
    }
    let _cluster = moves.await.unwrap();
    for browser in &mut browsers {
        let expected = format!("views={}", 1 + 4 * VIEWS);
        assert_eq!(browser.get("/result").await.text(), expected);
    }
}
