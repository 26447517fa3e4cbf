//! The example `counter`, run as a reader would, in memory and on Redis.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::http::{Browser, Connection, Jar, Request, Response};
use crate::support::program::{Program, built};
use crate::support::redis::RedisServer;

macro_rules! on_each_store {
    ($($test:ident)*) => {
        mod in_memory {
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(&start(None)).await;
            })*
        }

        #[cfg(feature = "redis")]
        mod on_redis {
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let redis = RedisServer::start();
                super::$test(&start(Some(&redis))).await;
                let forever = redis.ttls().into_iter().find(|(_, ttl)| *ttl < 0);
                assert_eq!(forever, None, "a key without an end");
            })*
        }
    };
}

on_each_store! {
    a_login_answers_when_the_session_is_saved
    a_login_changes_the_cookie_and_the_old_one_is_dead_at_once
    a_logout_removes_the_cookie_and_ends_the_session
    a_logout_is_final_for_requests_under_way
    a_name_is_shown_as_text
    a_name_that_is_refused_changes_nothing
    a_stranger_who_only_reads_gets_no_cookie
    a_welcome_is_shown_on_one_of_many_parallel_pages
    an_item_is_shown_as_text_and_removed_alone
    no_item_is_lost_among_parallel_additions
    no_view_is_lost_among_parallel_requests
    two_parallel_logins_with_one_cookie_both_count
    parallel_logins_of_many_browsers_do_not_meet
    the_cookie_is_out_of_reach_for_scripts_and_other_sites
    the_page_shows_the_count_and_who_is_logged_in
    two_browsers_have_two_counts
}

async fn two_browsers_have_two_counts(counter: &Program) {
    let (mut ann, mut bob) = (counter.browser(), counter.browser());
    assert_eq!(ann.get("/count").await.text(), "Number of views 1");
    assert_eq!(ann.get("/count").await.text(), "Number of views 2");
    assert_eq!(bob.get("/count").await.text(), "Number of views 1");
    assert_eq!(ann.get("/count").await.text(), "Number of views 3");
    assert_ne!(ann.jar, bob.jar);
    assert_ne!(session(&mut ann).await["id"], session(&mut bob).await["id"]);
}

async fn a_stranger_who_only_reads_gets_no_cookie(counter: &Program) {
    let mut stranger = counter.browser();
    for _ in 0..2 {
        let response = stranger.get("/session").await;
        assert_eq!(response.status, 200);
        assert!(response.set_cookies().is_empty(), "{response:?}");
        assert_eq!(response.json(), nobody());
    }
}

async fn the_cookie_is_out_of_reach_for_scripts_and_other_sites(counter: &Program) {
    let response = counter.browser().get("/count").await;
    let cookies = response.set_cookies();
    assert_eq!(cookies.len(), 1, "{response:?}");
    let attributes: Vec<&str> = cookies[0].split("; ").skip(1).collect();
    for expected in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(attributes.contains(&expected), "{cookies:?}");
    }
    assert_eq!(response.header("Cache-Control"), Some("no-store"));
}

async fn a_login_answers_when_the_session_is_saved(counter: &Program) {
    for round in 0..20 {
        let mut browser = counter.browser();
        browser.get("/count").await;
        let user = format!("user {round}");
        let response = browser.post("/login", &[("user", &user)]).await;
        assert_redirect(&response);
        let session = session(&mut browser).await;
        assert_eq!(
            (&session["user"], &session["views"]),
            (&json!(user), &json!(1))
        );
    }
}

