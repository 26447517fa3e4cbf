//! From the first change to the end: creation, deadlines, verbs, failures. On both stores.

use crate::app::{ABSOLUTE, App, IDLE, MINUTE, on_both_stores};
use crate::support::http::Jar;

#[tokio::test]
async fn a_visitor_who_changes_nothing_has_no_session() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        for path in ["/read", "/times", "/same", "/teapot"] {
            assert!(browser.get(path).await.set_cookies().is_empty(), "{path}");
        }
        for path in ["/leave", "/rotate", "/clear"] {
            assert!(
                browser.post(path, &[]).await.set_cookies().is_empty(),
                "{path}"
            );
        }
        assert_eq!(browser.get("/id").await.text(), "-");
        assert!(browser.jar.is_empty());
        if let Some(redis) = &app.redis {
            assert!(redis.keys().is_empty());
        }
    })
    .await;
}

#[tokio::test]
async fn a_change_creates_a_session_and_the_next_request_finds_it() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        assert_eq!(browser.get("/view").await.set_cookies().len(), 1);
        assert_eq!(browser.get("/note/hello").await.text(), "hello");
        browser.get("/dark").await;
        let read = browser.get("/read").await;
        assert_eq!(read.text(), "views=1 user=- theme=Dark note=hello");
        assert!(read.set_cookies().is_empty());
        assert_ne!(browser.get("/id").await.text(), "-");
        assert_eq!(
            app.browser().get("/read").await.text(),
            "views=0 user=- theme=Light note="
        );
    })
    .await;
}

#[tokio::test]
async fn a_session_ends_when_it_was_idle_for_too_long() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.get("/view").await;
        app.clock.advance(IDLE - MINUTE / 60);
        assert_eq!(browser.clone().get("/result").await.text(), "views=1");
        app.clock.advance(IDLE);
        assert_eq!(browser.get("/result").await.text(), "views=0");
    })
    .await;
}

#[tokio::test]
async fn a_session_that_nobody_uses_ends_at_its_idle_deadline_to_the_millisecond() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.get("/view").await;
        app.clock.advance(IDLE);
        assert_eq!(browser.get("/result").await.text(), "views=0");
    })
    .await;
}

#[tokio::test]
async fn a_session_in_use_ends_at_its_absolute_deadline() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.get("/view").await;
        let steps = u32::try_from(ABSOLUTE.as_secs() / (20 * 60)).unwrap();
        for _ in 1..steps {
            app.clock.advance(20 * MINUTE);
            assert_eq!(browser.get("/result").await.text(), "views=1");
        }
        app.clock.advance(20 * MINUTE);
        assert_eq!(browser.get("/result").await.text(), "views=0");
    })
    .await;
}

#[tokio::test]
async fn a_login_begins_a_new_absolute_lifetime() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.get("/view").await;
        for _ in 0..23 {
            app.clock.advance(29 * MINUTE);
            browser.get("/view").await;
        }
        browser.post("/login/alice", &[]).await;
        for _ in 0..23 {
            app.clock.advance(29 * MINUTE);
            let read = browser.get("/read").await.text();
            assert!(read.contains("user=alice"), "{read}");
        }
        app.clock.advance(29 * MINUTE);
        browser.get("/read").await;
        app.clock.advance(29 * MINUTE);
        assert!(browser.get("/read").await.text().contains("user=-"));
    })
    .await;
}

#[tokio::test]
async fn an_ended_session_is_not_continued_and_its_id_is_not_adopted() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.get("/view").await;
        let id = browser.get("/id").await.text();
        app.clock.advance(IDLE);
        assert_eq!(browser.get("/view").await.text(), "1");
        assert_ne!(browser.get("/id").await.text(), id);
    })
    .await;
}

#[tokio::test]
async fn times_are_told() {
    on_both_stores(async |app| {
        use rocket_typed_session::store::Clock as _;
        let start = app.clock.now();
        let mut browser = app.browser();
        let times = |new, created: u128, seen: u128, expires: u128| {
            let start = u128::from(start.as_millis());
            format!(
                "new={new} created={} seen={} expires={}",
                start + created,
                start + seen,
                start + expires
            )
        };
        let idle = IDLE.as_millis();
        assert_eq!(browser.get("/times").await.text(), times(true, 0, 0, idle));
        browser.get("/view").await;
        assert_eq!(browser.get("/times").await.text(), times(false, 0, 0, idle));
        // Too early for a touch: neither time moves.
        app.clock.advance(2 * MINUTE);
        assert_eq!(browser.get("/times").await.text(), times(false, 0, 0, idle));
        app.clock.advance(MINUTE);
        let moved = (3 * MINUTE).as_millis();
        assert_eq!(
            browser.get("/times").await.text(),
            times(false, 0, 0, moved + idle)
        );
        assert_eq!(
            browser.get("/times").await.text(),
            times(false, 0, moved, moved + idle)
        );
    })
    .await;
}

