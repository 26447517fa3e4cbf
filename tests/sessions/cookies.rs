//! What goes over the wire, byte for byte.

use rocket::figment::Figment;
use rocket::{Build, Rocket};

use crate::app::{App, Visit, rocket};
use crate::support::http::{Connection, Request, Server};

/// In the release profile, with the default cookie.
async fn release(settings: &[(&str, &str)]) -> Server {
    let mut figment = Figment::from(rocket().figment()).select("release");
    for (key, value) in settings {
        figment = figment.merge((format!("sessions.visit.{key}"), *value));
    }
    let rocket: Rocket<Build> = rocket().configure(figment);
    Server::launch(rocket.attach(Visit::fairing())).await
}

fn without_value(cookie: &str) -> String {
    let (name, rest) = cookie.split_once('=').unwrap();
    let attributes = rest.find(';').map_or("", |index| &rest[index..]);
    format!("{name}{attributes}")
}

#[tokio::test]
async fn attributes_are_exact_on_creation_rotation_and_removal() {
    let server = release(&[("cookie", "__Host-id")]).await;
    let mut browser = server.browser();
    let secure = "__Host-id; HttpOnly; SameSite=Lax; Secure; Path=/";
    let created = browser.get("/view").await;
    assert_eq!(without_value(created.set_cookies()[0]), secure);
    let rotated = browser.post("/rotate", &[]).await;
    assert_eq!(without_value(rotated.set_cookies()[0]), secure);
    let removed = browser.post("/logout", &[]).await;
    let removal = without_value(removed.set_cookies()[0]);
    assert!(
        removal.starts_with(&format!("{secure}; Max-Age=0; Expires=")),
        "{removal}"
    );
    for response in [created, rotated, removed] {
        assert_eq!(response.header("Cache-Control"), Some("no-store"));
        assert_eq!(response.all("Vary").collect::<Vec<_>>(), ["Cookie"]);
    }
}

#[tokio::test]
async fn configured_attributes_are_on_the_wire() {
    let server = release(&[
        ("cookie", "mine"),
        ("path", "/app"),
        ("domain", "example.com"),
        ("same_site", "Strict"),
    ])
    .await;
    let response = server.browser().get("/view").await;
    assert_eq!(
        without_value(response.set_cookies()[0]),
        "mine; HttpOnly; SameSite=Strict; Secure; Path=/app; Domain=example.com"
    );
}

#[tokio::test]
async fn only_what_touches_the_session_says_so() {
    let app = App::in_memory().await;
    let mut browser = app.browser();
    for path in ["/static", "/absent"] {
        let response = browser.get(path).await;
        assert!(response.set_cookies().is_empty());
        assert_eq!(response.header("Vary"), None, "{path}");
        assert_eq!(response.header("Cache-Control"), None, "{path}");
    }
    let read = browser.get("/read").await;
    assert_eq!(read.header("Vary"), Some("Cookie"));
    assert_eq!(read.header("Cache-Control"), Some("private, no-cache"));
}

#[tokio::test]
async fn other_spellings_of_the_name_are_other_cookies() {
    let server = release(&[("cookie", "__Host-id")]).await;
    let mut victim = server.browser();
    victim.get("/note/victim").await;
    let good = victim.jar.get("__Host-id").unwrap().to_owned();
    let mut attacker = server.browser();
    attacker.get("/note/attacker").await;
    let evil = attacker.jar.get("__Host-id").unwrap().to_owned();
    let names: [&[u8]; 9] = [
        b"%5F%5FHost-id",
        b"__host-id",
        b"\xE2\x80\x80__Host-id",
        b"\xC2\x85__Host-id",
        b"\xC2\xA0__Host-id",
        b"=__Host-id",
        b"\"__Host-id\"",
        b"$Version=1, __Host-id",
        b"x__Host-id",
    ];
    for name in names {
        let evil = [name, b"=", evil.as_bytes()].concat();
        let good = format!("__Host-id={good}").into_bytes();
        for headers in [
            vec![[&good, &b"; "[..], &evil].concat()],
            vec![[&evil, &b"; "[..], &good].concat()],
            vec![good.clone(), evil.clone()],
            vec![evil.clone(), good.clone()],
        ] {
            let mut request = Request::get("/read");
            for header in &headers {
                request = request.header("Cookie", header);
            }
            let mut connection = Connection::open(victim.address()).await.unwrap();
            let response = connection.send(&request).await.text();
            let shown = String::from_utf8_lossy(name);
            assert!(response.ends_with("note=victim"), "{shown}: {response}");
        }
        let alone = Request::get("/read").header("Cookie", &evil);
        let mut connection = Connection::open(victim.address()).await.unwrap();
        assert!(connection.send(&alone).await.text().ends_with("note="));
    }
}

