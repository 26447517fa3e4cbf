//! What the application, its log and its metrics are told of sessions.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rocket::{Build, Rocket, State, get, post, routes};
use rocket_typed_session::{
    Error, Event, EventKind, Reason, Session, Sessions, TransactError, session,
};
use session_core::testing::{FaultyStore, ManualClock, Moment, Verb};

use crate::support::http::{Browser, Server};
use crate::support::log::{Log, alone};
use crate::support::own::{REFUSED, UNHEARD, faulty, quiet};

#[session(cookie = "visit", idle = "30m", max_sessions = 2)]
struct Visit {
    #[session(identity)]
    user: Option<String>,
    note: String,
}

#[session(cookie = "few", max_sessions = 1, when_full = "refuse")]
struct Few {
    #[session(identity)]
    user: Option<String>,
}

#[session(cookie = "admin", parent = Visit)]
struct Admin {
    acts: u32,
}

#[post("/note/<text>")]
fn note(mut visit: Session<Visit>, text: String) {
    visit.note = text;
}

#[get("/read")]
fn read(visit: Session<Visit>) -> String {
    visit.note.clone()
}

#[post("/login/<user>")]
fn login(mut visit: Session<Visit>, user: String) {
    visit.log_in(user);
}

#[post("/rotate")]
fn rotate(mut visit: Session<Visit>) {
    visit.rotate_token();
}

#[post("/logout")]
fn logout(mut visit: Session<Visit>) {
    visit.destroy();
}

#[post("/end-all/<user>")]
async fn end_all(user: String, sessions: &State<Sessions<Visit>>) -> Result<(), Error> {
    sessions.of(user).end_all().await.map(drop)
}

#[post("/append")]
async fn append(mut visit: Session<Visit>) -> Result<(), TransactError<Error>> {
    let append = |visit: &mut Visit| {
        visit.note.push('x');
        Ok(())
    };
    visit.transact(append).await
}

#[post("/few/<user>")]
fn few(mut few: Session<Few>, user: String) {
    few.log_in(user);
}

#[post("/act")]
fn act(mut admin: Session<Admin>) {
    admin.acts += 1;
}

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Event>>>);

impl Told {
    fn hook(&self) -> impl Fn(&Event) + Send + Sync + 'static {
        let told = Arc::clone(&self.0);
        move |event| told.lock().unwrap().push(*event)
    }

    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn words(&self) -> Vec<String> {
        let words = self.take().into_iter().map(|event| {
            let reason = event.reason.map_or("-", Reason::name);
            format!("{} {} {reason}", event.session_type, event.kind.name())
        });
        words.collect()
    }
}

fn app(store: &Arc<FaultyStore>, clock: &Arc<ManualClock>, told: &Told) -> Rocket<Build> {
    let store = Arc::clone(store);
    quiet()
        .attach(
            Visit::fairing()
                .store(store)
                .clock(Arc::clone(clock))
                .on_event(told.hook()),
        )
        .attach(Few::fairing().on_event(told.hook()))
        .attach(Admin::fairing().on_event(told.hook()))
        .attach(Visit::csrf())
        .mount(
            "/",
            routes![note, read, login, rotate, logout, end_all, append, few, act],
        )
}

struct World {
    store: Arc<FaultyStore>,
    clock: Arc<ManualClock>,
    told: Told,
    server: Server,
}

impl World {
    async fn new() -> Self {
        let (store, clock, told) = (faulty(), Arc::new(ManualClock::new()), Told::default());
        let server = Server::launch(app(&store, &clock, &told)).await;
        Self {
            store,
            clock,
            told,
            server,
        }
    }

    fn browser(&self) -> Browser {
        self.server.browser().on_site("same-origin")
    }

    async fn expect(&self, browser: &mut Browser, path: &str, expected: &[&str]) {
        match path {
            "/read" => browser.get(path).await,
            path => browser.post(path, &[]).await,
        };
        assert_eq!(self.told.words(), expected, "{path}");
    }
}

