//! Replaced tokens: what a thief, a lost answer and a planted cookie can do. On both stores.

use crate::app::{App, MINUTE, on_both_stores};
use crate::support::http::{Browser, Connection, Jar, Request};

async fn logged_in(app: &App, user: &str) -> Browser {
    let mut browser = app.browser();
    browser.get("/note/kept").await;
    browser.post(&format!("/login/{user}"), &[]).await;
    browser
}

async fn user(browser: &mut Browser) -> String {
    let read = browser.get("/read").await.text();
    let start = read.find("user=").unwrap() + 5;
    read[start..].split(' ').next().unwrap().to_owned()
}

/// The browser resends the form with its old cookie.
#[tokio::test]
async fn a_login_again_after_a_lost_answer_works() {
    on_both_stores(async |app| {
        for again in ["alice", "bob"] {
            let mut browser = app.browser();
            browser.get("/note/kept").await;
            // The browser never hears of this login.
            browser.clone().post("/login/alice", &[]).await;
            let response = browser.post(&format!("/login/{again}"), &[]).await;
            assert_eq!((response.status, response.set_cookies().len()), (303, 1));
            assert_eq!(user(&mut browser).await, again);
        }
    })
    .await;
}

#[tokio::test]
async fn a_thief_who_rotates_blocks_neither_logout_nor_login() {
    on_both_stores(async |app| {
        for act in ["/logout", "/login/alice"] {
            for waits in [0, 1] {
                let mut victim = logged_in(&app, "alice").await;
                let mut thief = victim.clone();
                for _ in 0..3 {
                    app.clock.advance(waits * MINUTE);
                    assert_eq!(thief.post("/rotate", &[]).await.status, 200);
                }
                assert_eq!(user(&mut thief).await, "alice");
                app.clock.advance(waits * MINUTE);
                assert_eq!(victim.post(act, &[]).await.status, 303, "{act}");
                assert_eq!(user(&mut thief).await, "-", "{act} ends what he has");
                let expected = if act == "/logout" { "-" } else { "alice" };
                assert_eq!(user(&mut victim).await, expected);
            }
        }
    })
    .await;
}

/// A logout with a long-replaced token works like one with the current token.
#[tokio::test]
async fn a_late_logout_ends_the_thiefs_session() {
    on_both_stores(async |app| {
        let mut victim = logged_in(&app, "alice").await;
        let mut thief = victim.clone();
        thief.post("/rotate", &[]).await;
        for _ in 0..5 {
            app.clock.advance(10 * MINUTE);
            assert_eq!(user(&mut thief).await, "alice");
        }
        let response = victim.post("/logout", &[]).await;
        assert_eq!(response.status, 303);
        assert!(response.set_cookies()[0].contains("Max-Age=0"));
        assert_eq!(user(&mut thief).await, "-");
    })
    .await;
}

/// Refused while the browser may have a newer token.
#[tokio::test]
async fn a_logout_with_a_token_of_before_the_login_is_refused_then_ends_nothing() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.get("/note/kept").await;
        let mut before = browser.clone();
        browser.post("/login/alice", &[]).await;
        let refused = before.clone().post("/logout", &[]).await;
        assert_eq!((refused.status, refused.set_cookies().len()), (503, 0));
        app.clock.advance(MINUTE);
        let response = before.post("/logout", &[]).await;
        assert_eq!(response.status, 303);
        assert!(
            response.set_cookies()[0].contains("Max-Age=0"),
            "only the cookie goes"
        );
        assert_eq!(user(&mut browser).await, "alice");
    })
    .await;
}

/// A thief with the anonymous cookie could try this. The logout may end only what it loaded.
#[tokio::test]
async fn a_logout_that_was_under_way_ends_no_login() {
    on_both_stores(async |app| {
        for path in ["/slow/logout", "/slow/login-and-logout"] {
            let mut browser = app.browser();
            browser.get("/note/kept").await;
            let mut thief = browser.clone();
            let logout = tokio::spawn(async move { thief.post(path, &[]).await });
            app.gate.entered().await;
            browser.post("/login/alice", &[]).await;
            app.gate.release();
            let refused = logout.await.unwrap();
            assert_eq!(
                (refused.status, refused.set_cookies().len()),
                (503, 0),
                "{path}"
            );
            assert_eq!(user(&mut browser).await, "alice");
            assert_eq!(browser.post("/logout", &[]).await.status, 303);
            assert_eq!(user(&mut browser).await, "-");
        }
    })
    .await;
}

/// A rotation is no login, so the logout ends the session.
#[tokio::test]
async fn a_logout_that_was_under_way_ends_a_rotated_session() {
    on_both_stores(async |app| {
        let mut browser = logged_in(&app, "alice").await;
        let mut thief = browser.clone();
        let mut tab = browser.clone();
        let logout = tokio::spawn(async move { tab.post("/slow/logout", &[]).await });
        app.gate.entered().await;
        assert_eq!(thief.post("/rotate", &[]).await.status, 200);
        app.gate.release();
        let response = logout.await.unwrap();
        assert_eq!((response.status, response.set_cookies().len()), (200, 1));
        assert_eq!(user(&mut thief).await, "-");
        assert_eq!(user(&mut browser).await, "-");
    })
    .await;
}

