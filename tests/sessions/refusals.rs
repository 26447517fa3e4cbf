//! A server refuses commands while an application runs: a 503 in time, nobody is logged out, and afterwards
//! all goes on without a restart.

use std::time::{Duration, Instant};

use log::Level;

use crate::site::{
    NOTHING, READS_ALONE, Site, alone_on_each_topology, on_each_topology,
    on_each_topology_but_a_cluster,
};
use crate::support::gateway::Says;
use crate::support::http::Request;
use crate::support::log::Log;
use crate::support::process::wait_for;
use crate::support::redis::{RedisServer, Setup};
use crate::support::servers::{Servers, Topology};

// A replica in a cluster answers MOVED instead, whatever it is asked.
on_each_topology_but_a_cluster!(
    a_server_that_has_become_a_replica_is_left,
    who_only_reads_finds_out_within_a_second_that_the_server_has_become_a_replica,
    a_replica_that_has_nothing_yet_ends_nobodys_session,
    a_replica_that_has_lost_its_master_is_an_outage,
);

on_each_topology!(
    a_master_that_misses_its_replicas_is_read_and_stores_nothing,
    a_server_that_cannot_save_its_data_is_read_and_stores_nothing,
    a_script_that_does_not_end_is_an_outage_until_it_is_killed,
    a_server_that_reads_its_dump_is_an_outage_until_it_has_read_it,
    a_server_that_begins_to_want_a_password_is_an_outage_until_it_stops,
    a_password_that_was_changed_is_an_outage_until_it_is_changed_back,
    a_permission_that_is_taken_away_is_missed_until_it_is_given_back,
    a_server_with_too_many_clients_is_an_outage_until_there_are_fewer,
    a_node_that_has_lost_its_slots_is_an_outage_until_it_has_them_again,
);

alone_on_each_topology!(whatever_a_server_refuses_is_a_503_and_named_in_the_log);

