//! An application whose URLs say what to do to the session.

use std::sync::Arc;
use std::time::Duration;

use rocket::fairing::AdHoc;
use rocket::http::Status;
use rocket::response::Redirect;
use rocket::{Build, Catcher, Request, Rocket, State, catch, catchers, get, post, routes};
use rocket_typed_session::{Error, Lifetime, Session, session};
use serde::{Deserialize, Serialize};
use session_core::testing::ManualClock;
use tokio::sync::Semaphore;

use crate::support::http::{Browser, Server};
use crate::support::own::configured;
use crate::support::redis::RedisServer;
use crate::support::servers::Servers;

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Theme {
    Dark,
    #[default]
    Light,
}

#[session(idle = "30m", absolute = "12h", touch = "3m", cookie = "visit")]
#[derive(Debug)]
pub(crate) struct Visit {
    #[session(counter)]
    pub(crate) views: u64,
    #[session(identity)]
    pub(crate) user: Option<String>,
    pub(crate) theme: Theme,
    pub(crate) note: String,
    #[session(skip)]
    pub(crate) scratch: u32,
}

pub(crate) const IDLE: Duration = Duration::from_secs(30 * 60);
pub(crate) const ABSOLUTE: Duration = Duration::from_secs(12 * 60 * 60);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// Where slow handlers wait until the test releases them.
#[derive(Debug)]
pub(crate) struct Gate {
    entered: Semaphore,
    released: Semaphore,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            entered: Semaphore::new(0),
            released: Semaphore::new(0),
        }
    }

    async fn pass(&self) {
        self.entered.add_permits(1);
        self.released.acquire().await.unwrap().forget();
    }

    pub(crate) async fn pass_if(&self, wait: bool) {
        if wait {
            self.pass().await;
        }
    }

    /// Waits until a handler is at the gate.
    pub(crate) async fn entered(&self) {
        self.entered.acquire().await.unwrap().forget();
    }

    pub(crate) fn release(&self) {
        self.released.add_permits(1);
    }
}

#[get("/static")]
fn without_session() -> &'static str {
    "no session here"
}

#[get("/read")]
fn read(visit: Session<Visit>) -> String {
    format!(
        "views={} user={} theme={:?} note={}",
        visit.views,
        visit.user.as_deref().unwrap_or("-"),
        visit.theme,
        visit.note
    )
}

#[get("/times")]
fn times(visit: Session<Visit>) -> String {
    format!(
        "new={} created={} seen={} expires={}",
        visit.is_new(),
        visit.created_at().timestamp_millis(),
        visit.last_seen_at().timestamp_millis(),
        visit.expires_at().timestamp_millis()
    )
}

#[get("/id")]
fn id(visit: Session<Visit>) -> String {
    visit.id().map_or("-".into(), |id| id.to_string())
}

#[get("/view")]
fn view(mut visit: Session<Visit>) -> String {
    visit.views += 1;
    visit.views.to_string()
}

#[get("/note/<text>")]
fn note(mut visit: Session<Visit>, text: &str) -> String {
    visit.note = text.into();
    visit.note.clone()
}

#[get("/dark")]
fn dark(mut visit: Session<Visit>) {
    visit.theme = Theme::Dark;
}

/// Borrows everything mutably and changes nothing.
#[get("/same")]
fn same(mut visit: Session<Visit>) {
    visit.views += 0;
    visit.note = visit.note.clone();
    visit.scratch += 1;
}

#[post("/login/<user>")]
fn login(mut visit: Session<Visit>, user: &str) -> Redirect {
    visit.user = Some(user.into());
    Redirect::to("/read")
}

#[post("/remember/<user>")]
fn remember(mut visit: Session<Visit>, user: &str) {
    visit.user = Some(user.into());
    visit.set_lifetime(Lifetime::new(10 * ABSOLUTE, 100 * ABSOLUTE).persistent());
}

#[post("/leave")]
fn leave(mut visit: Session<Visit>) {
    visit.user = None;
}

#[post("/logout")]
fn logout(mut visit: Session<Visit>) -> Redirect {
    visit.destroy();
    visit.note = "after the end".into();
    Redirect::to("/read")
}

#[post("/rotate")]
fn rotate(mut visit: Session<Visit>) {
    visit.rotate_token();
}

#[post("/clear")]
fn clear(mut visit: Session<Visit>) {
    visit.clear();
}

#[get("/save")]
async fn save(mut visit: Session<Visit>) -> Result<String, Error> {
    visit.views += 1;
    visit.save().await?;
    visit.note = "saved before".into();
    Ok(visit.views.to_string())
}

#[get("/slow/save")]
async fn slow_save(mut visit: Session<Visit>, gate: &State<Arc<Gate>>) -> String {
    visit.views += 1;
    gate.pass().await;
    let saved = visit.save().await.is_ok();
    let views = visit.views;
    let reloaded = visit.reload().await.is_ok();
    format!(
        "saved={saved} views={views} reloaded={reloaded} note={}",
        visit.note
    )
}

#[get("/slow/view")]
async fn slow_view(mut visit: Session<Visit>, gate: &State<Arc<Gate>>) {
    visit.views += 1;
    gate.pass().await;
}

#[get("/slow/note/<text>")]
async fn slow_note(mut visit: Session<Visit>, gate: &State<Arc<Gate>>, text: &str) {
    gate.pass().await;
    visit.note = text.into();
}

#[get("/slow/read")]
async fn slow_read(visit: Session<Visit>, gate: &State<Arc<Gate>>) -> String {
    gate.pass().await;
    visit.views.to_string()
}

