//! The token: where it is found, and which session it belongs to.

use std::sync::Arc;

use rocket::{get, post, routes};
use rocket_typed_session::{CsrfToken, Session, session};
use session_core::testing::Verb;

use super::{App, Visit, act, view, views};
use crate::support::http::{Browser, Request, Server};
use crate::support::own::{REFUSED, faulty, on_all_stores, quiet};

fn with_header(token: &str) -> Request {
    Request::post("/act", &[]).header("X-CSRF-Token", token)
}

fn with_field(token: &str) -> Request {
    Request::post("/form", &[("csrf_token", token), ("text", "typed")])
}

fn with_part(name: &str, token: &str) -> Request {
    let body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{token}\r\n--b\r\n\
         Content-Disposition: form-data; name=\"text\"\r\n\r\ntyped\r\n--b--\r\n"
    );
    Request::new("POST", "/form").body("multipart/form-data; boundary=b", body)
}

async fn accepts(browser: &mut Browser, request: Request) {
    let response = browser.send(request).await;
    assert_eq!(response.status, 200, "{}", response.text());
}

#[tokio::test]
async fn it_is_found_in_a_header_and_in_both_kinds_of_forms_on_all_stores() {
    on_all_stores(
        |rocket| {
            let rocket = rocket.attach(Visit::fairing()).attach(Visit::csrf());
            rocket.mount("/", routes![view, views, act, super::form])
        },
        async |server| {
            let mut browser = server.browser();
            let token = browser.get("/view").await.text();
            accepts(&mut browser, with_header(&token)).await;
            accepts(&mut browser, with_field(&token)).await;
            accepts(&mut browser, with_part("csrf_token", &token)).await;
            assert_eq!(browser.get("/views").await.text(), "301 -");
            for request in [with_header(""), with_field(""), with_part("other", &token)] {
                assert_eq!(browser.send(request).await.status, 403);
            }
            assert_eq!(browser.get("/views").await.text(), "301 -");
        },
    )
    .await;
}

#[tokio::test]
async fn a_body_is_read_whole_however_long_it_is() {
    let app = App::launch().await;
    let (mut browser, token) = app.visitor().await;
    for length in [0, 1, 300, 400, 512, 5_000, 20_000] {
        let text = "x".repeat(length);
        let body = format!("csrf_token={token}&text={text}");
        let request = Request::new("POST", "/form");
        let request = request.body("application/x-www-form-urlencoded; charset=utf-8", body);
        assert_eq!(browser.send(request).await.text(), length.to_string());
    }
}

#[tokio::test]
async fn it_counts_within_the_first_512_bytes() {
    let app = App::launch().await;
    let (mut browser, token) = app.visitor().await;
    let field = format!("&csrf_token={token}");
    for before in [0, 100, 512 - "text=".len() - field.len()] {
        let body = format!("text={}{field}", "x".repeat(before));
        let request = Request::new("POST", "/form").body("application/x-www-form-urlencoded", body);
        accepts(&mut browser, request).await;
    }
    for before in [513 - "text=".len() - field.len(), 500, 512, 600, 5_000] {
        let body = format!("text={}{field}", "x".repeat(before));
        let request = Request::new("POST", "/form").body("application/x-www-form-urlencoded", body);
        app.refuses(&mut browser, request, &before.to_string())
            .await;
    }
    let part = format!(
        "x\r\n--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n{}",
        "x".repeat(512)
    );
    let late = with_part("csrf_token", &token);
    let other = with_part(
        "other",
        &format!(
            "{part}\r\n--b\r\nContent-Disposition: form-data; name=\"csrf_token\"\r\n\r\n{token}"
        ),
    );
    accepts(&mut browser, late).await;
    app.refuses(&mut browser, other, "a late part").await;
}

/// A body of another type is not waited for.
#[tokio::test]
async fn it_is_not_looked_for_elsewhere() {
    let app = App::launch().await;
    let (mut browser, token) = app.visitor().await;
    let field = format!("csrf_token={token}");
    for content_type in ["text/plain", "application/json", "junk"] {
        let request = Request::new("POST", "/act").body(content_type, &*field);
        app.refuses(&mut browser, request, content_type).await;
    }
    let request = Request::new("POST", &format!("/act?{field}"));
    app.refuses(&mut browser, request, "the query").await;
    let request = Request::new("POST", "/act").header("Cookie", &field);
    app.refuses(&mut browser, request, "a cookie").await;
}

#[tokio::test]
async fn a_changed_or_cut_one_is_refused() {
    let app = App::launch().await;
    let (mut browser, token) = app.visitor().await;
    for index in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        app.refuses(&mut browser, with_header(&changed), &changed)
            .await;
        app.refuses(&mut browser, with_header(&token[..index]), "cut")
            .await;
    }
    for other in [
        format!("{token}A"),
        format!("{token}="),
        format!("{token}, {token}"),
        token.to_ascii_lowercase(),
        "A".repeat(43),
        "csrf_token".into(),
    ] {
        app.refuses(&mut browser, with_header(&other), &other).await;
    }
    accepts(&mut browser, with_header(&token)).await;
}

#[tokio::test]
async fn it_belongs_to_one_session() {
    let app = App::launch().await;
    let ((mut one, token), (mut other, others)) = (app.visitor().await, app.visitor().await);
    app.refuses(&mut one, with_header(&others), "another's")
        .await;
    app.refuses(&mut other, with_field(&token), "another's")
        .await;
    // Several are tried: each session type has its own.
    let both = with_header(&others).header("X-CSRF-Token", &token);
    accepts(&mut one, both).await;
    let both = Request::post("/form", &[("csrf_token", &others), ("csrf_token", &token)]);
    accepts(&mut one, both).await;
}

