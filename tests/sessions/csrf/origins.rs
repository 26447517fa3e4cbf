//! What `Sec-Fetch-Site`, `Origin` and `Host` decide.

use proptest::collection::vec;
use proptest::prelude::*;
use session_core::testing::Verb;

use super::{App, assert_refused};
use crate::support::http::{Connection, Request};

const OWN: &str = "http://127.0.0.1";
const TRUSTED: &str = "https://app.example.com";

#[tokio::test]
async fn each_combination_of_headers_is_decided_as_documented() {
    let app = App::launch().await;
    let (browser, right) = app.visitor().await;
    let living = browser.jar.header().unwrap();
    let dead = format!("visit={}", "A".repeat(64));
    let wrong = "A".repeat(43);
    let mut connection = Connection::open(browser.address()).await.unwrap();
    let mut refused = 0;
    for (method, path) in [
        ("POST", "/act"),
        ("PUT", "/act"),
        ("GET", "/views"),
        ("HEAD", "/views"),
    ] {
        for site in ["", "same-origin", "none", "same-site", "cross-site", "junk"] {
            for origin in ["", OWN, TRUSTED, "https://evil.example", "null"] {
                for cookie in ["", &living, &dead] {
                    for token in ["", &right, &wrong] {
                        let headers = [
                            ("Sec-Fetch-Site", site),
                            ("Origin", origin),
                            ("Cookie", cookie),
                            ("X-CSRF-Token", token),
                        ];
                        let headers = headers.into_iter().filter(|(_, value)| !value.is_empty());
                        let request = headers
                            .fold(Request::new(method, path), |request, (name, value)| {
                                request.header(name, value)
                            });
                        let response = connection.send(&request).await;
                        let is_safe = ["GET", "HEAD"].contains(&method);
                        let by_site = ["same-origin", "none"].contains(&site);
                        let by_origin = origin == TRUSTED || site.is_empty() && origin == OWN;
                        let by_token = cookie.is_empty() || cookie == living && token == right;
                        let by_token = by_token && site.is_empty() && origin.is_empty();
                        let passes = is_safe || by_site || by_origin || by_token;
                        let what = format!("{method} {site} {origin} {cookie} {token}");
                        if passes {
                            assert_eq!(response.status, 200, "{what}");
                        } else {
                            assert_refused(&response, &what);
                            refused += 1;
                        }
                    }
                }
            }
        }
    }
    // 2 methods. Of the 30 pairs of headers, 10 have a right site, 4 + 1 a right origin, and 1 is empty: with
    // it, 5 of the 9 pairs of cookie and token are refused.
    assert_eq!(refused, 2 * (14 * 9 + 5));
}

/// The `Lax` cookie does not come along, so the victim would be logged in as the attacker.
#[tokio::test]
async fn another_site_logs_nobody_in() {
    let app = App::launch().await;
    for (name, value) in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Origin", ""),
    ] {
        let mut victim = app.server.browser();
        let login = Request::post("/login", &[]).header(name, value);
        app.refuses(&mut victim, login, value).await;
        assert!(victim.jar.is_empty());
    }
    assert!(app.store.calls().is_empty(), "nothing is looked up either");
}

#[tokio::test]
async fn a_refusal_stores_nothing_and_leaves_the_cookie_alone() {
    let app = App::launch().await;
    let (mut browser, _) = app.visitor().await;
    for path in ["/act", "/login", "/rotate", "/logout", "/end-anyway"] {
        for site in [
            "cross-site",
            "same-site",
            "Same-Origin",
            "same-origin, cross-site",
        ] {
            let request = Request::post(path, &[]).header("Sec-Fetch-Site", site);
            if path == "/end-anyway" {
                let response = browser.send(request).await;
                assert!(response.set_cookies().is_empty(), "{site}");
            } else {
                app.refuses(&mut browser, request, &format!("{path} {site}"))
                    .await;
            }
        }
    }
    assert_eq!(browser.get("/views").await.text(), "1 -");
}

/// Not even when a token had to be checked.
#[tokio::test]
async fn a_refusal_extends_no_session() {
    let app = App::launch().await;
    let (mut browser, _) = app.visitor().await;
    app.clock.advance(std::time::Duration::from_secs(20 * 60));
    let before = app.store.calls().len();
    let wrong = Request::post("/act", &[]).header("X-CSRF-Token", "A".repeat(43));
    assert_refused(&browser.send(wrong).await, "a wrong token");
    let calls = app.store.calls().split_off(before);
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].verb, Verb::Load);
    browser.get("/views").await;
    let touches = app
        .store
        .calls()
        .into_iter()
        .filter(|call| call.verb == Verb::Update);
    assert_eq!(touches.count(), 1, "it was due");
}

#[tokio::test]
async fn no_guard_hands_a_session_out() {
    let app = App::launch().await;
    let (mut browser, _) = app.visitor().await;
    let cross = |path| Request::post(path, &[]).header("Sec-Fetch-Site", "cross-site");
    assert_eq!(browser.send(cross("/optional")).await.text(), "none");
    assert_eq!(
        browser.send(cross("/result")).await.text(),
        "refused refused"
    );
    assert_eq!(
        browser.send(cross("/without")).await.text(),
        "no session here"
    );
    let own = |path| Request::post(path, &[]).header("Sec-Fetch-Site", "same-origin");
    assert_eq!(browser.send(own("/optional")).await.text(), "some");
    assert_eq!(browser.send(own("/result")).await.text(), "passed passed");
}

