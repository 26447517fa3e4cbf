//! One user after another: nothing of the first is left for the second.

use crate::app::{App, on_both_stores};

const OF_BOB: &str = "views=0 user=bob theme=Light note=";

#[tokio::test]
async fn what_was_written_while_another_user_logged_in_is_not_left_for_them() {
    on_both_stores(async |app| {
        let mut alice = app.browser();
        alice.post("/login/alice", &[]).await;
        let mut bob = alice.clone();
        let login = tokio::spawn(async move {
            bob.post("/slow/login/bob", &[]).await;
            bob
        });
        app.gate.entered().await;
        alice.get("/note/secret").await;
        alice.get("/view").await;
        app.gate.release();
        let mut bob = login.await.unwrap();
        assert_eq!(bob.get("/read").await.text(), OF_BOB);
    })
    .await;
}

#[tokio::test]
async fn a_user_who_cannot_be_read_was_one_all_the_same() {
    let app = App::on_redis().await;
    let mut browser = app.browser();
    browser.post("/login/alice", &[]).await;
    browser.get("/note/secret").await;
    let key = app.redis().keys().pop().unwrap();
    let _: i64 = app.redis().command(&["HSET", &key, "user", "7"]);
    browser.post("/login/bob", &[]).await;
    assert_eq!(browser.get("/read").await.text(), OF_BOB);
}

#[tokio::test]
async fn what_this_build_cannot_read_of_one_user_is_not_left_for_another() {
    let app = App::on_redis().await;
    let redis = app.redis();
    let mut browser = app.browser();
    browser.post("/login/alice", &[]).await;
    let key = redis.keys().pop().unwrap();
    let _: i64 = redis.command(&["HSET", &key, "note", "{\"a\":1}", "of_a_newer_build", "1"]);
    browser.post("/login/bob", &[]).await;
    let names: Vec<String> = redis.command(&["HKEYS", &key]);
    for name in ["note", "of_a_newer_build"] {
        assert!(!names.iter().any(|stored| stored == name), "{names:?}");
    }
    assert_eq!(browser.get("/read").await.text(), OF_BOB);
}

/// A counter that goes back to where it began must not block the end.
#[tokio::test]
async fn who_clears_the_session_of_a_user_ends_it_whatever_was_counted() {
    crate::app::on_both_stores(async |app| {
        let mut browser = app.browser();
        browser.post("/login/alice", &[]).await;
        browser.get("/view").await;
        let mut old = browser.clone();
        assert_eq!(browser.post("/clear", &[]).await.status, 200);
        let empty = "views=0 user=- theme=Light note=";
        assert_eq!(browser.get("/read").await.text(), empty);
        assert_eq!(old.get("/read").await.text(), empty);
    })
    .await;
}
