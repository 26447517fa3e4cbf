//! Declared guards: whom they admit, and what the others get.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rocket::http::Status;
use rocket::request::{FromRequest, Outcome};
use rocket::response::Redirect;
use rocket::{Build, Catcher, Request, Rocket, State, catch, catchers, get, post, routes};
use rocket_typed_session::{Error, ReturnTo, Session, session};
use session_core::testing::{ManualClock, Verb};

use crate::support::http::{Request as Sent, Server};
use crate::support::own::{REFUSED, faulty, on_all_stores, quiet};

#[session(
    cookie = "visit",
    guard(Admin = is_admin),
    guard(Staff = in_staff_list, async, status = 404),
    guard(Recent, within = "5m", redirect = "/login?again"),
    guard(RecentAdmin = is_admin, within = "5m", status = 418)
)]
struct Visit {
    #[session(identity, guard = Member)]
    user: Option<String>,
    admin: bool,
    note: String,
}

#[session(cookie = "office")]
struct Office {
    #[session(identity, guard(Clerk, redirect = "/login"))]
    clerk: Option<u32>,
    #[session(counter)]
    seen: u64,
}

#[session(cookie = "api")]
struct Api {
    #[session(identity, guard(Caller, status = 401))]
    caller: Option<String>,
}

fn is_admin(visit: &Visit) -> bool {
    visit.admin
}

/// The application's staff list; unmanaged, it is out of reach.
struct StaffList(AtomicUsize);

async fn in_staff_list(visit: &Visit, request: &Request<'_>) -> Result<bool, Status> {
    let list = request.rocket().state::<StaffList>();
    let list = list.ok_or(Status::BadGateway)?;
    list.0.fetch_add(1, Ordering::SeqCst);
    tokio::task::yield_now().await;
    Ok(visit.user.as_deref() == Some("alice"))
}

#[get("/home")]
fn home(member: Member) -> String {
    format!("{} {}", member.to_uppercase(), member.session().note)
}

#[get("/home", rank = 2)]
fn welcome() -> &'static str {
    "please log in"
}

#[get("/alone")]
fn alone(_member: Member) {}

#[post("/note/<text>")]
fn note(mut member: Member, text: &str) {
    member.session_mut().note = text.into();
}

#[post("/logout")]
fn logout(member: Member) -> String {
    let name = member.clone();
    let mut visit = member.into_session();
    visit.destroy();
    name
}

/// The guard still knows the user after logging them out.
#[post("/leave")]
fn leave(mut member: Member) -> String {
    member.session_mut().destroy();
    member.to_string()
}

#[get("/admin")]
fn admin(mut admin: Admin) -> String {
    admin.note.push('!');
    format!("{:?} {}", admin.user, admin.note)
}

#[get("/staff")]
fn staff(staff: Staff, member: Member) -> String {
    format!("{} {}", *member, staff.admin)
}

#[get("/recent")]
fn recent(recent: Recent) -> String {
    recent.user.clone().unwrap_or_default()
}

#[get("/recent-admin")]
fn recent_admin(_admin: RecentAdmin) {}

#[post("/login/<user>?<is_admin>")]
fn login(mut visit: Session<Visit>, user: String, is_admin: bool) {
    visit.log_in(user);
    visit.admin = is_admin;
}

#[get("/office/<_>?<key>")]
fn office(mut clerk: Clerk, key: Option<&str>) -> String {
    clerk.session_mut().seen += 1;
    format!("{} {key:?} {}", *clerk, clerk.session().seen)
}

#[post("/office/<_>")]
fn office_post(_clerk: Clerk) {}

#[post("/login?<next>")]
fn office_login(mut office: Session<Office>, next: ReturnTo) -> ReturnTo {
    office.log_in(7);
    next
}

#[get("/api")]
fn api(_caller: Caller) {}

#[get("/api/result")]
fn api_result(caller: Result<Caller, Error>) -> Result<String, Error> {
    match caller {
        Ok(caller) => Ok(caller.to_string()),
        Err(error) if error.is_denied() => Ok("denied".into()),
        Err(error) => Err(error),
    }
}

#[get("/api/passed-on")]
fn api_passed_on(caller: Result<Caller, Error>) -> Result<(), Error> {
    caller.map(drop)
}

#[catch(default)]
fn any(status: Status, _: &Request<'_>) -> String {
    format!("caught {}", status.code)
}

