//! A Rocket application with its own session store, and that store's tests.

use rocket::{Build, Rocket, get, launch, routes};
use rocket_typed_session::{Session, session};

use crate::store::MapStore;

mod store;

#[session]
struct Visit {
    #[session(counter)]
    views: u64,
}

#[get("/")]
fn index(mut visit: Session<Visit>) -> String {
    visit.views += 1;
    format!("Number of views {}\n", visit.views)
}

#[launch]
fn rocket() -> Rocket<Build> {
    rocket::build()
        .attach(Visit::fairing().store(MapStore::new()))
        .mount("/", routes![index])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rocket::local::blocking::Client;
    use session_core::testing::ManualClock;
    use session_core::testing::conformance::StoreUnderTest;

    use super::*;

    /// A fresh store and its clock for each test of the contract.
    async fn map_store() -> StoreUnderTest {
        let clock = Arc::new(ManualClock::new());
        StoreUnderTest::new(MapStore::with_clock(clock.clone())).clock(clock)
    }

    session_core::conformance_tests!(map_store);

    #[test]
    fn it_counts() {
        let client = Client::tracked(rocket()).expect("a rocket");
        let view = || client.get("/").dispatch().into_string();
        assert_eq!(view().as_deref(), Some("Number of views 1\n"));
        assert_eq!(view().as_deref(), Some("Number of views 2\n"));
    }
}
