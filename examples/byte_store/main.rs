//! A Rocket that keeps its sessions as bytes in a key-value service, and the tests of that store.
//!
//! All that the service must offer is to get bytes, and to swap them if they are still the same: what
//! DynamoDB calls a conditional put, etcd a transaction, SQL `UPDATE … WHERE version = …`.
//!
//! What a service without a clock cannot offer is a deadline: a swap that is held up on its way is
//! still done when it arrives, if nobody changed the record in the meantime. Where yours can compare
//! its own time in the same step, let it.

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
    use rocket::local::blocking::Client;
    use session_core::testing::ManualClock;
    use session_core::testing::conformance::StoreUnderTest;

    use super::*;

    /// A fresh store for each clause of the contract, the clock by which it lives, and how something
    /// else than a session comes into the service.
    async fn byte_store() -> StoreUnderTest {
        let service = Arc::new(Service::default());
        let clock = Arc::new(ManualClock::new());
        let store = ByteStore {
            service: service.clone(),
            clock: clock.clone(),
        };
        StoreUnderTest::new(store).clock(clock).junk(move |key| {
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