async fn a_login_changes_the_cookie_and_the_old_one_is_dead_at_once(counter: &Program) {
    let mut browser = counter.browser();
    browser.get("/count").await;
    let mut before = browser.clone();
    let id = session(&mut browser).await["id"].clone();
    let response = browser.post("/login", &[("user", "Ann")]).await;
    assert_eq!(response.set_cookies().len(), 1, "{response:?}");
    assert_ne!(browser.jar, before.jar);
    // The public id stays, for device lists and logs.
    assert_eq!(session(&mut browser).await["id"], id);

    let response = before.get("/session").await;
    assert_eq!(response.json(), nobody());
    let writing = before.get("/count").await;
    assert_eq!(writing.text(), "Number of views 1");
    // They may be parallel requests of the same browser: its new cookie must stay.
    for response in [response, writing] {
        assert!(response.set_cookies().is_empty(), "{response:?}");
    }
    let session = session(&mut browser).await;
    assert_eq!(
        (&session["user"], &session["views"]),
        (&json!("Ann"), &json!(1))
    );
}

async fn a_logout_removes_the_cookie_and_ends_the_session(counter: &Program) {
    let mut browser = counter.browser();
    browser.post("/login", &[("user", "Ann")]).await;
    browser.get("/count").await;
    let mut before = browser.clone();
    let response = browser.post("/logout", &[]).await;
    assert_redirect(&response);
    assert_eq!(response.set_cookies().len(), 1, "{response:?}");
    assert!(browser.jar.is_empty(), "{response:?}");
    assert_eq!(session(&mut browser).await, nobody());
    assert_eq!(session(&mut before).await, nobody());
    assert_eq!(before.get("/count").await.text(), "Number of views 1");
}

async fn a_logout_is_final_for_requests_under_way(counter: &Program) {
    for _ in 0..10 {
        let mut browser = counter.browser();
        browser.post("/login", &[("user", "Ann")]).await;
        let mut before = browser.clone();
        let mut views = JoinSet::new();
        for _ in 0..16 {
            let mut tab = browser.clone();
            views.spawn(async move { tab.get("/count").await.status });
        }
        browser.post("/logout", &[]).await;
        while let Some(status) = views.join_next().await {
            assert_eq!(status.unwrap(), 200);
        }
        assert_eq!(session(&mut before).await, nobody());
    }
}

async fn a_name_that_is_refused_changes_nothing(counter: &Program) {
    let mut browser = counter.browser();
    browser.post("/login", &[("user", "Ann")]).await;
    let before = session(&mut browser).await;
    let too_long = "ä".repeat(65);
    let forms: [&[(&str, &str)]; 4] = [
        &[("user", "")],
        &[("user", " \t\u{a0}\n")],
        &[("user", &too_long)],
        &[("name", "Bob")],
    ];
    for form in forms {
        let response = browser.post("/login", form).await;
        assert_eq!(response.status, 422, "{form:?}");
        assert!(response.set_cookies().is_empty(), "{form:?}");
        assert!(
            response.text().contains("it takes 1 to 64 characters"),
            "{form:?}"
        );
        assert_eq!(session(&mut browser).await, before, "{form:?}");
    }
    let longest = "ä".repeat(64);
    let response = browser
        .post("/login", &[("user", &format!(" {longest}\n"))])
        .await;
    assert_redirect(&response);
    assert_eq!(session(&mut browser).await["user"], json!(longest));
}

async fn a_name_is_shown_as_text(counter: &Program) {
    let name = r#"<script>alert('"&')</script>"#;
    let mut browser = counter.browser();
    browser.post("/login", &[("user", name)]).await;
    let logged_in = browser.get("/").await;
    let long = name.repeat(9);
    let refused = counter.browser().post("/login", &[("user", &long)]).await;
    assert_eq!((logged_in.status, refused.status), (200, 422));
    for page in [logged_in.text(), refused.text()] {
        assert!(!page.contains("<script"), "{page}");
        assert!(
            page.contains("&lt;script&gt;alert(&#x27;&quot;&amp;&#x27;)"),
            "{page}"
        );
    }
    assert_eq!(session(&mut browser).await["user"], json!(name));
}