#[tokio::test]
async fn the_application_is_told_what_happens_and_why() {
    let world = World::new().await;
    let mut browser = world.browser();
    world.expect(&mut browser, "/read", &[]).await;
    world
        .expect(&mut browser, "/note/x", &["visit created -"])
        .await;
    world.expect(&mut browser, "/note/y", &[]).await;
    world
        .expect(&mut browser, "/login/alice", &["visit rotated login"])
        .await;
    world
        .expect(&mut browser, "/rotate", &["visit rotated requested"])
        .await;
    let changed = ["visit ended identity_changed", "visit created login"];
    world.expect(&mut browser, "/login/bob", &changed).await;
    world
        .expect(&mut browser, "/act", &["admin created -"])
        .await;
    let out = ["visit ended logout", "admin ended parent_ended"];
    world.expect(&mut browser, "/logout", &out).await;
    world.expect(&mut browser, "/logout", &[]).await;
    world
        .expect(&mut browser, "/login/alice", &["visit created login"])
        .await;

    // Sessions that others end.
    let mut second = world.browser();
    world
        .expect(&mut second, "/login/alice", &["visit created login"])
        .await;
    let over = ["visit ended max_sessions", "visit created login"];
    world
        .expect(&mut world.browser(), "/login/alice", &over)
        .await;
    let all = ["visit ended revoked", "visit ended revoked"];
    world.expect(&mut browser, "/end-all/alice", &all).await;
    world
        .expect(&mut browser, "/few/carol", &["few created login"])
        .await;
    world
        .expect(
            &mut world.browser(),
            "/few/carol",
            &["few refused max_sessions"],
        )
        .await;
}

#[tokio::test]
async fn it_is_told_what_was_refused() {
    let world = World::new().await;
    let mut browser = world.browser();
    browser.post("/login/alice", &[]).await;
    let before = browser.jar.clone();
    browser.post("/rotate", &[]).await;
    world.told.take();
    // Soon after, it counts as a parallel request.
    let mut late = world.browser();
    late.jar = before.clone();
    world.expect(&mut late, "/read", &[]).await;
    world.clock.advance(Duration::from_secs(31));
    world
        .expect(&mut late, "/read", &["visit stale_token replaced"])
        .await;

    let mut anonymous = world.browser();
    anonymous.post("/note/x", &[]).await;
    world.told.take();
    let token = anonymous.jar.get("visit").unwrap().to_owned();
    let forged = format!("{}{}", &token[..22], "A".repeat(token.len() - 22));
    anonymous.jar.set("visit", &forged);
    world
        .expect(&mut anonymous, "/read", &["visit stale_token never_issued"])
        .await;

    let mut other_site = world.server.browser().on_site("cross-site");
    other_site.jar = browser.jar.clone();
    world
        .expect(&mut other_site, "/note/x", &["visit refused other_site"])
        .await;

    let mut planted = world.browser();
    planted.post("/note/x", &[]).await;
    world.told.take();
    let both = format!(
        "{}; {}",
        planted.jar.header().unwrap(),
        browser.jar.header().unwrap()
    );
    planted.jar = crate::support::http::Jar::default();
    let request = crate::support::http::Request::get("/read").header("Cookie", both);
    planted.send(request).await;
    assert_eq!(world.told.words(), ["visit refused ambiguous_cookies"]);
}

#[tokio::test]
async fn it_is_told_of_conflicts_and_of_a_store_that_fails() {
    let world = World::new().await;
    let mut browser = world.browser();
    browser.post("/note/-", &[]).await;
    let id = world.told.take()[0].id;
    assert!(id.is_some());
    // Another request changes what this one has read.
    let pause = world.store.pause(Verb::Update, 1, Moment::Before);
    let mut other = browser.clone();
    let appending = tokio::spawn(async move { other.post("/append", &[]).await.status });
    pause.reached().await;
    browser.post("/note/y", &[]).await;
    pause.resume();
    assert_eq!(appending.await.unwrap(), 200);
    let told = world.told.take();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].kind, told[0].id), (EventKind::Conflict, id));
    assert_eq!(browser.get("/read").await.text(), "yx");

    world.store.on(Verb::Load, 1, REFUSED);
    world
        .expect(&mut browser, "/read", &["visit store_error -"])
        .await;
    world.store.on(Verb::Update, 1, UNHEARD);
    let lost = ["visit store_error unknown_outcome"];
    world.expect(&mut browser, "/note/z", &lost).await;
}

