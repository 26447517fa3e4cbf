//! Data that cannot be stored: a 500, nothing is stored, and later requests work.

use std::sync::Arc;

use rocket::{Build, Rocket, State, get, post, routes};
use rocket_typed_session::{Session, session};
use serde::{Deserialize, Serialize, Serializer};

use crate::app::Gate;
use crate::support::http::{Connection, Request};
use crate::support::own::on_all_stores;

/// Its `Serialize` fails or panics on demand.
#[derive(Clone, Copy, Default, Deserialize)]
enum Mood {
    #[default]
    Calm,
    Failing,
    Panicking,
}

impl Serialize for Mood {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Calm => serializer.serialize_str("Calm"),
            Self::Failing => Err(serde::ser::Error::custom("as asked")),
            Self::Panicking => panic!("as asked"),
        }
    }
}

#[session(cookie = "visit")]
struct Visit {
    #[session(counter)]
    points: u8,
    note: String,
    mood: Mood,
    ratio: Option<f64>,
}

#[get("/read")]
fn read(visit: Session<Visit>) -> String {
    format!("points={} note={}", visit.points, visit.note)
}

#[post("/note/<text>")]
fn note(mut visit: Session<Visit>, text: &str) {
    visit.note = text.into();
}

#[post("/points/<n>")]
fn points(mut visit: Session<Visit>, n: u8) {
    visit.points += n;
}

#[post("/points/<n>/rotate")]
async fn points_and_rotate(mut visit: Session<Visit>, gate: &State<Arc<Gate>>, n: u8) {
    visit.points += n;
    visit.note = "rotated".into();
    visit.rotate_token();
    gate.pass_if(true).await;
}

#[post("/mood/<mood>")]
fn mood(mut visit: Session<Visit>, mood: &str) {
    visit.note = "lost".into();
    visit.mood = match mood {
        "failing" => Mood::Failing,
        _ => Mood::Panicking,
    };
}

#[post("/ratio/<ratio>")]
fn set_ratio(mut visit: Session<Visit>, ratio: f64) {
    visit.ratio = Some(ratio);
}

#[get("/ratio")]
fn ratio(visit: Session<Visit>) -> String {
    format!("{:?}", visit.ratio)
}

fn build(rocket: Rocket<Build>) -> Rocket<Build> {
    let routes = routes![read, note, points, mood, ratio, set_ratio];
    rocket.attach(Visit::fairing()).mount("/", routes)
}

#[tokio::test]
async fn a_serialize_that_fails_or_panics_costs_its_own_request_only() {
    on_all_stores(build, async |server| {
        for mood in ["failing", "panicking"] {
            let mut browser = server.browser();
            browser.post("/note/kept", &[]).await;
            let cookies = browser.jar.header().unwrap();
            let mut connection = Connection::open(browser.address()).await.unwrap();
            let request = Request::post(&format!("/mood/{mood}"), &[]);
            let response = connection.send(&request.header("Cookie", &cookies)).await;
            assert_eq!((response.status, response.set_cookies().len()), (500, 0));
            let request = Request::get("/read").header("Cookie", &cookies);
            let response = connection.send(&request).await;
            assert_eq!(response.text(), "points=0 note=kept", "{mood}");
            let mut stranger = server.browser();
            let response = stranger.post(&format!("/mood/{mood}"), &[]).await;
            assert_eq!((response.status, response.set_cookies().len()), (500, 0));
        }
    })
    .await;
}

/// JSON writes it as `null`, which is read as `None`.
#[tokio::test]
async fn what_is_not_read_back_is_not_stored() {
    on_all_stores(build, async |server| {
        let mut browser = server.browser();
        for (ratio, status) in [("NaN", 500), ("inf", 500), ("0.5", 200)] {
            let response = browser.post(&format!("/ratio/{ratio}"), &[]).await;
            assert_eq!(response.status, status, "{ratio}");
            assert_eq!(browser.jar.header().is_some(), status == 200);
        }
        assert_eq!(browser.get("/ratio").await.text(), "Some(0.5)");
    })
    .await;
}

/// The overflow happens in the store, after another request has counted.
#[tokio::test]
async fn a_counter_that_overflows_stores_nothing_and_rotates_all_the_same() {
    let gate = Arc::new(Gate::new());
    let build = |rocket| {
        let routes = routes![points_and_rotate];
        let rocket = build(rocket).mount("/", routes);
        rocket.manage(Arc::clone(&gate))
    };
    on_all_stores(build, async |server| {
        let mut browser = server.browser();
        browser.post("/points/100", &[]).await;
        let mut other = browser.clone();
        let slow = tokio::spawn(async move {
            let response = other.post("/points/100/rotate", &[]).await;
            (other, response)
        });
        gate.entered().await;
        browser.post("/points/100", &[]).await;
        gate.release();
        let (mut other, response) = slow.await.unwrap();
        assert_eq!((response.status, response.set_cookies().len()), (500, 1));
        assert_eq!(other.get("/read").await.text(), "points=200 note=");
        assert_eq!(browser.get("/read").await.text(), "points=0 note=");
    })
    .await;
}

#[session(cookie = "small", name = "small", max_size = "2KiB")]
struct Small {
    #[session(max_size = "100B")]
    name: String,
    text: String,
    #[session(entries, max_size = "10B")]
    cart: std::collections::BTreeMap<String, String>,
}

#[get("/small")]
fn small(small: Session<Small>) -> String {
    format!(
        "name={} text={} cart={}",
        small.name.len(),
        small.text.len(),
        small.cart.len()
    )
}

#[post("/name/<n>")]
fn name(mut small: Session<Small>, n: usize) {
    small.name = "x".repeat(n);
}

#[post("/text/<n>")]
fn text(mut small: Session<Small>, n: usize) {
    small.text = "x".repeat(n);
}

#[post("/put/<n>")]
fn put(mut small: Session<Small>, n: usize) {
    small.cart.insert("key".into(), "x".repeat(n));
}

#[post("/save-name/<n>")]
async fn save_name(mut small: Session<Small>, n: usize) -> String {
    small.name = "x".repeat(n);
    match small.save().await {
        Ok(()) => "saved".into(),
        Err(error) => format!("too large={}: {error}", error.is_too_large()),
    }
}

#[tokio::test]
async fn what_is_larger_than_its_limit_is_refused_and_the_old_value_stays() {
    let build = |rocket: Rocket<Build>| {
        let routes = routes![small, name, text, put, save_name];
        rocket.attach(Small::fairing()).mount("/", routes)
    };
    on_all_stores(build, async |server| {
        let mut browser = server.browser();
        for path in ["/name/98", "/text/1500", "/put/8"] {
            assert_eq!(browser.post(path, &[]).await.status, 200, "{path}");
        }
        let stored = "name=98 text=1500 cart=1";
        for path in ["/name/99", "/text/2000", "/put/9", "/text/70000"] {
            assert_eq!(browser.post(path, &[]).await.status, 413, "{path}");
            assert_eq!(browser.get("/small").await.text(), stored, "{path}");
        }
        let told = browser.post("/save-name/99", &[]).await.text();
        assert!(told.starts_with("too large=true: field `name`"), "{told}");
        assert!(told.contains("101 bytes") && told.contains("100"), "{told}");
        assert_eq!(browser.get("/small").await.text(), stored);
        // Less is always allowed.
        assert_eq!(browser.post("/text/10", &[]).await.status, 200);
    })
    .await;
}