/// A login with a rotated token ends that session, unless another user logs in to it meanwhile.
#[tokio::test]
async fn a_login_goes_on_where_what_it_was_to_end_is_of_another_login() {
    on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.get("/note/kept").await;
        let mut other = browser.clone();
        browser.post("/rotate", &[]).await;
        let login = tokio::spawn(async move {
            let response = other.post("/slow/login/bob", &[]).await;
            (response.status, other)
        });
        app.gate.entered().await;
        browser.post("/login/alice", &[]).await;
        app.gate.release();
        let (status, mut other) = login.await.unwrap();
        assert_eq!(status, 200);
        assert_eq!(user(&mut other).await, "bob");
        assert_eq!(user(&mut browser).await, "alice");
    })
    .await;
}

#[tokio::test]
async fn only_a_login_may_store_with_a_token_that_was_replaced_a_moment_ago() {
    on_both_stores(async |app| {
        let mut browser = logged_in(&app, "alice").await;
        let mut old = browser.clone();
        browser.post("/rotate", &[]).await;
        let response = old.get("/note/mine").await;
        assert_eq!((response.status, response.set_cookies().len()), (200, 0));
        if let Some(redis) = &app.redis {
            assert_eq!(redis.keys().len(), 1);
        }
        app.clock.advance(MINUTE);
        assert_eq!(old.get("/note/mine").await.set_cookies().len(), 1);
        assert_eq!(user(&mut browser).await, "alice");
    })
    .await;
}

async fn with_cookies(browser: &Browser, request: Request, cookies: &str) -> (u16, Vec<String>) {
    let mut connection = Connection::open(browser.address()).await.unwrap();
    let response = connection.send(&request.header("Cookie", cookies)).await;
    let set = response
        .set_cookies()
        .into_iter()
        .map(str::to_owned)
        .collect();
    (response.status, set)
}

#[tokio::test]
async fn too_many_cookies_refuse_a_logout_and_do_not_fake_one() {
    on_both_stores(async |app| {
        let mut browser = logged_in(&app, "alice").await;
        let good = browser.jar.header().unwrap();
        let junk = |n: usize| {
            let names = ["A", "B", "C", "D", "E", "F"];
            let junk = names[..n]
                .iter()
                .map(|name| format!("visit={}", name.repeat(64)));
            junk.collect::<Vec<_>>().join("; ")
        };
        // Up to four are looked up; the good one counts in any position.
        for cookies in [
            format!("{}; {good}", junk(4)),
            format!("{good}; {}", junk(4)),
        ] {
            let refused = with_cookies(&browser, Request::post("/logout", &[]), &cookies).await;
            assert_eq!(refused, (503, vec![]), "{cookies}");
        }
        assert_eq!(user(&mut browser).await, "alice");
        let few = format!("{}; {good}", junk(3));
        let (status, set) = with_cookies(&browser, Request::post("/logout", &[]), &few).await;
        assert_eq!((status, set.len()), (303, 1));
        assert_eq!(user(&mut browser).await, "-");
    })
    .await;
}

/// A thief planted the cookie of his own session beside the victim's.
#[tokio::test]
async fn a_planted_session_blocks_neither_login_nor_logout() {
    on_both_stores(async |app| {
        let mut thief = logged_in(&app, "eve").await;
        let planted = thief.jar.header().unwrap();
        let mut victim = app.browser();
        let login = Request::post("/login/alice", &[]);
        let (status, set) = with_cookies(&victim, login, &planted).await;
        assert_eq!((status, set.len()), (303, 1));
        assert_eq!(
            user(&mut thief).await,
            "-",
            "it was ended, since alice is not eve"
        );
        let token = set[0].split(['=', ';']).nth(1).unwrap();
        victim.jar.set("visit", token);
        assert_eq!(user(&mut victim).await, "alice");
        // Planted again: of two sessions, neither is trusted.
        let mut thief = logged_in(&app, "eve").await;
        let both = format!(
            "{}; {}",
            victim.jar.header().unwrap(),
            thief.jar.header().unwrap()
        );
        let login = Request::post("/login/alice", &[]);
        let (status, set) = with_cookies(&victim, login, &both).await;
        assert_eq!((status, set.len()), (303, 1));
        let token = set[0].split(['=', ';']).nth(1).unwrap();
        let again = format!("visit={token}; {}", thief.jar.header().unwrap());
        let mut connection = Connection::open(victim.address()).await.unwrap();
        let read = Request::get("/read").header("Cookie", &again);
        assert!(
            connection.send(&read).await.text().contains("user=alice"),
            "one is left"
        );
        assert_eq!(user(&mut thief).await, "-");
        let (status, _) = with_cookies(&victim, Request::post("/logout", &[]), &again).await;
        assert_eq!(status, 303);
        victim.jar.set("visit", token);
        assert_eq!(user(&mut victim).await, "-");
    })
    .await;
}

#[tokio::test]
async fn a_removal_is_sent_only_to_a_browser_that_brought_a_cookie() {
    on_both_stores(async |app| {
        let mut stranger = app.browser();
        let response = stranger.post("/logout", &[]).await;
        assert_eq!((response.status, response.set_cookies().len()), (303, 0));
        stranger.jar.set("visit", "junk");
        let response = stranger.post("/logout", &[]).await;
        assert_eq!((response.status, response.set_cookies().len()), (303, 1));
        assert_eq!(stranger.jar, Jar::default());
    })
    .await;
}