#[tokio::test]
async fn remember_me_is_longer_and_persistent() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        let response = browser.post("/remember/alice", &[]).await;
        let max_age = format!("Max-Age={}", (100 * ABSOLUTE).as_secs());
        assert!(
            response.set_cookies()[0].ends_with(&max_age),
            "{response:?}"
        );
        for _ in 0..20 {
            app.clock.advance(9 * ABSOLUTE / 2);
            assert!(browser.get("/read").await.text().contains("alice"));
        }
        app.clock.advance(10 * ABSOLUTE);
        assert!(browser.get("/read").await.text().contains("user=-"));
    })
    .await;
}

#[tokio::test]
async fn destroy_ends_the_session_and_removes_the_cookie() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.get("/view").await;
        let old = browser.jar.clone();
        let response = browser.post("/logout", &[]).await;
        assert_eq!(response.status, 303);
        assert_eq!(response.set_cookies().len(), 1);
        assert!(
            response.set_cookies()[0].contains("Max-Age=0"),
            "{response:?}"
        );
        assert!(
            response.set_cookies()[0].contains("Expires="),
            "{response:?}"
        );
        assert!(browser.jar.is_empty());
        browser.jar = old;
        assert_eq!(
            browser.get("/read").await.text(),
            "views=0 user=- theme=Light note="
        );
        if let Some(redis) = &app.redis {
            assert!(redis.keys().is_empty());
        }
    })
    .await;
}

#[tokio::test]
async fn a_new_token_has_the_same_data_and_the_old_one_is_dead() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.get("/note/kept").await;
        let id = browser.get("/id").await.text();
        let mut thief = browser.clone();
        let response = browser.post("/rotate", &[]).await;
        assert_eq!(response.set_cookies().len(), 1);
        assert_ne!(browser.jar, thief.jar);
        assert!(browser.get("/read").await.text().ends_with("note=kept"));
        assert_eq!(browser.get("/id").await.text(), id);
        assert!(thief.get("/read").await.text().ends_with("note="));
    })
    .await;
}

#[tokio::test]
async fn clear_empties_a_session_of_nobody_and_ends_one_of_somebody() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.get("/view").await;
        browser.get("/note/x").await;
        let id = browser.get("/id").await.text();
        browser.post("/clear", &[]).await;
        let empty = "views=0 user=- theme=Light note=";
        assert_eq!(browser.get("/read").await.text(), empty);
        assert_eq!(browser.get("/id").await.text(), id);
        browser.post("/login/alice", &[]).await;
        browser.get("/note/x").await;
        let mut old = browser.clone();
        browser.post("/clear", &[]).await;
        assert_eq!(browser.get("/read").await.text(), empty);
        assert_eq!(old.get("/read").await.text(), empty);
        assert_ne!(browser.get("/id").await.text(), id);
    })
    .await;
}

#[tokio::test]
async fn what_a_failed_request_changed_is_dropped() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.get("/note/kept").await;
        for how in ["panic", "error", "unavailable"] {
            for verb in ["nothing", "login"] {
                let response = browser.post(&format!("/fail/{how}/{verb}"), &[]).await;
                assert!(response.status >= 500);
                assert!(response.set_cookies().is_empty());
            }
        }
        let read = browser.get("/read").await.text();
        assert_eq!(read, "views=0 user=- theme=Light note=kept");
        // Neither is a server error, so both commit.
        for (how, status) in [("unprocessable", 422), ("absent", 404)] {
            browser.get("/note/kept").await;
            let response = browser.post(&format!("/fail/{how}/nothing"), &[]).await;
            assert_eq!(response.status, status);
            assert!(browser.get("/read").await.text().ends_with("note=lost"));
        }
        let mut stranger = app.browser();
        stranger.post("/fail/error/nothing", &[]).await;
        assert!(stranger.jar.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_failed_request_destroys_and_rotates_all_the_same() {
    on_both_stores(async |app| {
        for how in ["panic", "error", "unavailable"] {
            let mut browser = app.browser();
            browser.get("/note/kept").await;
            let old = browser.jar.clone();
            browser.post(&format!("/fail/{how}/rotate"), &[]).await;
            assert_ne!(browser.jar, old, "{how}");
            assert!(
                browser.get("/read").await.text().ends_with("note=kept"),
                "{how}"
            );
            let alive = browser.jar.clone();
            browser.post(&format!("/fail/{how}/destroy"), &[]).await;
            assert_eq!(browser.jar, Jar::default(), "{how}");
            browser.jar = alive;
            assert!(
                browser.get("/read").await.text().ends_with("note="),
                "{how}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn several_guards_of_one_request_merge() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        assert_eq!(browser.get("/two").await.text(), "10 ");
        let read = browser.get("/read").await.text();
        assert_eq!(read, "views=11 user=- theme=Dark note=first");
        // A route that forwards hands over its guard's changes.
        assert_eq!(browser.get("/forwarded").await.text(), "11");
        assert_eq!(browser.get("/teapot").await.text(), "11");
    })
    .await;
}

#[tokio::test]
async fn save_stores_at_once_and_later_changes_are_stored_too() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        let response = browser.get("/save").await;
        assert_eq!(response.text(), "1");
        assert_eq!(response.set_cookies().len(), 1);
        assert!(browser.get("/read").await.text().contains("views=1 "));
        assert!(
            browser
                .get("/read")
                .await
                .text()
                .ends_with("note=saved before")
        );
        assert_eq!(browser.get("/save").await.text(), "2");
    })
    .await;
}