async fn the_page_shows_the_count_and_who_is_logged_in(counter: &Program) {
    let mut browser = counter.browser();
    let response = browser.get("/").await;
    assert_eq!(
        response.header("Content-Type"),
        Some("text/html; charset=utf-8")
    );
    let page = response.text();
    assert!(page.contains(r#"<p class="views">1</p>"#), "{page}");
    assert!(page.contains(r#"<label for="user">"#), "{page}");
    assert!(!page.contains("Logged in as"), "{page}");

    browser.post("/login", &[("user", "Ann")]).await;
    let before = session(&mut browser).await;
    let page = browser.get("/").await.text();
    assert!(page.contains(r#"<p class="views">2</p>"#), "{page}");
    assert!(page.contains("Logged in as <strong>Ann</strong>"), "{page}");
    assert!(
        page.contains(r#"<form action="/logout" method="post">"#),
        "{page}"
    );
    // It moves with every request.
    let after = session(&mut browser).await;
    let (_, shown) = page.split_once(r#"<time datetime=""#).unwrap();
    let (shown, _) = shown.split_once('"').unwrap();
    let [before, after] = [&before, &after].map(|session| session["expires_at"].as_str().unwrap());
    assert!(
        before <= shown && shown <= after,
        "{before} {shown} {after}"
    );
}

/// The second login gets a session of its own.
async fn two_parallel_logins_with_one_cookie_both_count(counter: &Program) {
    for _ in 0..10 {
        let mut browser = counter.browser();
        browser.get("/count").await;
        let before = browser.clone();
        let mut logins = JoinSet::new();
        for user in ["Ann", "Bob"] {
            let mut tab = before.clone();
            logins.spawn(async move {
                let response = tab.post("/login", &[("user", user)]).await;
                (user, response, tab)
            });
        }
        let mut views = 0;
        for (user, response, mut tab) in logins.join_all().await {
            assert_redirect(&response);
            let session = session(&mut tab).await;
            assert_ne!(tab.jar, before.jar);
            assert_eq!(session["user"], json!(user));
            views += session["views"].as_u64().unwrap();
        }
        assert_eq!(views, 1, "what was there before is one user's");
        assert_eq!(session(&mut browser).await, nobody(), "the old cookie");
    }
}

async fn parallel_logins_of_many_browsers_do_not_meet(counter: &Program) {
    let mut logins = JoinSet::new();
    for number in 0..32 {
        let mut browser = counter.browser();
        logins.spawn(async move {
            let user = format!("user {number}");
            let response = browser.post("/login", &[("user", &user)]).await;
            assert_redirect(&response);
            let session = session(&mut browser).await;
            assert_eq!(session["user"], json!(user));
            session["id"].to_string()
        });
    }
    let mut ids = logins.join_all().await;
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 32);
}

async fn no_view_is_lost_among_parallel_requests(counter: &Program) {
    const REQUESTS: usize = 2_000;
    const AT_ONCE: usize = 32;
    let mut browser = counter.browser();
    browser.get("/count").await;
    let mut workers = JoinSet::new();
    for worker in 0..AT_ONCE {
        let (address, jar) = (counter.address(), browser.jar.clone());
        let share = REQUESTS / AT_ONCE + usize::from(worker < REQUESTS % AT_ONCE);
        workers.spawn(async move { view(address, &jar, share).await });
    }
    let answered: usize = workers.join_all().await.into_iter().sum();
    assert_eq!(answered, REQUESTS);
    assert_eq!(session(&mut browser).await["views"], json!(REQUESTS + 1));
}

async fn a_welcome_is_shown_on_one_of_many_parallel_pages(counter: &Program) {
    const PAGES: usize = 20;
    for round in 1..=5 {
        let mut browser = counter.browser();
        let user = format!("user {round}");
        browser.post("/login", &[("user", &user)]).await;
        let mut pages = JoinSet::new();
        for _ in 0..PAGES {
            let mut tab = browser.clone();
            pages.spawn(async move { tab.get("/").await });
        }
        let pages = pages.join_all().await;
        assert!(pages.iter().all(|page| page.status == 200));
        let welcome = format!("Welcome, {user}");
        let welcomes = pages.iter().filter(|page| page.text().contains(&welcome));
        assert_eq!(welcomes.count(), 1);
        assert_eq!(session(&mut browser).await["views"], json!(PAGES));
        assert!(!browser.get("/").await.text().contains("Welcome"));
    }
}

async fn no_item_is_lost_among_parallel_additions(counter: &Program) {
    const ITEMS: usize = 500;
    const AT_ONCE: usize = 32;
    let mut browser = counter.browser();
    browser.get("/count").await;
    let mut workers = JoinSet::new();
    for worker in 0..AT_ONCE {
        let (address, jar) = (counter.address(), browser.jar.clone());
        workers.spawn(async move {
            let mut connection = Connection::open(address).await.unwrap();
            for n in (worker..ITEMS).step_by(AT_ONCE) {
                let form = [("item", &*format!("item {n:03}")), ("quantity", "2")];
                let request = Request::post("/cart", &form)
                    .header("Sec-Fetch-Site", "same-origin")
                    .cookies(&jar);
                assert_eq!(connection.send(&request).await.status, 303);
            }
        });
    }
    workers.join_all().await;
    let page = browser.get("/cart").await.text();
    for n in 0..ITEMS {
        let item = format!(r#"<span class="item">item {n:03}</span>"#);
        assert_eq!(page.matches(&item).count(), 1, "{n}");
    }
    assert_eq!(page.matches("× 2</span>").count(), ITEMS);
    assert!(browser.get("/").await.text().contains(": 500 items"));
}

async fn an_item_is_shown_as_text_and_removed_alone(counter: &Program) {
    let item = r#"<script>alert('"&')</script>"#;
    let mut browser = counter.browser();
    assert!(browser.get("/cart").await.set_cookies().is_empty());
    for item in [item, "Tea"] {
        let response = browser.post("/cart", &[("item", item)]).await;
        assert_eq!(response.status, 303);
        assert_eq!(response.header("Location"), Some("/cart"));
    }
    let refused = browser
        .post("/cart", &[("item", item), ("quantity", item)])
        .await;
    assert_eq!(refused.status, 422);
    for page in [refused.text(), browser.get("/cart").await.text()] {
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&lt;script&gt;alert("), "{page}");
    }
    let removed = browser.post("/cart/remove", &[("item", item)]).await;
    assert_eq!(removed.status, 303);
    let page = browser.get("/cart").await.text();
    assert!(page.contains("Tea") && !page.contains("script"), "{page}");
    let session = session(&mut browser).await;
    assert_eq!(session.as_object().unwrap().len(), 5);
    assert_eq!(session["views"], json!(0));
}

async fn view(address: SocketAddr, jar: &Jar, times: usize) -> usize {
    let mut connection = Connection::open(address).await.unwrap();
    let request = Request::get("/count").cookies(jar);
    for _ in 0..times {
        let response = connection.send(&request).await;
        assert_eq!(response.status, 200);
        assert!(response.set_cookies().is_empty(), "{response:?}");
    }
    times
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn sessions_on_redis_outlive_the_program_and_are_shared() {
    let redis = RedisServer::start();
    let (one, other) = (start(Some(&redis)), start(Some(&redis)));
    let mut browser = one.browser();
    browser.get("/count").await;
    browser.go_to(other.address());
    assert_eq!(browser.get("/count").await.text(), "Number of views 2");
    drop((one, other));
    let again = start(Some(&redis));
    browser.go_to(again.address());
    assert_eq!(browser.get("/count").await.text(), "Number of views 3");
    assert_eq!(redis.keys().len(), 1);
}

async fn session(browser: &mut Browser) -> Value {
    let response = browser.get("/session").await;
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

fn nobody() -> Value {
    json!({ "views": 0, "user": null, "id": null, "created_at": null, "expires_at": null })
}

#[track_caller]
fn assert_redirect(response: &Response) {
    assert_eq!(response.status, 303, "{response:?}");
    assert_eq!(response.header("Location"), Some("/"));
}

fn start(redis: Option<&RedisServer>) -> Program {
    Program::start(&built("counter"), redis)
}
