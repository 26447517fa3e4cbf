//! Concurrent requests on one session lose nothing, and an end is final. On both stores, with forced
//! interleavings.

use crate::app::{App, MINUTE, on_both_stores};
use crate::support::http::{Browser, Response};

/// Runs `meanwhile` while the handler of `slow` waits.
async fn during(app: &App, browser: &Browser, slow: &str, meanwhile: impl Future) -> Response {
    let mut other = browser.clone();
    let slow = slow.to_owned();
    let request = tokio::spawn(async move {
        match slow.strip_prefix("POST ") {
            Some(path) => other.post(path, &[]).await,
            None => other.get(&slow).await,
        }
    });
    app.gate.entered().await;
    meanwhile.await;
    app.gate.release();
    request.await.unwrap()
}

#[tokio::test]
async fn two_requests_that_set_different_fields_are_both_kept() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.get("/view").await;
        let mut other = browser.clone();
        during(&app, &browser, "/slow/note/slow", other.get("/dark")).await;
        let read = browser.get("/read").await.text();
        assert_eq!(read, "views=1 user=- theme=Dark note=slow");
    })
    .await;
}

#[tokio::test]
async fn two_requests_that_count_are_both_counted() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.get("/view").await;
        let mut other = browser.clone();
        during(&app, &browser, "/slow/view", async {
            other.get("/view").await;
            other.get("/view").await;
        })
        .await;
        assert_eq!(browser.get("/result").await.text(), "views=4");
    })
    .await;
}

#[tokio::test]
async fn the_same_field_is_the_last_writers() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.get("/view").await;
        let mut other = browser.clone();
        during(&app, &browser, "/slow/note/last", other.get("/note/first")).await;
        assert!(browser.get("/read").await.text().ends_with("note=last"));
    })
    .await;
}

#[tokio::test]
async fn save_tells_what_was_counted_and_reload_what_was_written_meanwhile() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.get("/view").await;
        let mut other = browser.clone();
        let response = during(&app, &browser, "/slow/save", async {
            other.get("/view").await;
            other.get("/note/theirs").await;
        })
        .await;
        assert_eq!(
            response.text(),
            "saved=true views=3 reloaded=true note=theirs"
        );
    })
    .await;
}

/// The race that brings logged-out sessions back in most session libraries: rack CVE-2025-46336,
/// connect-redis#328, express-session#632.
#[tokio::test]
async fn a_logout_during_a_slow_writer_is_final() {
    on_both_stores(async |app| {
        for slow in ["/slow/note/back", "/slow/view", "/slow/save"] {
            let mut browser = app.browser();
            browser.post("/login/alice", &[]).await;
            let mut other = browser.clone();
            let response = during(&app, &browser, slow, other.post("/logout", &[])).await;
            assert!(response.set_cookies().is_empty(), "{slow}: {response:?}");
            assert!(other.jar.is_empty());
            let read = browser.get("/read").await.text();
            assert_eq!(read, "views=0 user=- theme=Light note=", "{slow}");
            if let Some(redis) = &app.redis {
                assert!(redis.keys().is_empty(), "{slow}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_logout_during_a_slow_touch_is_final() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.get("/view").await;
        app.clock.advance(10 * MINUTE);
        let mut other = browser.clone();
        let response = during(&app, &browser, "/slow/read", other.post("/logout", &[])).await;
        assert_eq!(response.text(), "1");
        assert!(response.set_cookies().is_empty());
        assert_eq!(browser.get("/result").await.text(), "views=0");
        if let Some(redis) = &app.redis {
            assert!(redis.keys().is_empty());
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_that_began_before_a_login_writes_nothing_into_the_session_after_it() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.get("/view").await;
        let mut other = browser.clone();
        let slow = "/slow/note/before";
        let response = during(&app, &browser, slow, other.post("/login/alice", &[])).await;
        assert!(response.set_cookies().is_empty(), "{response:?}");
        let read = other.get("/read").await.text();
        assert_eq!(read, "views=1 user=alice theme=Light note=");
    })
    .await;
}

#[tokio::test]
async fn a_login_during_a_login_or_a_logout_gets_a_session_of_its_own() {
    on_both_stores(async |app| {
        for (before, meanwhile) in [
            ("/note/kept", "/login/alice"),
            ("/note/kept", "/rotate"),
            ("/note/kept", "/logout"),
            ("POST /login/alice", "/logout"),
        ] {
            let mut browser = app.browser();
            match before.strip_prefix("POST ") {
                Some(path) => browser.post(path, &[]).await,
                None => browser.get(before).await,
            };
            let mut other = browser.clone();
            let slow = "POST /slow/login/bob";
            let response = during(&app, &browser, slow, other.post(meanwhile, &[])).await;
            assert_eq!(response.status, 200, "{meanwhile}");
            browser.jar.keep(&response);
            let read = browser.get("/read").await.text();
            assert_eq!(read, "views=0 user=bob theme=Light note=", "{meanwhile}");
            let read = other.get("/read").await.text();
            assert_eq!(
                read.contains("user=alice"),
                meanwhile == "/login/alice",
                "{read}"
            );
            // The rotation may have been a thief's, so the login ends that session.
            assert!(
                !read.contains("kept") || meanwhile == "/login/alice",
                "{read}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_user_stores_while_another_one_logs_in_is_not_left_to_the_next() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.post("/login/alice", &[]).await;
        let mut other = browser.clone();
        let slow = "POST /slow/login/bob";
        let response = during(&app, &browser, slow, async {
            other.get("/note/private").await;
            other.get("/view").await;
        })
        .await;
        browser.jar.keep(&response);
        let read = browser.get("/read").await.text();
        assert_eq!(read, "views=0 user=bob theme=Light note=");
    })
    .await;
}

#[tokio::test]
async fn a_logout_that_began_before_a_login_is_refused() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.get("/view").await;
        let mut other = browser.clone();
        let login = other.post("/login/alice", &[]);
        let response = during(&app, &browser, "POST /slow/logout", login).await;
        assert_eq!((response.status, response.set_cookies().len()), (503, 0));
        assert!(other.get("/read").await.text().contains("user=alice"));
    })
    .await;
}

#[tokio::test]
async fn a_request_that_began_in_time_finishes_after_the_deadline() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.get("/view").await;
        let response = during(&app, &browser, "/slow/save", async {
            app.clock.advance(30 * MINUTE);
        })
        .await;
        assert!(
            response.text().starts_with("saved=true views=2"),
            "{}",
            response.text()
        );
        assert_eq!(browser.get("/result").await.text(), "views=2");
    })
    .await;
}

/// `RACES` times; by default 300.
#[tokio::test]
async fn a_logout_during_a_slow_writer_is_final_each_time() {
    let rounds = std::env::var("RACES").map_or(300, |rounds| rounds.parse().unwrap());
    let app = App::on_redis().await;
    let (mut resurrected, mut cookies) = (0, 0);
    for round in 0..rounds {
        let mut browser = app.browser();
        browser.post("/login/alice", &[]).await;
        let mut other = browser.clone();
        let slow = ["/slow/note/back", "/slow/view", "/slow/save"][round % 3];
        let response = during(&app, &browser, slow, other.post("/logout", &[])).await;
        cookies += response.set_cookies().len();
        resurrected += app.redis().keys().len();
    }
    assert_eq!((resurrected, cookies), (0, 0), "in {rounds} rounds");
}