#[post("/slow/login/<user>")]
async fn slow_login(mut visit: Session<Visit>, gate: &State<Arc<Gate>>, user: &str) {
    gate.pass().await;
    visit.user = Some(user.into());
}

#[post("/slow/logout")]
async fn slow_logout(mut visit: Session<Visit>, gate: &State<Arc<Gate>>) {
    gate.pass().await;
    visit.destroy();
}

#[post("/slow/login-and-logout")]
async fn slow_login_and_logout(mut visit: Session<Visit>, gate: &State<Arc<Gate>>) {
    gate.pass().await;
    visit.log_in("bob".to_owned());
    visit.destroy();
}

#[post("/fail/<how>/<verb>")]
fn fail(
    mut visit: Session<Visit>,
    how: &str,
    verb: &str,
) -> Result<(Status, &'static str), Status> {
    visit.note = "lost".into();
    match verb {
        "destroy" => visit.destroy(),
        "rotate" => visit.rotate_token(),
        "login" => visit.user = Some("mallory".into()),
        _ => {}
    }
    match how {
        "panic" => panic!("as asked"),
        "error" => Err(Status::InternalServerError),
        "unavailable" => Ok((Status::ServiceUnavailable, "not now")),
        "unprocessable" => Ok((Status::UnprocessableEntity, "try again")),
        _ => Err(Status::NotFound),
    }
}

#[get("/two")]
fn two(mut first: Session<Visit>, mut second: Session<Visit>) -> String {
    first.views += 1;
    first.note = "first".into();
    second.views += 10;
    second.theme = Theme::Dark;
    drop(first);
    format!("{} {}", second.views, second.note)
}

#[get("/result")]
fn result(visit: Result<Session<Visit>, Error>) -> String {
    match visit {
        Ok(visit) => format!("views={}", visit.views),
        Err(error) => format!("store={}", error.is_store()),
    }
}

#[get("/forwarded", rank = 1)]
fn forwards(mut visit: Session<Visit>, _never: Never) {
    visit.views += 100;
}

#[get("/forwarded", rank = 2)]
fn forwarded(visit: Session<Visit>) -> String {
    visit.views.to_string()
}

struct Never;

#[rocket::async_trait]
impl<'r> rocket::request::FromRequest<'r> for Never {
    type Error = ();

    async fn from_request(_: &'r Request<'_>) -> rocket::request::Outcome<Self, ()> {
        rocket::request::Outcome::Forward(Status::NotFound)
    }
}

#[catch(default)]
fn catch_all(status: Status, _: &Request<'_>) -> String {
    format!("caught {}", status.code)
}

#[catch(418)]
async fn catch_teapot(request: &Request<'_>) -> String {
    let visit = request.guard::<Session<Visit>>().await;
    visit
        .succeeded()
        .map_or("-".into(), |visit| visit.views.to_string())
}

#[get("/teapot")]
fn teapot(_visit: Session<Visit>) -> Status {
    Status::ImATeapot
}

/// The application without its fairing.
pub(crate) fn rocket() -> Rocket<Build> {
    let config = rocket::Config::figment().merge(("log_level", "off"));
    let catchers: Vec<Catcher> = catchers![catch_all, catch_teapot];
    let rocket = rocket::custom(config).manage(Arc::new(Gate::new()));
    rocket.register("/", catchers).mount(
        "/",
        routes![
            without_session,
            read,
            times,
            id,
            view,
            note,
            dark,
            same,
            login,
            remember,
            leave,
            logout,
            rotate,
            clear,
            save,
            slow_save,
            slow_view,
            slow_note,
            slow_read,
            slow_login,
            slow_logout,
            slow_login_and_logout,
            fail,
            two,
            result,
            forwards,
            forwarded,
            teapot,
        ],
    )
}

/// A launched application with a clock that the test moves.
#[derive(Debug)]
pub(crate) struct App {
    server: Server,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) gate: Arc<Gate>,
    /// `None`: in memory, or on servers that the test keeps.
    pub(crate) redis: Option<RedisServer>,
}

impl App {
    pub(crate) async fn in_memory() -> Self {
        Self::launch(rocket(), None).await
    }

    pub(crate) async fn on_redis() -> Self {
        let redis = RedisServer::start();
        let figment = rocket()
            .figment()
            .clone()
            .merge(("databases.sessions.url", redis.url()));
        Self::launch(rocket().configure(figment), Some(redis)).await
    }

    pub(crate) async fn on(servers: &Servers, timeout: &str) -> Self {
        let rocket = servers.known_to(rocket());
        Self::launch(configured(rocket, "sessions.visit.timeout", timeout), None).await
    }

    async fn launch(rocket: Rocket<Build>, redis: Option<RedisServer>) -> Self {
        let clock = Arc::new(ManualClock::new());
        let gate = Arc::clone(rocket.state::<Arc<Gate>>().unwrap());
        let rocket = rocket
            .attach(Visit::fairing().clock(Arc::clone(&clock)))
            .attach(AdHoc::on_response("Mark", |_, response| {
                Box::pin(async move {
                    response.set_raw_header("X-Mark", "seen");
                })
            }));
        let server = Server::launch(rocket).await;
        Self {
            server,
            clock,
            gate,
            redis,
        }
    }

    pub(crate) fn browser(&self) -> Browser {
        self.server.browser()
    }

    pub(crate) fn redis(&self) -> &RedisServer {
        self.redis.as_ref().unwrap()
    }
}

pub(crate) async fn on_both_stores(test: impl AsyncFn(App)) {
    eprintln!("in memory:");
    test(App::in_memory().await).await;
    eprintln!("on Redis:");
    test(App::on_redis().await).await;
}
