//! Keeps sessions as bytes in a key-value service, and tests that store.
//!
//! The service must be able to get bytes, and to swap them if they are unchanged: a conditional put in
//! DynamoDB, a transaction in etcd, `UPDATE … WHERE version = …` in SQL.
//!
//! A service without a clock cannot enforce a deadline: a delayed swap still succeeds if nobody changed the
//! record. If your service can compare its own time in the same step, use that.

use std::sync::Arc;

use rocket::{Build, Rocket, get, launch, routes};
use rocket_typed_session::{Session, session};
use session_core::clock::SystemClock;

use crate::service::Service;
use crate::store::ByteStore;

mod service;
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
    let store = ByteStore {
        service: Arc::new(Service::default()),
        clock: Arc::new(SystemClock),
    };
    rocket::build()
        .attach(Visit::fairing().store(store))
        .mount("/", routes![index])
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use rocket::local::blocking::Client;
    use session_core::testing::ManualClock;
    use session_core::testing::conformance::StoreUnderTest;

    use super::*;

    /// A fresh service for each test of the contract, its clock, a restart, and a way to store junk.
    async fn byte_store() -> StoreUnderTest {
        let service = Arc::new(Service::default());
        let clock = Arc::new(ManualClock::new());
        let open = {
            let (service, clock) = (service.clone(), clock.clone());
            move || ByteStore {
                service: service.clone(),
                clock: clock.clone(),
            }
        };
        StoreUnderTest::new(open())
            .clock(clock)
            .reopen(move || ready(open()))
            .junk(move |key| {
                let service = service.clone();
                async move { assert!(service.swap(key, None, Some(b"junk".to_vec())).await) }
            })
    }

    session_core::conformance_tests!(byte_store);

    #[test]
    fn it_counts() {
        let client = Client::tracked(rocket()).expect("a rocket");
        let view = || client.get("/").dispatch().into_string();
        assert_eq!(view().as_deref(), Some("Number of views 1\n"));
        assert_eq!(view().as_deref(), Some("Number of views 2\n"));
    }
}