/// READONLY, as after a failover that the application has not heard of.
async fn a_server_that_has_become_a_replica_is_left(topology: Topology) {
    let mut site = Site::on(topology).await;
    // No master is at that address.
    let _: String = site.redis().command(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(site.browser.get("/view").await.status, 503);
    site.refused(NOTHING).await;
    let _: String = site.redis().command(&["REPLICAOF", "NO", "ONE"]);
    site.goes_on().await;
}

async fn who_only_reads_finds_out_within_a_second_that_the_server_has_become_a_replica(
    topology: Topology,
) {
    let mut site = Site::on(topology).await;
    let _: String = site.redis().command(&["REPLICAOF", "127.0.0.1", "1"]);
    let began = Instant::now();
    while site.browser.get("/read").await.status == 200 {
        assert!(began.elapsed() < Duration::from_secs(3));
    }
    site.refused(NOTHING).await;
}

/// A replica that is still copying is empty, so nothing it lacks may count as ended.
async fn a_replica_that_has_nothing_yet_ends_nobodys_session(topology: Topology) {
    let becomes_empty = |site: &Site, other: &RedisServer| {
        let port = other.port().to_string();
        let _: String = site.redis().command(&["REPLICAOF", "127.0.0.1", &port]);
        wait_for("a copy of nothing", || {
            site.redis().all_keys().is_empty().then_some(())
        });
    };
    let other = RedisServer::start();
    let mut site = Site::on(topology).await;
    becomes_empty(&site, &other);
    site.refused(NOTHING).await;
    for (method, path) in [("POST", "/slow/logout"), ("GET", "/slow/view")] {
        let site = Site::on(topology).await;
        let mut browser = site.browser.clone();
        let request = tokio::spawn(async move { browser.send(Request::new(method, path)).await });
        site.app.gate.entered().await;
        becomes_empty(&site, &other);
        site.app.gate.release();
        assert_eq!(request.await.unwrap().status, 503, "{path}");
    }
}

/// MASTERDOWN.
async fn a_replica_that_has_lost_its_master_is_an_outage(topology: Topology) {
    let mut site = Site::on(topology).await;
    site.set("replica-serve-stale-data", "no");
    let _: String = site.redis().command(&["REPLICAOF", "127.0.0.1", "1"]);
    site.refused(NOTHING).await;
    let _: String = site.redis().command(&["REPLICAOF", "NO", "ONE"]);
    site.goes_on().await;
}

/// NOREPLICAS: the server requires replicas for all clients.
async fn a_master_that_misses_its_replicas_is_read_and_stores_nothing(topology: Topology) {
    let mut site = Site::on(topology).await;
    site.set("min-replicas-to-write", "1");
    site.refused(READS_ALONE).await;
    site.set("min-replicas-to-write", "0");
    site.goes_on().await;
}

/// MISCONF.
async fn a_server_that_cannot_save_its_data_is_read_and_stores_nothing(topology: Topology) {
    let mut site = Site::on(topology).await;
    site.redis().block_dump();
    site.set("save", "3600 1000000");
    let _: String = site.redis().command(&["BGSAVE"]);
    site.redis()
        .wait_for_info("persistence", "rdb_last_bgsave_status:err");
    site.refused(READS_ALONE).await;
    site.set("stop-writes-on-bgsave-error", "no");
    site.goes_on().await;
}

/// BUSY.
async fn a_script_that_does_not_end_is_an_outage_until_it_is_killed(topology: Topology) {
    let mut site = Site::on(topology).await;
    site.set("lua-time-limit", "20");
    let endless = ["EVAL", "while true do end", "0"];
    let _connection = site.redis().begin(&endless);
    let refused = wait_for("a busy server", || {
        site.redis().attempt::<()>(&["PING"]).err()
    });
    assert_eq!(refused.code(), Some("BUSY"));
    site.refused(NOTHING).await;
    let _: String = site.redis().command(&["SCRIPT", "KILL"]);
    // It ends a moment later.
    wait_for("its end", || site.redis().attempt::<()>(&["PING"]).ok());
    site.goes_on().await;
}

/// LOADING.
async fn a_server_that_reads_its_dump_is_an_outage_until_it_has_read_it(topology: Topology) {
    let mut site = Site::on(topology).await;
    // In the slot of Alice's session, so that a cluster node takes them all.
    let (other, count) = (format!("{{{}}}", site.own()), "3000");
    let fill = "for i = 1, ARGV[2] do redis.call('SET', ARGV[1] .. i, string.rep('x', 600)) end";
    let _: Option<String> = site.redis().command(&["EVAL", fill, "0", &other, count]);
    let _: String = site.redis().command(&["SAVE"]);
    // Half a minute, in steps between which it answers.
    let slowly = [
        "--key-load-delay",
        "10000",
        "--loading-process-events-interval-bytes",
        "1024",
    ];
    site.redis_mut().restart_with(&slowly);
    // A cluster node has not joined its cluster yet.
    let code = match topology {
        Topology::Cluster => "CLUSTERDOWN",
        Topology::One | Topology::Sentinel => "LOADING",
    };
    let refused = site.redis().attempt::<()>(&["EXISTS", site.own()]);
    assert_eq!(refused.unwrap_err().code(), Some(code));
    site.refused(NOTHING).await;
    site.set("key-load-delay", "0");
    site.redis().wait_for_info("persistence", "\nloading:0");
    site.wait_until_served();
    let empty = "for i = 1, ARGV[2] do redis.call('DEL', ARGV[1] .. i) end";
    let _: Option<String> = site.redis().command(&["EVAL", empty, "0", &other, count]);
    site.goes_on().await;
}

/// NOAUTH.
async fn a_server_that_begins_to_want_a_password_is_an_outage_until_it_stops(topology: Topology) {
    let mut site = Site::on(topology).await;
    site.set("requirepass", "secret");
    site.redis().end_connections();
    site.refused(NOTHING).await;
    site.set("requirepass", "");
    site.goes_on().await;
}

/// WRONGPASS.
async fn a_password_that_was_changed_is_an_outage_until_it_is_changed_back(topology: Topology) {
    let setup = Setup::default().with_password("secret");
    let mut site = Site::of(Servers::start_with(topology, &setup)).await;
    site.set("requirepass", "another");
    // Redis does not ask open connections again.
    assert_eq!(site.browser.get("/read").await.status, 200);
    site.redis().end_connections();
    site.refused(NOTHING).await;
    site.set("requirepass", "secret");
    site.goes_on().await;
}

/// NOPERM.
async fn a_permission_that_is_taken_away_is_missed_until_it_is_given_back(topology: Topology) {
    let mut site = Site::on(topology).await;
    let rule = |site: &Site, rule: &str| {
        let _: String = site.redis().command(&["ACL", "SETUSER", "default", rule]);
    };
    rule(&site, "-evalsha");
    site.refused(READS_ALONE).await;
    rule(&site, "-hmget");
    site.refused(NOTHING).await;
    rule(&site, "+@all");
    site.goes_on().await;
}

/// `ERR max number of clients reached`, and the connection is closed.
async fn a_server_with_too_many_clients_is_an_outage_until_there_are_fewer(topology: Topology) {
    let mut site = Site::on(topology).await;
    // The test itself is one.
    site.set("maxclients", "1");
    site.redis().end_connections();
    site.refused(NOTHING).await;
    site.set("maxclients", "100");
    site.goes_on().await;
}

/// CLUSTERDOWN. A single server is a cluster of one node here.
async fn a_node_that_has_lost_its_slots_is_an_outage_until_it_has_them_again(topology: Topology) {
    let mut site = Site::of(Servers::start_nodes(topology)).await;
    let nodes: String = site.redis().command(&["CLUSTER", "NODES"]);
    let itself = nodes.lines().find(|node| node.contains("myself")).unwrap();
    let (_, slots) = itself.rsplit_once(' ').unwrap();
    let (first, last) = slots.split_once('-').unwrap();
    let _: String = site
        .redis()
        .command(&["CLUSTER", "DELSLOTSRANGE", first, last]);
    let refused = wait_for("a cluster that is down", || {
        site.redis().attempt::<()>(&["GET", site.own()]).err()
    });
    assert_eq!(refused.code(), Some("CLUSTERDOWN"));
    site.refused(NOTHING).await;
    let _: String = site
        .redis()
        .command(&["CLUSTER", "ADDSLOTSRANGE", first, last]);
    site.wait_until_served();
    site.goes_on().await;
}

/// Including a cluster's refusals on a single server: a proxy might give them.
async fn whatever_a_server_refuses_is_a_503_and_named_in_the_log(topology: Topology) {
    let log = Log::keep();
    let mut site = Site::behind_gateways(topology).await;
    for (line, said) in [
        ("-ASK 7 127.0.0.1:1", "ASK; it is a node of a cluster"),
        ("-BUSY running a script", "BUSY"),
        (
            "-CLUSTERDOWN Hash slot not served",
            "CLUSTERDOWN; its cluster has no node for this slot, or the node is still starting",
        ),
        ("-ERR max number of clients reached", "ERR"),
        ("-LOADING Redis is loading the dataset in memory", "LOADING"),
        ("-MASTERDOWN Link with MASTER is down", "MASTERDOWN"),
        ("-MISCONF Errors writing to the AOF file", "MISCONF"),
        ("-MOVED 7 127.0.0.1:1", "MOVED; it is a node of a cluster"),
        (
            "-NOAUTH Authentication required.",
            "NOAUTH; check user and password",
        ),
        (
            "-NOPERM this user has no permissions",
            "NOPERM; the Redis user lacks a permission",
        ),
        ("-NOREPLICAS Not enough good replicas", "NOREPLICAS"),
        ("-NOSCRIPT No matching script", "NOSCRIPT"),
        (
            "-OOM command not allowed",
            "OOM; it has reached its `maxmemory`",
        ),
        (
            "-READONLY You can't write against a read only replica.",
            "READONLY; it is a replica",
        ),
        ("-TRYAGAIN Multiple keys request", "TRYAGAIN"),
        ("-UNHEARDOF of any kind", "UNHEARDOF"),
        (
            "-WRONGPASS invalid username-password pair",
            "WRONGPASS; check user and password",
        ),
    ] {
        // In a cluster, a redirect leads to another node, which is not there.
        let is_redirect = line.starts_with("-ASK") || line.starts_with("-MOVED");
        let said = match topology {
            Topology::Cluster if is_redirect => "store_error",
            _ => said,
        };
        // Each application logs it at most once a second.
        site = site.again().await;
        let before = log.with(said).len();
        site.gateway().say(Says::Line(line));
        eprintln!("{line}");
        match topology {
            Topology::One => site.refused(NOTHING).await,
            // Each takes the whole deadline: another server could be the master by now.
            _ => site.answers(Request::get("/view"), 503).await,
        }
        let lines = log.with(said).split_off(before);
        let is_told = lines.iter().any(|line| line.level == Level::Error);
        assert!(is_told, "{line}: {:#?}", log.lines());
        site.gateway().say(Says::Truth);
        site.goes_on().await;
    }
}
