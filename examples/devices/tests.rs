//! The application in two browsers. A kit replaces the store.

use rocket::http::{ContentType, Cookie, Header, Status};
use rocket::local::blocking::{Client, LocalResponse};
use rocket_typed_session::testing::{TestKit, cross_site, same_origin};

use crate::rocket;

fn start() -> Client {
    let kit = TestKit::new();
    Client::untracked(kit.install(rocket())).expect("a rocket that launches")
}

fn get<'c>(client: &'c Client, path: &'c str, cookie: &Cookie<'static>) -> LocalResponse<'c> {
    client.get(path).cookie(cookie.clone()).dispatch()
}

fn post<'c>(client: &'c Client, path: &'c str, cookie: &Cookie<'static>) -> LocalResponse<'c> {
    let request = client.post(path).header(same_origin());
    request.cookie(cookie.clone()).dispatch()
}

fn log_in(client: &Client, user: &str, browser: &'static str) -> Cookie<'static> {
    let form = format!("user={user}&password=let+me+in&next=/admin");
    let request = client.post("/login").header(ContentType::Form).body(form);
    let request = request.header(Header::new("User-Agent", browser));
    let response = request.header(same_origin()).dispatch();
    assert_eq!(response.headers().get_one("Location"), Some("/admin"));
    let cookie = response.cookies().get("id").expect("a cookie");
    cookie.clone().into_owned()
}

fn page(client: &Client, cookie: &Cookie<'static>) -> Option<String> {
    let response = get(client, "/", cookie);
    match response.status() {
        Status::Ok => response.into_string(),
        _ => None,
    }
}

#[test]
fn a_stranger_is_sent_to_the_login_and_back() {
    let client = start();
    let response = client.get("/").dispatch();
    assert_eq!(response.status(), Status::SeeOther);
    let location = response.headers().get_one("Location").expect("a place");
    assert_eq!(location, "/login?next=%2F");
    let form = client
        .get(location)
        .dispatch()
        .into_string()
        .expect("a form");
    assert!(form.contains(r#"name="next" value="/""#), "{form}");
}

#[test]
fn each_sees_their_devices_and_ends_one() {
    let client = start();
    let phone = log_in(&client, "ann", "Phone <b>");
    let laptop = log_in(&client, "ann", "Laptop");
    let bob = log_in(&client, "bob", "Desktop");
    let devices = page(&client, &laptop).expect("a page");
    assert!(
        devices.contains("Phone &lt;b&gt;") && devices.contains("Laptop"),
        "{devices}"
    );
    assert!(!devices.contains("Desktop"), "{devices}");
    // The other device.
    let rows = devices.split("<li>").find(|row| row.contains("Phone"));
    let (_, id) = rows
        .and_then(|row| row.split_once("/devices/"))
        .expect("its id");
    let (id, _) = id.split_once('/').expect("its end");
    post(&client, &format!("/devices/{id}/end"), &laptop);
    assert!(page(&client, &phone).is_none());
    assert!(page(&client, &laptop).is_some());
    post(&client, "/log-out-everywhere", &laptop);
    assert!(page(&client, &laptop).is_none());
    assert!(page(&client, &bob).is_some());
    post(&client, "/logout", &bob);
    assert!(page(&client, &bob).is_none());
}

#[test]
fn administrators_have_an_area_of_their_own() {
    let client = start();
    let (ann, admin) = (log_in(&client, "ann", ""), log_in(&client, "admin", ""));
    assert_eq!(client.get("/admin").dispatch().status(), Status::Forbidden);
    assert_eq!(get(&client, "/admin", &ann).status(), Status::Forbidden);
    assert_eq!(get(&client, "/admin", &admin).status(), Status::Ok);
}

#[test]
fn another_site_can_neither_log_in_nor_out() {
    let client = start();
    let ann = log_in(&client, "ann", "");
    for path in ["/logout", "/log-out-everywhere", "/login"] {
        let request = client
            .post(path)
            .header(cross_site())
            .header(ContentType::Form);
        let request = request.body("user=eve&password=let+me+in&next=/");
        let response = request.cookie(ann.clone()).dispatch();
        assert_eq!(response.status(), Status::Forbidden, "{path}");
    }
    assert!(page(&client, &ann).is_some());
}

#[test]
fn who_mistypes_the_password_is_asked_again_and_goes_on_to_the_same_page() {
    let client = start();
    let request = client.post("/login").header(ContentType::Form);
    let request = request.body("user=ann&password=wrong&next=/%3Fa=b");
    let response = request.header(same_origin()).dispatch();
    assert!(response.cookies().get("id").is_none());
    let next = response.headers().get_one("Location").expect("a place");
    let response = client.get(next.to_owned()).dispatch();
    let location = response.headers().get_one("Location");
    assert_eq!(location, Some("/login?next=%2F%3Fa%3Db"));
}

/// Counts the formatted lines of `main.rs` except blank ones, comments and `use`. The HTML does not count.
#[test]
fn an_application_with_all_of_this_has_at_most_sixty_lines() {
    let lines = include_str!("main.rs").lines().map(str::trim);
    let is_code = |line: &&str| {
        let others = ["//", "use "];
        !line.is_empty() && !others.iter().any(|other| line.starts_with(other))
    };
    let count = lines.filter(is_code).count();
    assert!(count <= 60, "{count} lines");
}
