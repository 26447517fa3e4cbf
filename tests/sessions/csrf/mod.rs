//! Cross-site requests, as browsers, scripts and attackers send them.

use std::sync::Arc;

use rocket::form::{Form, FromForm};
use rocket::request::{FromRequest, Outcome};
use rocket::{Build, Rocket, catch, catchers, get, post, put, routes};
use rocket_typed_session::{CsrfToken, Error, Session, session};
use session_core::testing::{FaultyStore, ManualClock, Verb};

use crate::support::http::{Browser, Request, Response, Server};
use crate::support::own::{faulty, quiet};

mod launch;
mod origins;
mod tokens;

#[session(cookie = "visit")]
struct Visit {
    #[session(counter)]
    views: u64,
    #[session(identity)]
    user: Option<String>,
}

fn said<G>(guard: Result<G, Error>) -> &'static str {
    match guard {
        Ok(_) => "passed",
        Err(error) if error.is_csrf() => "refused",
        Err(_) => "failed",
    }
}

#[get("/view")]
async fn view(mut visit: Session<Visit>, token: CsrfToken<Visit>) -> Result<String, Error> {
    visit.views += 1;
    visit.save().await?;
    Ok(token.to_string())
}

#[get("/token")]
fn token(token: CsrfToken<Visit>) -> String {
    token.to_string()
}

#[get("/field")]
fn field(token: CsrfToken<Visit>) -> String {
    format!("{} {token:?}", token.field())
}

#[get("/views")]
fn views(visit: Session<Visit>) -> String {
    format!("{} {}", visit.views, visit.user.as_deref().unwrap_or("-"))
}

#[post("/act")]
fn act(mut visit: Session<Visit>) {
    visit.views += 100;
}

#[put("/act")]
fn put_act(mut visit: Session<Visit>) {
    visit.views += 100;
}

#[derive(FromForm)]
struct Filled<'r> {
    #[field(default = "")]
    text: &'r str,
}

#[post("/form", data = "<form>")]
fn form(mut visit: Session<Visit>, form: Form<Filled<'_>>) -> String {
    visit.views += 100;
    form.text.len().to_string()
}

#[post("/login")]
fn login(mut visit: Session<Visit>) {
    visit.log_in("alice".into());
}

#[post("/rotate")]
fn rotate(mut visit: Session<Visit>) {
    visit.rotate_token();
}

/// Asks for the session again after replacing the request's token.
struct Again(bool);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Again {
    type Error = ();

    async fn from_request(request: &'r rocket::Request<'_>) -> Outcome<Self, ()> {
        if let Outcome::Success(mut visit) = request.guard::<Session<Visit>>().await {
            visit.rotate_token();
            visit.save().await.unwrap();
        }
        let again = request.guard::<Session<Visit>>().await;
        Outcome::Success(Self(again.is_success()))
    }
}

#[post("/again")]
fn again(again: Again) -> String {
    again.0.to_string()
}

#[post("/logout")]
fn logout(mut visit: Session<Visit>) {
    visit.destroy();
}

#[post("/optional")]
fn optional(visit: Option<Session<Visit>>) -> &'static str {
    visit.map_or("none", |_| "some")
}

#[post("/result")]
fn result(visit: Result<Session<Visit>, Error>, token: Result<CsrfToken<Visit>, Error>) -> String {
    format!("{} {}", said(visit), said(token))
}

#[post("/end-anyway")]
fn end_anyway(visit: Result<Session<Visit>, Error>) {
    if let Err(error) = visit {
        error.destroy();
    }
}

#[post("/without")]
fn without() -> &'static str {
    "no session here"
}

#[post("/<_name>")]
fn hook(mut visit: Session<Visit>, _name: &str) {
    visit.views += 1000;
}

#[post("/special")]
fn special_hook(mut visit: Session<Visit>) {
    visit.views += 1000;
}

/// Exempt; the route that it forwards to is not.
#[post("/forward/<_number>", rank = 1)]
fn forwards(_visit: Session<Visit>, _number: u8) {}

#[post("/forward/<_text>", rank = 2)]
fn forwarded(mut visit: Session<Visit>, _text: &str) {
    visit.views += 1000;
}

#[catch(403)]
async fn forbidden(request: &rocket::Request<'_>) -> String {
    let visit = request.guard::<Session<Visit>>().await.succeeded();
    format!("caught, with a session: {}", visit.is_some())
}

fn app(rocket: Rocket<Build>) -> Rocket<Build> {
    rocket
        .register("/", catchers![forbidden])
        .mount(
            "/",
            routes![
                view, token, field, views, act, put_act, form, login, rotate, again, logout,
                optional, result, end_anyway, without, forwards, forwarded
            ],
        )
        .mount("/hooks", routes![hook, special_hook])
}

struct App {
    server: Server,
    store: Arc<FaultyStore>,
    clock: Arc<ManualClock>,
}

impl App {
    async fn launch() -> Self {
        let (store, clock) = (faulty(), Arc::new(ManualClock::new()));
        let fairing = Visit::fairing().store(Arc::clone(&store));
        let csrf = Visit::csrf()
            .trust("https://app.example.com")
            .exempt("/hooks/<_name>")
            .exempt("/forward/<_number>");
        let rocket = quiet()
            .attach(fairing.clock(Arc::clone(&clock)))
            .attach(csrf);
        let server = Server::launch(app(rocket)).await;
        Self {
            server,
            store,
            clock,
        }
    }

    async fn visitor(&self) -> (Browser, String) {
        let mut browser = self.server.browser();
        let token = browser.get("/view").await.text();
        assert_eq!(token.len(), 43);
        (browser, token)
    }

    async fn refuses(&self, browser: &mut Browser, request: Request, what: &str) {
        let before = browser.get("/views").await.text();
        let calls = self.store.calls().len();
        assert_refused(&browser.send(request).await, what);
        let calls = self.store.calls().split_off(calls);
        assert!(calls.iter().all(|call| call.verb == Verb::Load), "{what}");
        assert_eq!(browser.get("/views").await.text(), before, "{what}");
    }
}

fn assert_refused(response: &Response, what: &str) {
    assert_eq!(response.status, 403, "{what}");
    assert_eq!(response.text(), "caught, with a session: false", "{what}");
    assert!(response.set_cookies().is_empty(), "{what}");
}
