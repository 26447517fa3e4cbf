//! Session fixation (CVE-2022-25896, OWASP ASVS 7.2.4): an attacker plants an anonymous session's cookie,
//! knows its CSRF token, and has requests under way while the victim logs in.

use std::sync::Arc;

use rocket::{Build, Rocket, State, get, post, routes};
use rocket_typed_session::{CsrfToken, Session, session};

use crate::app::Gate;
use crate::support::http::{Browser, Request};
use crate::support::own::on_all_stores;

#[session(cookie = "visit")]
struct Visit {
    #[session(identity)]
    user: Option<String>,
    note: String,
}

#[get("/form")]
fn form(visit: Session<Visit>, token: CsrfToken<Visit>) -> String {
    format!("{} {token}", visit.user.as_deref().unwrap_or("-"))
}

#[post("/note/<text>?<wait>")]
async fn note(mut visit: Session<Visit>, gate: &State<Arc<Gate>>, text: &str, wait: bool) {
    gate.pass_if(wait).await;
    visit.note = text.into();
}

#[get("/read?<wait>")]
async fn read(visit: Session<Visit>, gate: &State<Arc<Gate>>, wait: bool) -> String {
    gate.pass_if(wait).await;
    format!("{} {}", visit.user.as_deref().unwrap_or("-"), visit.note)
}

#[post("/login/<user>")]
fn login(mut visit: Session<Visit>, user: String) {
    visit.log_in(user);
}

fn app(rocket: Rocket<Build>) -> Rocket<Build> {
    let rocket = rocket.attach(Visit::fairing()).attach(Visit::csrf());
    rocket.mount("/", routes![form, note, read, login])
}

/// As the application's own page sends it.
fn own(path: &str) -> Request {
    Request::post(path, &[]).header("Sec-Fetch-Site", "same-origin")
}

/// As an old browser or a script sends it.
fn with_token(path: &str, token: &str) -> Request {
    Request::post(path, &[]).header("X-CSRF-Token", token)
}

async fn token_of(browser: &mut Browser) -> String {
    let text = browser.get("/form").await.text();
    let (_, token) = text.split_once(' ').unwrap();
    token.to_owned()
}

#[tokio::test]
async fn a_planted_session_is_of_no_use_after_the_login() {
    let gate = Arc::new(Gate::new());
    let make = |rocket| app(rocket).manage(Arc::clone(&gate));
    on_all_stores(make, async |server| {
        let mut attacker = server.browser();
        attacker.send(own("/note/planted")).await;
        let token = token_of(&mut attacker).await;
        assert_eq!(
            attacker.send(with_token("/note/x", &token)).await.status,
            200
        );
        let mut victim = attacker.clone();

        // The attacker's requests have the session and wait.
        let (mut writer, mut reader) = (attacker.clone(), attacker.clone());
        let slow = with_token("/note/late?wait=true", &token);
        let writing = tokio::spawn(async move { writer.send(slow).await });
        gate.entered().await;
        let reading = tokio::spawn(async move { reader.get("/read?wait=true").await });
        gate.entered().await;

        victim.send(own("/login/alice")).await;
        assert_ne!(victim.jar, attacker.jar);
        gate.release();
        gate.release();
        let (written, seen) = (writing.await.unwrap(), reading.await.unwrap());
        assert!(written.set_cookies().is_empty() && seen.set_cookies().is_empty());
        assert_eq!(seen.text(), "- x");

        assert_eq!(victim.get("/read").await.text(), "alice x");
        let read = attacker.get("/read").await;
        assert_eq!((read.text().as_str(), read.set_cookies().len()), ("- ", 0));
        let refused = attacker.send(with_token("/note/evil", &token)).await;
        assert_eq!((refused.status, refused.set_cookies().len()), (403, 0));
        // The attacker's CSRF token is dead in the victim's browser too.
        let forged = victim.send(with_token("/note/evil", &token)).await;
        assert_eq!(forged.status, 403);
        let fresh = token_of(&mut victim).await;
        assert_eq!(
            victim.send(with_token("/note/mine", &fresh)).await.status,
            200
        );
        assert_eq!(victim.get("/read").await.text(), "alice mine");
    })
    .await;
}
