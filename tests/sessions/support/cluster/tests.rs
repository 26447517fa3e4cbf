use super::{Cluster, SHARDS};

#[test]
fn a_cluster_is_of_six_nodes_and_fails_over() {
    let mut cluster = Cluster::start();
    let master = cluster.master_of("key");
    assert!(master < SHARDS);
    let replica = cluster.replica_of(master);
    cluster.node(master).command::<()>(&["SET", "key", "value"]);

    cluster.fail_over(replica);
    assert_eq!(cluster.master_of("key"), replica);
    cluster.wait_until_settled();
    cluster
        .node(replica)
        .command::<()>(&["SET", "key", "other"]);
    assert_eq!(cluster.node(replica).command::<u8>(&["WAIT", "1", "0"]), 1);

    cluster.node(replica).pause();
    cluster.fail_over(master);
    assert_eq!(cluster.master_of("key"), master);
    let value: String = cluster.node(master).command(&["GET", "key"]);
    assert_eq!(value, "other");
    cluster.node(replica).resume();
    cluster.wait_until_settled();

    cluster.stop(master);
    assert_eq!(cluster.wait_for_failover(master), replica);
    cluster.restart(master);
    cluster.wait_until_settled();
    assert_eq!(cluster.replica_of(replica), master);
}

#[test]
fn a_cluster_works_with_clocks_that_are_off() {
    let offsets = [None, Some("+31m"), Some("-31m"), Some("+400d"), None, None];
    let cluster = Cluster::start_with_clocks(offsets);
    let time = |node| {
        let (seconds, _): (i64, i64) = cluster.node(node).command(&["TIME"]);
        seconds
    };
    let apart = [1, 2, 3].map(|node| time(node) - time(0));
    let expected = [31 * 60, -31 * 60, 400 * 24 * 60 * 60];
    for (apart, expected) in apart.into_iter().zip(expected) {
        assert!((apart - expected).abs() < 30, "{apart} {expected}");
    }
    cluster.fail_over(3);
    assert_eq!(cluster.owner_of(0), 3);
    // The signal reaches the server itself.
    cluster.node(3).pause();
    assert_eq!(cluster.wait_for_failover(3), 0);
}