#[tokio::test]
async fn two_host_cookies_are_tampering_and_none_is_believed() {
    let server = release(&[("cookie", "__Host-id")]).await;
    let mut victim = server.browser();
    victim.get("/note/victim").await;
    let good = victim.jar.get("__Host-id").unwrap().to_owned();
    for header in [
        format!("__Host-id={good}; __Host-id={}", "A".repeat(64)),
        format!("__Host-id=junk; __Host-id={good}"),
    ] {
        let request = Request::get("/read").header("Cookie", &header);
        let mut connection = Connection::open(victim.address()).await.unwrap();
        let response = connection.send(&request).await;
        assert!(response.text().ends_with("note="), "{header}");
        assert!(response.set_cookies().is_empty());
    }
}

#[tokio::test]
async fn of_two_plain_cookies_the_living_one_counts() {
    let app = App::in_memory().await;
    let (mut first, mut second) = (app.browser(), app.browser());
    first.get("/note/first").await;
    second.get("/note/second").await;
    let [one, two] = [&first, &second].map(|browser| browser.jar.get("visit").unwrap().to_owned());
    let dead = "A".repeat(64);
    for (header, note) in [
        (format!("visit={dead}; visit={one}"), "note=first"),
        (format!("visit={one}; visit={dead}"), "note=first"),
        (
            format!("visit=junk; visit={one}; visit={one}"),
            "note=first",
        ),
        (format!("visit={one}; visit={two}"), "note="),
    ] {
        let request = Request::get("/read").header("Cookie", &header);
        let mut connection = Connection::open(first.address()).await.unwrap();
        assert!(
            connection.send(&request).await.text().ends_with(note),
            "{header}"
        );
    }
}

#[tokio::test]
async fn junk_is_anonymous_and_harmless() {
    let app = App::on_redis().await;
    let mut browser = app.browser();
    browser.get("/view").await;
    let good = browser.jar.get("visit").unwrap().to_owned();
    let monitor = app.redis().monitor();
    for junk in [
        "".to_owned(),
        "x".to_owned(),
        good[1..].to_owned(),
        format!("{good}A"),
        format!("{good}="),
        format!("\"{good}\""),
        format!("%{:02X}{}", good.as_bytes()[0], &good[1..]),
        "../../../etc/passwd".to_owned(),
        "*".repeat(64),
        "{x}".repeat(18),
        "é".repeat(27),
        "A".repeat(60_000),
        "a=b; ".repeat(10_000),
    ] {
        let request = Request::get("/read").header("Cookie", format!("visit={junk}"));
        let mut connection = Connection::open(browser.address()).await.unwrap();
        let response = connection.send(&request).await;
        assert_eq!(response.status, 200, "{junk:.60}");
        assert!(response.text().starts_with("views=0"), "{junk:.60}");
        assert!(response.set_cookies().is_empty(), "{junk:.60}");
    }
    assert_eq!(monitor.take(), [], "junk costs no command");
}

/// Rocket drops a `Cookie` header that is not UTF-8; the good cookie in it must survive.
#[tokio::test]
async fn a_reader_whose_cookies_cannot_be_read_keeps_them() {
    let app = App::in_memory().await;
    let mut browser = app.browser();
    browser.get("/view").await;
    let good = browser.jar.header().unwrap();
    let header = [good.as_bytes(), b"; x=\xff"].concat();
    let mut connection = Connection::open(browser.address()).await.unwrap();
    let response = connection
        .send(&Request::get("/read").header("Cookie", header))
        .await;
    assert_eq!(response.status, 200);
    assert!(response.set_cookies().is_empty());
    assert_eq!(browser.get("/result").await.text(), "views=1");
}

#[tokio::test]
async fn tokens_come_in_cookies_only() {
    let app = App::in_memory().await;
    let mut browser = app.browser();
    browser.get("/view").await;
    let token = browser.jar.get("visit").unwrap().to_owned();
    let request = Request::get(&format!("/result?visit={token}"))
        .header("Visit", &token)
        .header("X-Session", &token)
        .header("Authorization", format!("Bearer {token}"));
    let mut connection = Connection::open(browser.address()).await.unwrap();
    assert_eq!(connection.send(&request).await.text(), "views=0");
}
