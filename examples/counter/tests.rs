//! Tests of an application. A kit replaces the store and the clock.

use std::collections::BTreeMap;
use std::time::Duration;

use rocket::http::{ContentType, Cookie, Status};
use rocket::local::blocking::{Client, LocalResponse};
use rocket_typed_session::testing::{TestKit, assert_layout, cross_site, same_origin};

use crate::{Visit, cart, rocket};

fn start() -> (TestKit, Client) {
    let kit = TestKit::new();
    let client = Client::untracked(kit.install(rocket())).expect("a rocket that launches");
    (kit, client)
}

fn get<'c>(client: &'c Client, path: &'c str, cookie: &Cookie<'static>) -> LocalResponse<'c> {
    client.get(path).cookie(cookie.clone()).dispatch()
}

fn post<'c>(
    client: &'c Client,
    path: &'c str,
    cookie: &Cookie<'static>,
    form: &str,
) -> LocalResponse<'c> {
    let request = client.post(path).header(ContentType::Form).body(form);
    let request = request.header(same_origin());
    request.cookie(cookie.clone()).dispatch()
}

fn text(response: LocalResponse<'_>) -> String {
    response.into_string().expect("a page")
}

fn ann() -> Visit {
    Visit {
        views: 9,
        user: Some("Ann".into()),
        notice: None,
        cart: BTreeMap::from([("Tea".into(), 2)]),
    }
}

