//! Two builds with different session structs share one Redis: nobody is logged out, nothing is lost, and no
//! request fails, forward and back.

use crate::app::{Visit, rocket};
use crate::support::http::{Browser, Server};
use crate::support::own::configured;
use crate::support::program::{Program, built};
use crate::support::redis::RedisServer;

async fn set(browser: &mut Browser, to: &Program, path: &str) {
    browser.go_to(to.address());
    assert_eq!(browser.post(path, &[]).await.status, 200, "{path}");
}

async fn see(browser: &mut Browser, of: &Program, expected: &str) {
    browser.go_to(of.address());
    let response = browser.get("/").await;
    assert_eq!((response.status, response.text().as_str()), (200, expected));
}

#[tokio::test]
async fn two_builds_share_sessions_forth_and_back() {
    let redis = RedisServer::start();
    let [old, new] = ["before", "after"].map(built);
    let before = Program::start(&old, Some(&redis));
    let mut browser = before.browser();
    for path in [
        "/user/ann",
        "/theme/dark",
        "/click/1",
        "/size/7",
        "/removed/kept",
    ] {
        set(&mut browser, &before, path).await;
    }
    let ann = "user=Some(\"ann\")";
    let old_view = format!("{ann} views=1 theme=dark clicks=1 size=7 removed=kept");
    see(&mut browser, &before, &old_view).await;

    // The deploy: both builds answer, in turns.
    let after = Program::start(&new, Some(&redis));
    let new_view = format!("{ann} views=2 look=dark hits=1 size=7px added=None");
    see(&mut browser, &after, &new_view).await;
    set(&mut browser, &after, "/added/new").await;
    let old_view = format!("{ann} views=3 theme=dark clicks=1 size=7 removed=kept");
    see(&mut browser, &before, &old_view).await;

    // The new build finds what either writes under its own names.
    set(&mut browser, &after, "/look/blue").await;
    set(&mut browser, &after, "/hit/1").await;
    let new_view = format!("{ann} views=4 look=blue hits=2 size=7px added=Some(\"new\")");
    see(&mut browser, &after, &new_view).await;
    set(&mut browser, &before, "/theme/red").await;
    set(&mut browser, &before, "/click/1").await;
    set(&mut browser, &before, "/click/1").await;
    let new_view = format!("{ann} views=5 look=red hits=4 size=7px added=Some(\"new\")");
    see(&mut browser, &after, &new_view).await;

    // The old build leaves alone what the new one stores in another form.
    set(&mut browser, &after, "/size/9em").await;
    let old_view = format!("{ann} views=6 theme=red clicks=2 size=0 removed=kept");
    see(&mut browser, &before, &old_view).await;
    let new_view = format!("{ann} views=7 look=red hits=4 size=9em added=Some(\"new\")");
    see(&mut browser, &after, &new_view).await;

    // Roll back, and forward again.
    drop(after);
    set(&mut browser, &before, "/removed/still").await;
    set(&mut browser, &before, "/click/1").await;
    let after = Program::start(&new, Some(&redis));
    let new_view = format!("{ann} views=8 look=red hits=5 size=9em added=Some(\"new\")");
    see(&mut browser, &after, &new_view).await;
    let key = redis.keys().pop().unwrap();
    let removed: String = redis.command(&["HGET", &key, "removed"]);
    assert_eq!(removed, "\"still\"");

    let warning = "`size` cannot be read as its declared type";
    assert!(before.log().contains(warning), "{}", before.log());
    assert!(!after.log().contains("cannot be read"), "{}", after.log());
}

/// A cookie under the old name is neither used nor removed, so a rollback finds it.
#[tokio::test]
async fn a_cookie_under_another_name_is_left_alone() {
    let redis = RedisServer::start();
    let launch = async |name: &str| {
        let rocket = configured(rocket(), "databases.sessions.url", &redis.url());
        let rocket = configured(rocket, "sessions.visit.cookie", name);
        Server::launch(rocket.attach(Visit::fairing())).await
    };
    let (before, after) = (launch("visit").await, launch("renamed").await);
    let mut browser = before.browser();
    browser.post("/login/alice", &[]).await;
    browser.go_to(after.address());
    let read = browser.get("/read").await;
    assert_eq!(read.text(), "views=0 user=- theme=Light note=");
    assert!(read.set_cookies().is_empty());
    assert_eq!(browser.get("/view").await.set_cookies().len(), 1);
    browser.go_to(before.address());
    let read = browser.get("/read").await.text();
    assert_eq!(read, "views=0 user=alice theme=Light note=");
}
