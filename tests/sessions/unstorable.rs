//! Data that cannot be stored: the answer is a 500, nothing of it is stored, and life goes on.

use std::sync::Arc;

use rocket::{Build, Rocket, State, get, post, routes};
use rocket_typed_session::{Session, session};
use serde::{Deserialize, Serialize, Serializer};

use crate::app::Gate;
use crate::support::http::{Connection, Request};
use crate::support::own::on_both_stores;

/// A value whose `Serialize` does as it is told.
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
    visit.rotate_id();
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

fn build(rocket: Rocket<Build>) -> Rocket<Build> {
    let routes = routes![read, note, points, mood];
    rocket.attach(Visit::fairing()).mount("/", routes)
}

#[tokio::test]
async fn a_serialize_that_fails_or_panics_costs_its_own_request_only() {
    on_both_stores(build, async |server| {
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

/// The overflow is met in the store, where another request has counted meanwhile.
#[tokio::test]
async fn a_counter_that_overflows_stores_nothing_and_rotates_all_the_same() {
    let gate = Arc::new(Gate::new());
    let build = |rocket| {
        let routes = routes![points_and_rotate];
        let rocket = build(rocket).mount("/", routes);
        rocket.manage(Arc::clone(&gate))
    };
    on_both_stores(build, async |server| {
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
