//! How often a request with a session in memory allocates, beyond the same request without one. The numbers
//! are the same in each run. Instructions are counted by hand:
//!
//! ```sh
//! cargo test --release --all-features --test costs --no-run # says where the program is
//! valgrind --tool=callgrind <the program> count 2000
//! ```
//!
//! With `ROCKET_DATABASES='{sessions={url="redis://127.0.0.1:6379"}}'` this includes the Redis client.

#![expect(
    clippy::needless_pass_by_value,
    reason = "Rocket hands guards over by value"
)]

use rocket::local::blocking::Client;
use rocket::{Build, Rocket, get, routes};
use rocket_typed_session::store::MemoryStore;
use rocket_typed_session::{Session, session};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[session(cookie = "id")]
struct Visit {
    #[session(counter)]
    views: u64,
    #[session(identity)]
    user: Option<String>,
    name: String,
    theme: String,
    items: Vec<u32>,
    seen: bool,
    level: i32,
}

#[get("/bare")]
fn bare() -> &'static str {
    "1"
}

#[get("/read")]
fn read(visit: Session<Visit>) -> String {
    visit.views.to_string()
}

#[get("/count")]
fn count(mut visit: Session<Visit>) -> String {
    visit.views += 1;
    visit.views.to_string()
}

#[get("/same")]
fn same(mut visit: Session<Visit>) -> String {
    visit.level += 0;
    visit.views.to_string()
}

#[get("/fill")]
fn fill(mut visit: Session<Visit>) {
    visit.views = 1;
    visit.user = Some("alice".into());
    visit.name = "Alice Example".into();
    visit.theme = "dark".into();
    visit.items = vec![1, 2, 3];
    visit.seen = true;
    visit.level = 7;
}

/// In memory, unless `ROCKET_DATABASES` configures Redis.
fn rocket() -> Rocket<Build> {
    let figment = rocket::Config::figment().merge(("log_level", "off"));
    let is_configured = figment.contains("databases.sessions");
    let fairing = match is_configured {
        true => Visit::fairing(),
        false => Visit::fairing().store(MemoryStore::new()),
    };
    rocket::custom(figment)
        .attach(fairing)
        .mount("/", routes![bare, read, count, same, fill])
}

/// The most that a route may allocate beyond `/bare`, with little room.
const BOUNDS: &[(&str, f64)] = &[("/read", 16.5), ("/same", 21.5), ("/count", 34.5)];

const REQUESTS: u64 = 200;

fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with('-'));
    let client = Client::tracked(rocket()).expect("it launches");
    client.get("/fill").dispatch();
    if let (Some(route), Some(times)) = (args.next(), args.next()) {
        let times = times.parse().expect("how often");
        return ask(&client, &format!("/{route}"), times);
    }
    let bare = allocations(&client, "/bare");
    println!("/bare: {bare:.1} allocations");
    let mut are_kept = true;
    for (route, bound) in BOUNDS {
        let more = allocations(&client, route) - bare;
        println!("{route}: {more:.1} allocations more, at most {bound}");
        are_kept &= more <= *bound;
    }
    assert!(
        are_kept,
        "a request allocates more than it did; say why, or mend it"
    );
}

fn ask(client: &Client, route: &str, times: u64) {
    for _ in 0..times {
        client.get(route).dispatch();
    }
}

fn allocations(client: &Client, route: &str) -> f64 {
    ask(client, route, 10);
    let _profiler = dhat::Profiler::builder().testing().build();
    let before = dhat::HeapStats::get().total_blocks;
    ask(client, route, REQUESTS);
    let after = dhat::HeapStats::get().total_blocks;
    (after - before) as f64 / REQUESTS as f64
}
