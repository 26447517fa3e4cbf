//! The contract of stores, on every kind of servers.

use std::time::Duration;

use session_core::store::redis::RedisStore;
use session_core::testing::conformance::StoreUnderTest;

use crate::support::own::CLUSTER;

/// A store that knows the time of every node.
async fn store() -> RedisStore {
    let store = RedisStore::cluster(CLUSTER.urls()).unwrap();
    store.ping().await.unwrap();
    store
}

mod on_a_cluster {
    use super::*;

    async fn under_test() -> StoreUnderTest {
        StoreUnderTest::new(store().await)
    }

    session_core::conformance_tests!(under_test);
}

mod on_a_cluster_with_a_near_cache {
    use super::*;
    use crate::support::near::NearFirst;

    async fn under_test() -> StoreUnderTest {
        let store = store().await.near_cache(Duration::from_secs(10));
        store.ping().await.unwrap();
        StoreUnderTest::new(NearFirst::new(store))
    }

    session_core::conformance_tests!(under_test);
}
