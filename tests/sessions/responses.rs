//! What a response says besides the cookie, and responses without a body.

use rocket::response::Responder;
use rocket::{get, routes};
use rocket_typed_session::{Session, session};

use crate::support::http::{Request, Server};
use crate::support::own::{on_all_stores, quiet};

#[session(cookie = "visit")]
struct Visit {
    #[session(counter)]
    views: u64,
}

#[get("/view")]
fn view(mut visit: Session<Visit>) -> String {
    visit.views += 1;
    visit.views.to_string()
}

#[get("/read")]
fn read(visit: Session<Visit>) -> String {
    visit.views.to_string()
}

struct Chosen(&'static str, &'static str);

impl<'r> Responder<'r, 'static> for Chosen {
    fn respond_to(self, _: &'r rocket::Request<'_>) -> rocket::response::Result<'static> {
        let Self(name, value) = self;
        let mut response = rocket::Response::build();
        response.raw_header(name, value);
        if name == "Cache-Control" {
            response.raw_header("CDN-Cache-Control", "max-age=60");
        }
        Ok(response.finalize())
    }
}

#[get("/cached")]
fn cached(mut visit: Session<Visit>) -> Chosen {
    visit.views += 1;
    Chosen("Cache-Control", "private, max-age=60")
}

#[get("/varies/<how>")]
fn varies(_visit: Session<Visit>, how: &str) -> Chosen {
    Chosen(
        "Vary",
        match how {
            "otherwise" => "Accept, Origin",
            "already" => "accept, COOKIE",
            _ => "*",
        },
    )
}

async fn launch() -> Server {
    let routes = routes![view, read, cached, varies];
    Server::launch(quiet().attach(Visit::fairing()).mount("/", routes)).await
}

#[tokio::test]
async fn a_response_that_sets_the_cookie_is_never_cacheable() {
    let server = launch().await;
    let mut browser = server.browser();
    let response = browser.get("/cached").await;
    assert_eq!(response.set_cookies().len(), 1);
    let caching: Vec<_> = response.all("Cache-Control").collect();
    assert_eq!(caching, ["no-store"]);
    assert_eq!(response.header("CDN-Cache-Control"), None);
    // A response without a new cookie keeps the application's headers.
    let response = browser.get("/cached").await;
    let caching: Vec<_> = response.all("Cache-Control").collect();
    assert_eq!(caching, ["private, max-age=60"]);
    assert_eq!(response.header("CDN-Cache-Control"), Some("max-age=60"));
}

#[tokio::test]
async fn a_response_varies_by_the_cookie_and_by_what_the_application_said() {
    let server = launch().await;
    for (how, expected) in [
        ("otherwise", &["Accept, Origin", "Cookie"][..]),
        ("already", &["accept, COOKIE"]),
        ("by-everything", &["*"]),
    ] {
        let response = server.browser().get(&format!("/varies/{how}")).await;
        assert_eq!(response.all("Vary").collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn a_head_request_has_its_session_as_a_get_has() {
    on_all_stores(
        |rocket| {
            let routes = routes![view, read];
            rocket.attach(Visit::fairing()).mount("/", routes)
        },
        async |server| {
            let mut browser = server.browser();
            let response = browser.send(Request::new("HEAD", "/view")).await;
            assert_eq!((response.status, response.body.len()), (200, 0));
            assert_eq!(response.set_cookies().len(), 1);
            assert_eq!(response.header("Cache-Control"), Some("no-store"));
            assert_eq!(browser.get("/read").await.text(), "1");
            let response = browser.send(Request::new("HEAD", "/read")).await;
            assert!(response.set_cookies().is_empty());
            assert_eq!(response.header("Vary"), Some("Cookie"));
            assert_eq!(browser.get("/view").await.text(), "2");
        },
    )
    .await;
}