#[tokio::test]
async fn nothing_is_left_of_one_user_when_another_logs_in() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.get("/note/anonymous").await;
        browser.post("/login/alice", &[]).await;
        assert_eq!(
            browser.get("/read").await.text(),
            "views=0 user=alice theme=Light note=anonymous"
        );
        browser.get("/note/of-alice").await;
        browser.get("/dark").await;
        browser.post("/login/bob", &[]).await;
        assert_eq!(
            browser.get("/read").await.text(),
            "views=0 user=bob theme=Light note="
        );
    })
    .await;
}

#[tokio::test]
async fn a_login_changes_the_token_and_the_old_one_is_anonymous_at_once() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.get("/view").await;
        let mut planted = browser.clone();
        let id = browser.get("/id").await.text();
        let response = browser.post("/login/alice", &[]).await;
        assert_eq!((response.status, response.set_cookies().len()), (303, 1));
        assert!(
            browser
                .get("/read")
                .await
                .text()
                .contains("views=1 user=alice")
        );
        assert_eq!(browser.get("/id").await.text(), id);
        // The old token neither reads nor writes; while a parallel request could have it, it sets no cookie.
        assert!(planted.get("/read").await.text().contains("views=0 user=-"));
        assert!(planted.get("/view").await.set_cookies().is_empty());
        let logout = planted.post("/logout", &[]).await;
        assert_eq!((logout.status, logout.set_cookies().len()), (503, 0));
        assert!(
            browser
                .get("/read")
                .await
                .text()
                .contains("views=1 user=alice")
        );
        // Later it counts as no token, and may begin a new session.
        app.clock.advance(MINUTE);
        assert!(planted.get("/read").await.text().contains("views=0 user=-"));
        assert_eq!(planted.get("/view").await.set_cookies().len(), 1);
        assert!(
            browser
                .get("/read")
                .await
                .text()
                .contains("views=1 user=alice")
        );
        assert_eq!(
            planted.get("/read").await.text(),
            "views=1 user=- theme=Light note="
        );
    })
    .await;
}

#[tokio::test]
async fn leaving_ends_the_session_too() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.post("/login/alice", &[]).await;
        browser.get("/note/of-alice").await;
        let mut old = browser.clone();
        assert_eq!(browser.post("/leave", &[]).await.set_cookies().len(), 1);
        for browser in [&mut old, &mut browser] {
            let read = browser.get("/read").await.text();
            assert_eq!(read, "views=0 user=- theme=Light note=");
        }
        assert_eq!(browser.get("/id").await.text(), "-");
    })
    .await;
}

#[tokio::test]
async fn a_well_formed_token_that_nobody_issued_is_not_adopted() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        let forged = "A".repeat(64);
        browser.jar.set("visit", &forged);
        assert_eq!(browser.get("/view").await.text(), "1");
        let issued = browser.jar.get("visit").unwrap();
        assert!(!issued.starts_with("AAAA"));
        if let Some(redis) = &app.redis {
            assert_eq!(redis.keys().len(), 1);
            assert!(!redis.keys()[0].contains("AAAA"));
        }
    })
    .await;
}

#[tokio::test]
async fn the_secret_of_another_session_does_not_open_this_one() {
    let app = App::in_memory().await;
    let (mut alice, mut bob) = (app.browser(), app.browser());
    alice.get("/note/alice").await;
    bob.get("/note/bob").await;
    let [a, b] = [&alice, &bob].map(|browser| browser.jar.get("visit").unwrap().to_owned());
    // Alice's id: the 22nd character has its last bits and the first of a secret.
    let mixed = format!("{}{}", &a[..22], &b[22..]);
    alice.jar.set("visit", &mixed);
    assert!(alice.get("/read").await.text().ends_with("note="));
}