#[tokio::test]
async fn it_dies_with_the_token_that_it_was_made_of() {
    let app = App::launch().await;
    let (mut browser, anonymous) = app.visitor().await;
    accepts(
        &mut browser,
        Request::post("/login", &[]).header("X-CSRF-Token", &anonymous),
    )
    .await;
    app.refuses(&mut browser, with_header(&anonymous), "of before the login")
        .await;
    let logged_in = browser.get("/token").await.text();
    accepts(&mut browser, with_header(&logged_in)).await;
    accepts(
        &mut browser,
        Request::post("/rotate", &[]).header("X-CSRF-Token", &logged_in),
    )
    .await;
    app.refuses(
        &mut browser,
        with_field(&logged_in),
        "of before the rotation",
    )
    .await;
    let rotated = browser.get("/token").await.text();
    let before = browser.clone();
    accepts(
        &mut browser,
        Request::post("/logout", &[]).header("X-CSRF-Token", &rotated),
    )
    .await;
    let mut before = before;
    app.refuses(&mut before, with_header(&rotated), "of before the logout")
        .await;
}

#[tokio::test]
async fn it_is_shown_differently_each_time_and_by_no_debug() {
    let app = App::launch().await;
    let (mut browser, first) = app.visitor().await;
    let second = browser.get("/token").await.text();
    assert_ne!(first, second);
    for token in [first, second] {
        accepts(&mut browser, with_header(&token)).await;
    }
    let shown = browser.get("/field").await.text();
    let (field, debug) = shown.split_once("> ").unwrap();
    assert_eq!(debug, "CsrfToken(…)");
    let token = field.strip_prefix("<input type=\"hidden\" name=\"csrf_token\" value=\"");
    let token = token.unwrap().strip_suffix('"').unwrap();
    accepts(&mut browser, with_field(token)).await;
}

#[tokio::test]
async fn without_a_session_it_is_empty_and_not_asked_for() {
    let app = App::launch().await;
    let mut stranger = app.server.browser();
    let response = stranger.get("/token").await;
    assert_eq!(response.text(), "");
    assert_eq!(response.header("Cache-Control"), Some("private, no-cache"));
    assert!(stranger.jar.is_empty());
    accepts(&mut stranger, with_field("")).await;
}

/// The handler may replace the request's token and ask for the session again.
#[tokio::test]
async fn it_is_looked_at_once_for_each_request() {
    let app = App::launch().await;
    let (mut browser, token) = app.visitor().await;
    let request = Request::post("/again", &[]).header("X-CSRF-Token", token);
    assert_eq!(browser.send(request).await.text(), "true");
}

#[tokio::test]
async fn an_outage_is_a_503_and_no_refusal() {
    let app = App::launch().await;
    let (mut browser, token) = app.visitor().await;
    app.store.on(Verb::Load, 1, REFUSED);
    assert_eq!(browser.send(with_header(&token)).await.status, 503);
    accepts(&mut browser, with_header(&token)).await;
    // A refusal that needs no session is one during an outage too.
    app.store.on(Verb::Load, 1, REFUSED);
    let cross = with_header(&token).header("Sec-Fetch-Site", "cross-site");
    assert_eq!(browser.send(cross).await.status, 403);
}

#[session(cookie = "basket")]
struct Basket {
    items: u8,
}

#[get("/basket")]
async fn basket(mut basket: Session<Basket>, token: CsrfToken<Basket>) -> String {
    basket.items += 1;
    basket.save().await.unwrap();
    token.to_string()
}

#[post("/both")]
fn both(_visit: Session<Visit>, mut basket: Session<Basket>) -> String {
    basket.items += 1;
    basket.items.to_string()
}

#[tokio::test]
async fn each_session_type_has_its_own_and_is_protected_alone() {
    let store = faulty();
    let rocket = quiet()
        .attach(Visit::fairing().store(Arc::clone(&store)))
        .attach(Basket::fairing().store(store))
        .attach(Visit::csrf());
    let rocket = rocket.mount("/", routes![view, act, both]);
    let server = Server::launch(rocket).await;
    let mut browser = server.browser();
    let token = browser.get("/view").await.text();
    let cross = Request::post("/both", &[]).header("Sec-Fetch-Site", "cross-site");
    assert_eq!(browser.send(cross).await.status, 403, "one of them refuses");
    let own = Request::post("/both", &[]).header("X-CSRF-Token", token);
    assert_eq!(
        browser.send(own).await.text(),
        "1",
        "one of them needs none"
    );

    let rocket = quiet().attach(Visit::fairing()).attach(Visit::csrf());
    let rocket = rocket.attach(Basket::fairing()).attach(Basket::csrf());
    let server = Server::launch(rocket.mount("/", routes![view, act, basket, both])).await;
    let mut browser = server.browser();
    let visits = browser.get("/view").await.text();
    let baskets = browser.get("/basket").await.text();
    let with = |tokens: &[&str]| {
        let post = Request::post("/both", &[]);
        let header = |request: Request, token: &&str| request.header("X-CSRF-Token", token);
        tokens.iter().fold(post, header)
    };
    for tokens in [&[&*visits][..], &[&baskets]] {
        assert_eq!(browser.send(with(tokens)).await.status, 403);
    }
    assert_eq!(browser.send(with(&[&visits, &baskets])).await.text(), "2");
    assert_eq!(browser.send(with_header(&baskets)).await.status, 403);
}