#[test]
fn a_page_is_counted_for_who_is_logged_in() {
    let (kit, client) = start();
    let cookie = kit.seed_blocking(client.rocket(), ann());
    let page = text(get(&client, "/", &cookie));
    assert!(page.contains(r#"<p class="views">10</p>"#), "{page}");
    assert!(page.contains("Logged in as <strong>Ann</strong>"), "{page}");
    let visit: Visit = kit.read_blocking(client.rocket(), &cookie).expect("Ann's");
    assert_eq!(visit.views, 10);
}

#[test]
fn a_strangers_page_is_only_counted() {
    let (kit, client) = start();
    let response = client.get("/").dispatch();
    let visit: Option<Visit> = kit.read_blocking(client.rocket(), &response);
    let visit = visit.expect("a session");
    assert_eq!((visit.views, visit.user, visit.notice), (1, None, None));
    assert!(visit.cart.is_empty());
}

#[test]
fn a_login_is_welcomed_once() {
    let (kit, client) = start();
    let response = client
        .post("/login")
        .header(ContentType::Form)
        .body("user=%3Cb%3E")
        .dispatch();
    let cookie = response.cookies().get("id").expect("a cookie").clone();
    let cookie = cookie.into_owned();
    let first = text(get(&client, "/", &cookie));
    assert!(first.contains("Welcome, &lt;b&gt;"), "{first}");
    let second = text(get(&client, "/", &cookie));
    assert!(!second.contains("Welcome"), "{second}");
    let visit: Visit = kit.read_blocking(client.rocket(), &cookie).expect("one");
    assert_eq!((visit.views, visit.notice), (2, None));
}

#[test]
fn items_are_put_into_the_cart_and_removed() {
    let (kit, client) = start();
    let cookie = kit.seed_blocking(client.rocket(), ann());
    for form in [
        "item=+Milk+",
        "item=Tea&quantity=3",
        "item=%3Cb%3E&quantity=99",
    ] {
        let response = post(&client, "/cart", &cookie, form);
        assert_eq!(response.status(), Status::SeeOther, "{form}");
        assert_eq!(response.headers().get_one("Location"), Some("/cart"));
    }
    let page = text(get(&client, "/cart", &cookie));
    assert!(
        page.contains(r#"<span class="item">&lt;b&gt;</span>"#),
        "{page}"
    );
    assert!(!page.contains("<b>"), "{page}");
    post(&client, "/cart/remove", &cookie, "item=%3Cb%3E");
    post(&client, "/cart/remove", &cookie, "item=what+is+not+there");
    let visit: Visit = kit.read_blocking(client.rocket(), &cookie).expect("Ann's");
    let expected = [("Milk", 1), ("Tea", 3)].map(|(item, n)| (item.to_owned(), n));
    assert_eq!(visit.cart, BTreeMap::from(expected));
}

#[test]
fn what_is_refused_changes_no_cart() {
    let (kit, client) = start();
    let cookie = kit.seed_blocking(client.rocket(), ann());
    let too_long = format!("item={}", "x".repeat(65));
    let forms = [
        "",
        "item=+",
        &too_long,
        "item=Milk&quantity=0",
        "item=Milk&quantity=100",
        "item=Milk&quantity=-1",
        "item=Milk&quantity=many",
    ];
    for form in forms {
        let response = post(&client, "/cart", &cookie, form);
        assert_eq!(response.status(), Status::UnprocessableEntity, "{form}");
    }
    let visit: Visit = kit.read_blocking(client.rocket(), &cookie).expect("Ann's");
    assert_eq!(visit.cart, ann().cart);
}

#[test]
fn a_full_cart_takes_other_quantities_but_no_other_items() {
    let (kit, client) = start();
    let cart = (0..cart::MOST_ITEMS).map(|n| (n.to_string(), 1)).collect();
    let cookie = kit.seed_blocking(client.rocket(), Visit { cart, ..ann() });
    let other = post(&client, "/cart", &cookie, "item=Milk");
    assert_eq!(other.status(), Status::UnprocessableEntity);
    let more = post(&client, "/cart", &cookie, "item=7&quantity=2");
    assert_eq!(more.status(), Status::SeeOther);
}

#[test]
fn a_session_ends_half_an_hour_after_its_last_page() {
    let (kit, client) = start();
    let cookie = kit.seed_blocking(client.rocket(), ann());
    kit.advance(Duration::from_secs(29 * 60));
    assert_eq!(text(get(&client, "/count", &cookie)), "Number of views 10");
    kit.advance(Duration::from_secs(30 * 60));
    assert_eq!(text(get(&client, "/count", &cookie)), "Number of views 1");
}

#[test]
fn an_outage_is_a_503_and_ends_no_session() {
    let (kit, client) = start();
    let cookie = kit.seed_blocking(client.rocket(), ann());
    kit.break_store();
    for path in ["/", "/count", "/session", "/cart"] {
        let response = get(&client, path, &cookie);
        assert_eq!(response.status(), Status::ServiceUnavailable, "{path}");
        assert_eq!(response.cookies().iter().count(), 0, "{path}");
    }
    let logout = post(&client, "/logout", &cookie, "");
    assert_eq!(logout.status(), Status::ServiceUnavailable);
    kit.mend_store();
    assert_eq!(text(get(&client, "/count", &cookie)), "Number of views 10");
}

/// The forms carry no token: the browser says where a request comes from.
#[test]
fn another_site_changes_nothing_and_logs_nobody_in() {
    let (kit, client) = start();
    let cookie = kit.seed_blocking(client.rocket(), ann());
    for (path, form) in [
        ("/cart", "item=Milk"),
        ("/cart/remove", "item=Tea"),
        ("/login", "user=Mallory"),
        ("/logout", ""),
    ] {
        let request = || {
            let request = client.post(path).header(ContentType::Form).body(form);
            request.header(cross_site())
        };
        for request in [request(), request().cookie(cookie.clone())] {
            let response = request.dispatch();
            assert_eq!(response.status(), Status::Forbidden, "{path}");
            assert_eq!(response.cookies().iter().count(), 0, "{path}");
        }
    }
    let visit: Visit = kit.read_blocking(client.rocket(), &cookie).expect("Ann's");
    assert_eq!((visit.cart, visit.user), (ann().cart, ann().user));
}

/// Sessions outlive a deploy: this fails when their stored form changes.
#[test]
fn what_is_stored_is_what_it_was() {
    let full = Visit {
        notice: Some("Welcome".into()),
        ..ann()
    };
    assert_layout::<Visit>(
        &[full],
        "views: u64 = number, counter
         user: Option<String> = null | string, identity
         notice: Option<String> = null | string, once
         cart: BTreeMap<String,u32> = {number}, entries",
    );
}