#[tokio::test]
async fn a_hook_that_panics_does_no_harm() {
    let fairing = Visit::fairing().on_event(|_| panic!("the application's own fault"));
    let rocket = quiet()
        .attach(fairing)
        .mount("/", routes![note, read, login, logout]);
    let server = Server::launch(rocket).await;
    let mut browser = server.browser();
    for (path, expected) in [("/note/x", "x"), ("/login/alice", "x"), ("/logout", "")] {
        assert_eq!(browser.post(path, &[]).await.status, 200);
        assert_eq!(browser.get("/read").await.text(), expected, "{path}");
    }
    server.stop().await;
}

#[test]
fn each_event_is_a_line_without_data() {
    alone(async || {
        let log = Log::keep();
        let world = World::new().await;
        let mut browser = world.browser();
        for path in ["/note/secret-note", "/login/alice", "/rotate", "/logout"] {
            browser.post(path, &[]).await;
        }
        let told = world.told.take();
        let id = told[0].id.unwrap();
        for (event, expected) in [
            ("created", "a session began"),
            ("rotated", "reason=\"login\""),
            ("rotated", "reason=\"requested\""),
            ("ended", "reason=\"logout\""),
        ] {
            let lines = log.with(&format!("event=\"{event}\""));
            let line = lines.iter().find(|line| line.text.contains(expected));
            let line = line.unwrap_or_else(|| panic!("{event}: {:#?}", log.lines()));
            assert!(
                line.text.contains(&format!("session=visit:{id}")),
                "{line:?}"
            );
            assert_eq!(line.target, "rocket_typed_session");
        }
        assert!(log.with("secret-note").is_empty());
        assert!(log.with("alice").is_empty());
    });
}

#[cfg(feature = "metrics")]
#[test]
fn metrics_count_events_and_time_the_store() {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    alone(async || {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        recorder.install().unwrap();
        let world = World::new().await;
        let mut browser = world.browser();
        browser.post("/note/secret-note", &[]).await;
        for _ in 0..3 {
            browser.post("/rotate", &[]).await;
        }
        world.store.on(Verb::Load, 1, REFUSED);
        browser.get("/read").await;
        let mut found = Vec::new();
        for (key, unit, description, value) in snapshotter.snapshot().into_vec() {
            let key = key.key();
            let labels = key
                .labels()
                .map(|label| format!("{}={}", label.key(), label.value()));
            let labels = labels.collect::<Vec<_>>().join(",");
            let value = match value {
                DebugValue::Counter(count) => count.to_string(),
                DebugValue::Histogram(times) => format!("{} times", times.len()),
                DebugValue::Gauge(_) => panic!("no gauge is there"),
            };
            assert!(description.is_some() && (unit.is_some() || key.name().contains("total")));
            found.push(format!("{} {labels}: {value}", key.name()));
        }
        found.sort();
        assert_eq!(
            found,
            [
                "session_events_total session=visit,event=created,reason=: 1",
                "session_events_total session=visit,event=rotated,reason=requested: 3",
                "session_events_total session=visit,event=store_error,reason=: 1",
                "session_store_seconds session=visit,call=create,outcome=ok: 1 times",
                "session_store_seconds session=visit,call=load,outcome=error: 1 times",
                "session_store_seconds session=visit,call=load,outcome=ok: 3 times",
                "session_store_seconds session=visit,call=update,outcome=ok: 3 times",
            ]
        );
    });
}
