//! What stops a launch, what is exempt, and what the log says.

use log::Level;
use rocket::error::ErrorKind;
use rocket::fairing::AdHoc;
use rocket::local::asynchronous::Client;
use rocket::{Build, Rocket, routes};

use super::{App, Visit, act, hook, special_hook, token, views};
use crate::support::http::{Request, Server};
use crate::support::log::{Log, alone};
use crate::support::own::quiet;

/// Whether the launch fails in a fairing rather than a sentinel.
async fn is_fairings_fault(rocket: Rocket<Build>) -> Option<bool> {
    let error = Client::untracked(rocket).await.err()?;
    Some(matches!(error.kind(), ErrorKind::FailedFairings(_)))
}

#[tokio::test]
async fn it_needs_the_sessions_own_fairing_in_any_order_and_once() {
    let before = quiet().attach(Visit::csrf()).attach(Visit::fairing());
    assert_eq!(is_fairings_fault(before).await, None);
    let alone = quiet().attach(Visit::csrf());
    assert_eq!(is_fairings_fault(alone).await, Some(true));
    let twice = quiet().attach(Visit::fairing()).attach(Visit::csrf());
    assert_eq!(
        is_fairings_fault(twice.attach(Visit::csrf())).await,
        Some(true)
    );
}

#[tokio::test]
async fn a_token_that_nothing_asks_for_aborts() {
    let rocket = || quiet().attach(Visit::fairing()).mount("/", routes![token]);
    assert_eq!(is_fairings_fault(rocket()).await, Some(false));
    assert_eq!(
        is_fairings_fault(rocket().attach(Visit::csrf())).await,
        None
    );
}

#[test]
fn a_trusted_origin_and_an_exempt_route_are_checked_and_the_log_has_the_fix() {
    alone(async || {
        let log = Log::keep();
        let base = || {
            quiet()
                .attach(Visit::fairing())
                .mount("/hooks", routes![hook])
        };
        for (csrf, fix) in [
            (
                Visit::csrf().trust("app.example.com"),
                "`.trust(\"app.example.com\")`: this is not an origin; write scheme, host and perhaps \
                 a port, like \"https://app.example.com\"",
            ),
            (
                Visit::csrf().trust("https://app.example.com/"),
                "`.trust(\"https://app.example.com/\")`: this is not an origin",
            ),
            (
                Visit::csrf().trust("null"),
                "`.trust(\"null\")`: this is not an origin",
            ),
            (
                Visit::csrf().trust("*"),
                "`.trust(\"*\")`: this is not an origin",
            ),
            (
                Visit::csrf().exempt("/hooks/<name>"),
                "`.exempt(\"/hooks/<name>\")`: no route has this URI; did you mean \
                 `.exempt(\"/hooks/<_name>\")`?",
            ),
            (
                Visit::csrf().exempt("/somewhere/else/altogether"),
                "`.exempt(\"/somewhere/else/altogether\")`: no route has this URI",
            ),
        ] {
            let before = log.with(fix).len();
            assert_eq!(
                is_fairings_fault(base().attach(csrf)).await,
                Some(true),
                "{fix}"
            );
            let lines = log.with(fix);
            assert_eq!(lines.len() - before, 1, "{fix}: {:#?}", log.lines());
            assert!(lines[0].text.starts_with("session type visit: "), "{fix}");
        }
        // The check sees a route that a later fairing mounts.
        let late = quiet()
            .attach(Visit::csrf().exempt("/hooks/<_name>"))
            .attach(Visit::fairing())
            .attach(AdHoc::on_ignite("Hooks", |rocket| async {
                rocket.mount("/hooks", routes![hook])
            }));
        assert_eq!(is_fairings_fault(late).await, None);
    });
}

#[tokio::test]
async fn one_route_is_exempt_and_none_beside_it() {
    let app = App::launch().await;
    let (mut browser, _) = app.visitor().await;
    let cross = |path: &str| Request::post(path, &[]).header("Sec-Fetch-Site", "cross-site");
    assert_eq!(browser.send(cross("/hooks/any")).await.status, 200);
    assert_eq!(browser.get("/views").await.text(), "1001 -");
    for other in ["/hooks/special", "/act", "/forward/word"] {
        app.refuses(&mut browser, cross(other), other).await;
    }
    assert_eq!(browser.send(cross("/forward/1")).await.status, 200);
    assert_eq!(browser.send(cross("/hooks/any/more")).await.status, 404);
    // A caller without a session needs no exemption.
    let webhook = Request::post("/hooks/special", &[]);
    assert_eq!(app.server.browser().send(webhook).await.status, 200);
}

#[test]
fn a_refusal_is_one_warning_a_second_and_repeats_nothing_of_the_request() {
    alone(async || {
        let log = Log::keep();
        let rocket = quiet().attach(Visit::fairing()).attach(Visit::csrf());
        let rocket = rocket.mount("/", routes![act, views, special_hook]);
        let server = Server::launch(rocket).await;
        for _ in 0..20 {
            let request = Request::post("/act?evil=%0aerror:%20evil", &[])
                .header("Sec-Fetch-Site", "evil%0d%0aevil\"'`{}")
                .header("Origin", "https://evil%0a%1b[31mevil\"")
                .header("X-CSRF-Token", "evil");
            assert_eq!(server.browser().send(request).await.status, 403);
        }
        // Rocket logs each failed guard, too, and repeats our words.
        let lines = log.with("session type visit: refused");
        assert!((1..20).contains(&lines.len()), "{lines:#?}");
        assert_eq!(lines[0].level, Level::Warn);
        assert_eq!(
            lines[0].text,
            "session type visit: refused a cross-site request: its `Sec-Fetch-Site` says so, \
             and its `Origin` is not trusted event=\"refused\" reason=\"other_site\""
        );
        assert!(log.with("evil").is_empty(), "{:#?}", log.lines());
    });
}