fn caught() -> Vec<Catcher> {
    catchers![any]
}

fn app(rocket: Rocket<Build>) -> Rocket<Build> {
    rocket
        .attach(Visit::fairing())
        .attach(Office::fairing())
        .attach(Api::fairing())
        .manage(StaffList(AtomicUsize::new(0)))
        .mount(
            "/",
            routes![
                home,
                welcome,
                alone,
                note,
                logout,
                leave,
                admin,
                staff,
                recent,
                recent_admin,
                login,
                calls
            ],
        )
        .mount("/", routes![office, office_post, office_login])
        .mount("/", routes![api, api_result, api_passed_on])
        .register("/", caught())
}

#[get("/calls")]
fn calls(list: &State<StaffList>) -> String {
    list.0.load(Ordering::SeqCst).to_string()
}

#[tokio::test]
async fn a_member_is_a_user_who_is_logged_in() {
    on_all_stores(app, async |server| {
        let mut browser = server.browser();
        // Forwards to the next route; without one, the status is right.
        assert_eq!(browser.get("/home").await.text(), "please log in");
        assert_eq!(browser.get("/alone").await.text(), "caught 401");
        assert_eq!(browser.post("/note/x", &[]).await.status, 401);
        assert!(browser.jar.is_empty());
        browser.post("/login/alice", &[]).await;
        assert_eq!(browser.get("/home").await.text(), "ALICE ");
        assert_eq!(browser.post("/note/hello", &[]).await.status, 200);
        assert_eq!(browser.get("/home").await.text(), "ALICE hello");
        assert_eq!(browser.post("/logout", &[]).await.text(), "alice");
        assert_eq!(browser.get("/home").await.text(), "please log in");
        browser.post("/login/bob", &[]).await;
        assert_eq!(browser.get("/home").await.text(), "BOB ");
        assert_eq!(browser.post("/leave", &[]).await.text(), "bob");
        assert_eq!(browser.get("/home").await.text(), "please log in");
    })
    .await;
}

#[tokio::test]
async fn a_predicate_decides() {
    on_all_stores(app, async |server| {
        let (mut alice, mut bob) = (server.browser(), server.browser());
        assert_eq!(alice.get("/admin").await.text(), "caught 403");
        alice.post("/login/alice", &[]).await;
        bob.post("/login/bob?is_admin=true", &[]).await;
        assert_eq!(alice.get("/admin").await.text(), "caught 403");
        assert_eq!(bob.get("/admin").await.text(), "Some(\"bob\") !");
        assert_eq!(bob.get("/admin").await.text(), "Some(\"bob\") !!");
        assert_eq!(alice.get("/staff").await.text(), "alice false");
        assert_eq!(bob.get("/staff").await.text(), "caught 404");
        assert_eq!(bob.get("/calls").await.text(), "2");
    })
    .await;
}

#[tokio::test]
async fn a_predicate_that_fails_is_no_denial() {
    let rocket = quiet().attach(Visit::fairing());
    let rocket = rocket.mount("/", routes![staff]).register("/", caught());
    let server = Server::launch(rocket).await;
    assert_eq!(server.browser().get("/staff").await.text(), "caught 502");
}

#[tokio::test]
async fn a_login_is_recent_for_as_long_as_is_declared() {
    let clock = Arc::new(ManualClock::new());
    let fairing = Visit::fairing().clock(Arc::clone(&clock));
    let routes = routes![recent, recent_admin, login];
    let server = Server::launch(quiet().attach(fairing).mount("/", routes)).await;
    let mut browser = server.browser();
    let again = browser.get("/recent").await;
    assert_eq!(again.status, 303);
    assert_eq!(
        again.header("Location"),
        Some("/login?again&next=%2Frecent")
    );
    browser.post("/login/alice?is_admin=true", &[]).await;
    clock.advance(Duration::from_secs(299));
    assert_eq!(browser.get("/recent").await.text(), "alice");
    assert_eq!(browser.get("/recent-admin").await.status, 200);
    clock.advance(Duration::from_secs(2));
    assert_eq!(browser.get("/recent").await.status, 303);
    assert_eq!(browser.get("/recent-admin").await.status, 418);
    // The same user again.
    browser.post("/login/alice", &[]).await;
    assert_eq!(browser.get("/recent").await.text(), "alice");
    assert_eq!(browser.get("/recent-admin").await.status, 418);
}