#[tokio::test]
async fn different_values_of_one_header_are_tampering_and_equal_ones_are_not() {
    let app = App::launch().await;
    let (mut browser, right) = app.visitor().await;
    let own = Request::post("/act", &[]).header("X-CSRF-Token", right);
    for (name, value, other) in [
        ("Sec-Fetch-Site", "same-origin", "none"),
        ("Origin", OWN, TRUSTED),
        ("Origin", OWN, "null"),
    ] {
        for (first, second) in [(value, other), (other, value)] {
            let request = own.clone().header(name, first).header(name, second);
            app.refuses(&mut browser, request, first).await;
        }
        let request = own.clone().header(name, value).header(name, value);
        assert_eq!(browser.send(request).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn an_origin_is_compared_with_the_host() {
    let app = App::launch().await;
    let (browser, _) = app.visitor().await;
    for (origin, host, passes) in [
        ("http://example.com", "example.com", true),
        ("https://EXAMPLE.com", "Example.COM", true),
        ("https://example.com", "example.com:443", true),
        ("http://example.com:80", "example.com", true),
        ("http://[::1]:8000", "[::1]:8000", true),
        ("https://example.com", "example.com:80", false),
        ("https://example.com:8443", "example.com", false),
        ("https://evil.example.com", "example.com", false),
        ("https://example.com", "evil.example.com", false),
        ("https://example.com.evil", "example.com", false),
        ("https://example.com/", "example.com", false),
        ("https://user@example.com", "example.com", false),
        (
            "https://example.com https://evil.example",
            "example.com",
            false,
        ),
        ("example.com", "example.com", false),
        ("null", "null", false),
    ] {
        let mut connection = Connection::open(browser.address()).await.unwrap();
        let request = format!(
            "POST /act HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nContent-Length: 0\r\n\r\n"
        );
        connection.send_raw(request.as_bytes()).await;
        let status = connection.receive(false).await.status;
        assert_eq!(status == 200, passes, "{origin} {host}: {status}");
    }
}

/// Any site's page can open one, with the cookies that `SameSite` lets through.
#[tokio::test]
async fn a_websocket_is_opened_by_own_pages_alone() {
    let app = App::launch().await;
    let (mut browser, right) = app.visitor().await;
    let handshake = || Request::get("/views").header("Upgrade", "h2c, WebSocket");
    for (site, origin, passes) in [
        ("same-origin", "", true),
        ("", OWN, true),
        ("cross-site", OWN, true),
        ("cross-site", TRUSTED, true),
        ("cross-site", "https://evil.example", false),
        ("same-site", "https://sub.example.com", false),
        ("", "https://evil.example", false),
        ("cross-site", "", false),
        ("", "", false),
    ] {
        let headers = [("Sec-Fetch-Site", site), ("Origin", origin)];
        let headers = headers.into_iter().filter(|(_, value)| !value.is_empty());
        let request = headers.fold(handshake(), |request, (name, value)| {
            request.header(name, value)
        });
        let status = browser.send(request).await.status;
        assert_eq!(status == 200, passes, "{site} {origin}");
    }
    let proved = handshake().header("X-CSRF-Token", right);
    assert_eq!(browser.send(proved).await.status, 200);
    assert_eq!(app.server.browser().send(handshake()).await.status, 200);
    let other = Request::get("/views").header("Upgrade", "h2c");
    assert_eq!(browser.send(other).await.status, 200);
}

/// Rocket takes the method from the form's `_method`.
#[tokio::test]
async fn a_method_in_a_form_is_the_method() {
    let app = App::launch().await;
    let (mut browser, _) = app.visitor().await;
    let with = |method: &str, site| {
        let request = Request::new("POST", "/act").header("Sec-Fetch-Site", site);
        request.body(
            "application/x-www-form-urlencoded",
            format!("_method={method}"),
        )
    };
    app.refuses(&mut browser, with("put", "cross-site"), "put")
        .await;
    assert_eq!(browser.send(with("put", "same-origin")).await.status, 200);
    let read = with("get", "cross-site");
    assert_eq!(browser.send(read).await.status, 404);
    assert_eq!(browser.get("/views").await.text(), "101 -");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn junk_is_refused(headers in vec((0_usize..4, vec(0x20_u8..=0xff, 0..60)), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let app = App::launch().await;
            let (mut browser, _) = app.visitor().await;
            for (name, value) in headers {
                let name = ["Sec-Fetch-Site", "Origin", "X-CSRF-Token", "Content-Type"][name];
                let request = Request::post("/act", &[]).header(name, value);
                let status = browser.send(request).await.status;
                assert!([400, 403].contains(&status), "{name}: {status}");
            }
            assert_eq!(browser.get("/views").await.text(), "1 -");
        });
    }
}
