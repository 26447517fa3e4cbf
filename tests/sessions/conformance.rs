//! The contract of stores, on a real Redis.

use std::sync::LazyLock;

use deadpool_redis::{Config, Runtime};
use rocket_typed_session::RedisStore;
use session_core::testing::conformance::StoreUnderTest;

use crate::support::redis::RedisServer;

/// One server for all clauses: each makes sessions of its own. It ends with the test process.
static SERVER: LazyLock<RedisServer> = LazyLock::new(RedisServer::start);

/// A store on that server, for the runtime of one test.
pub(crate) fn redis_store() -> RedisStore {
    let pool = Config::from_url(SERVER.url()).create_pool(Some(Runtime::Tokio1));
    RedisStore::new(pool.unwrap(), SERVER.url())
}

async fn under_test() -> StoreUnderTest {
    StoreUnderTest::new(redis_store())
}

session_core::conformance_tests!(under_test);