#[tokio::test]
async fn a_redirect_comes_back_after_the_login() {
    on_all_stores(app, async |server| {
        let mut browser = server.browser();
        let response = browser.get("/office/12?key=a%26b%2Bc").await;
        assert_eq!(response.status, 303);
        assert_eq!(response.text(), "");
        assert_eq!(response.all("Location").count(), 1);
        let location = response.header("Location").unwrap().to_owned();
        assert!(location.starts_with("/login?next="), "{location}");
        assert_eq!(response.header("Cache-Control"), Some("private, no-cache"));
        assert!(browser.jar.is_empty());
        let back = browser.post(&location, &[]).await;
        assert_eq!(back.status, 303);
        let place = back.header("Location").unwrap().to_owned();
        assert_eq!(place, "/office/12?key=a%26b%2Bc");
        assert_eq!(browser.get(&place).await.text(), "7 Some(\"a&b+c\") 1");
    })
    .await;
}

#[tokio::test]
async fn nobody_comes_back_to_a_form_or_to_another_host() {
    on_all_stores(app, async |server| {
        let mut browser = server.browser();
        let response = browser.post("/office/12", &[]).await;
        assert_eq!(response.header("Location"), Some("/login"));
        for next in [
            "",
            "?next=//evil.example",
            "?next=https://evil.example",
            "?next=%2F%5Cevil",
        ] {
            let response = browser.post(&format!("/login{next}"), &[]).await;
            assert_eq!(response.header("Location"), Some("/"), "{next}");
        }
        let response = browser.send(Sent::new("HEAD", "/office/1")).await;
        assert_eq!(response.status, 200);
    })
    .await;
}

#[tokio::test]
async fn a_denial_is_told_apart_from_a_failure() {
    let store = faulty();
    let fairing = Api::fairing().store(Arc::clone(&store));
    let routes = routes![api, api_result, api_passed_on];
    let rocket = quiet().attach(fairing).mount("/", routes);
    let server = Server::launch(rocket.register("/", caught())).await;
    let mut browser = server.browser();
    assert_eq!(browser.get("/api").await.text(), "caught 401");
    assert_eq!(browser.get("/api/result").await.text(), "denied");
    assert_eq!(browser.get("/api/passed-on").await.text(), "caught 401");
    for path in ["/api", "/api/result", "/api/passed-on"] {
        // A token, so there is something to load.
        browser.jar.set("api", &"A".repeat(64));
        store.on(Verb::Load, 1, REFUSED);
        assert_eq!(browser.get(path).await.text(), "caught 503", "{path}");
    }
}

#[tokio::test]
async fn a_guard_without_its_fairing_fails_the_launch() {
    for routes in [routes![home], routes![admin], routes![recent]] {
        let launched = quiet().mount("/", routes).ignite().await;
        assert!(launched.unwrap_err().to_string().contains("sentinel"));
    }
}

#[test]
fn a_guard_shows_no_data() {
    fn shows<T: std::fmt::Debug>() {}
    shows::<Member>();
    shows::<Admin>();
}

struct LogsOut;

#[rocket::async_trait]
impl<'r> FromRequest<'r> for LogsOut {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        if let Outcome::Success(mut visit) = request.guard::<Session<Visit>>().await {
            visit.user = None;
        }
        Outcome::Success(Self)
    }
}

#[get("/left")]
fn left(_gone: LogsOut, recent: Option<Recent>, member: Option<Member>) -> String {
    format!("{} {}", recent.is_some(), member.is_some())
}

/// The route's own redirect, not the guard's.
#[get("/elsewhere")]
fn elsewhere(recent: Option<Recent>) -> Redirect {
    match recent {
        Some(_) => Redirect::to("/home"),
        None => Redirect::to("/welcome"),
    }
}

#[tokio::test]
async fn nobody_is_recent_whom_a_guard_has_logged_out() {
    let rocket = quiet().attach(Visit::fairing());
    let server = Server::launch(rocket.mount("/", routes![login, left, elsewhere])).await;
    let mut browser = server.browser();
    browser.post("/login/alice", &[]).await;
    assert_eq!(browser.get("/left").await.text(), "false false");
    let response = browser.get("/elsewhere").await;
    assert_eq!(response.header("Location"), Some("/welcome"));
    browser.post("/login/alice", &[]).await;
    let response = browser.get("/elsewhere").await;
    assert_eq!(response.header("Location"), Some("/home"));
}
