//! The master that sentinels name, and replicas to wait for.

use std::time::{Duration, Instant};

use super::faults::Load;
use super::*;
use crate::support::sentinel::{MASTER, Sentinels};

fn keys(sentinels: &Sentinels) -> [(&'static str, Value); 2] {
    [
        ("sentinel.master", Value::Text(MASTER.into())),
        ("sentinel.urls", Value::Texts(sentinels.urls())),
    ]
}

async fn on(sentinels: &Sentinels) -> Server {
    launch(with(rocket(keys(sentinels)), "timeout", "1s")).await
}

/// A failover would undo what a replica does not have yet; just after its first copy, it lags by up to a
/// second.
fn wait_for_replicas(sentinels: &Sentinels) {
    let master = sentinels.server(sentinels.master());
    master.command::<()>(&["SET", "key", "value"]);
    master.command::<u8>(&["WAIT", "2", "0"]);
}

/// The first view that is answered 200, and how many were not.
async fn next_view(browser: &mut Browser) -> (String, usize) {
    let began = Instant::now();
    let mut refused = 0;
    loop {
        let (status, text) = view(browser).await;
        if status == 200 {
            return (text, refused);
        }
        assert_eq!(status, 503);
        assert!(began.elapsed() < Duration::from_secs(30));
        refused += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_follow_the_master() {
    let sentinels = Sentinels::start();
    wait_for_replicas(&sentinels);
    let server = on(&sentinels).await;
    let mut browser = server.browser();
    assert_eq!(view(&mut browser).await, (200, "1".into()));
    wait_for_replicas(&sentinels);
    let old = sentinels.master();
    let sentinels = tokio::task::spawn_blocking(move || {
        assert_ne!(sentinels.fail_over(), old);
        // Before that, an empty replica could become the master.
        sentinels.wait_until_settled();
        wait_for_replicas(&sentinels);
        sentinels
    });
    let sentinels = sentinels.await.unwrap();
    assert_eq!(next_view(&mut browser).await.0, "2");
    wait_for_replicas(&sentinels);
    // A frozen master is replaced without help; a request may wait that long.
    let master = sentinels.master();
    sentinels.server(master).pause();
    let (views, refused) = next_view(&mut browser).await;
    assert_eq!(views, "3", "{refused} refused");
    sentinels.server(master).resume();
    assert_eq!(view(&mut browser).await, (200, "4".into()));
}

/// Until the sentinels demote it, it takes itself for the master, and connections begun while it was frozen
/// lead to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_thaws_after_it_was_replaced_confirms_nothing() {
    let sentinels = Sentinels::start();
    wait_for_replicas(&sentinels);
    let mut servers = Vec::new();
    let mut loads = Vec::new();
    for _ in 0..3 {
        let server = on(&sentinels).await;
        let mut browser = server.browser();
        assert_eq!(view(&mut browser).await, (200, "1".into()));
        loads.push(Load::start(browser));
        servers.push(server);
    }
    let thawing = tokio::task::spawn_blocking(move || {
        let master = sentinels.master();
        sentinels.server(master).pause();
        sentinels.wait_for_failover(master);
        sentinels.server(master).resume();
        sentinels.wait_until_settled();
        sentinels
    });
    let _sentinels = thawing.await.unwrap();
    for load in loads {
        load.end().await;
    }
}

#[tokio::test]
async fn one_sentinel_that_answers_is_enough_and_a_wrong_name_is_told() {
    let mut sentinels = Sentinels::start();
    sentinels.sentinel(0).pause();
    sentinels.stop_sentinel(1);
    let server = on(&sentinels).await;
    let mut browser = server.browser();
    assert_eq!(view(&mut browser).await, (200, "1".into()));
    let store = session_core::store::redis::RedisStore::sentinel(
        "nobody",
        [sentinels.sentinel(2).url()],
        "redis://sentinel",
    );
    let store = store.unwrap().connect_timeout(Duration::from_millis(100));
    let error = store.ping().await.unwrap_err().to_string();
    assert!(error.contains("no master `nobody`"), "{error}");
}

#[tokio::test]
async fn servers_and_sentinels_have_their_own_passwords() {
    let sentinels = Sentinels::start_with_passwords("of the servers", "of the sentinels");
    let plain = sentinels
        .sentinels()
        .iter()
        .map(|sentinel| format!("redis://127.0.0.1:{}", sentinel.port()));
    let [master, _] = keys(&sentinels);
    let rocket = rocket([
        master,
        ("sentinel.urls", Value::Texts(plain.collect())),
        ("sentinel.password", Value::Text("of the sentinels".into())),
        ("password", Value::Text("of the servers".into())),
    ]);
    let server = launch(rocket).await;
    assert_eq!(view(&mut server.browser()).await, (200, "1".into()));
}

/// Its outcome is unknown: Redis has it, and a failover may undo it.
#[tokio::test]
async fn what_too_few_replicas_have_is_not_confirmed() {
    let sentinels = Sentinels::start();
    let [master, urls] = keys(&sentinels);
    let rocket = rocket([master, urls, ("wait_replicas", Value::Number(2))]);
    let server = launch(with(rocket, "timeout", "500ms")).await;
    let mut browser = server.browser();
    assert_eq!(view(&mut browser).await, (200, "1".into()));
    // Many at once: each waits on a connection of its own.
    let views = (0..40).map(|_| {
        let mut browser = browser.clone();
        tokio::spawn(async move { view(&mut browser).await.0 })
    });
    for status in views.collect::<Vec<_>>() {
        assert_eq!(status.await.unwrap(), 200);
    }
    let (master, all) = (sentinels.master(), [0, 1, 2]);
    let replica = all.into_iter().find(|server| *server != master).unwrap();
    sentinels.server(replica).pause();
    assert_eq!(view(&mut browser).await.0, 503);
    // A read does not wait.
    let sent = Instant::now();
    let read = browser.get("/read").await;
    assert_eq!(read.status, 200);
    assert!(read.text().starts_with("views=42"), "{}", read.text());
    assert!(sent.elapsed() < Duration::from_millis(400));
    sentinels.server(replica).resume();
    assert_eq!(next_view(&mut browser).await.1, 0);
}

/// The change was made before WAIT was refused.
#[tokio::test]
async fn only_what_was_changed_depends_on_replicas_and_its_outcome_is_never_taken_for_refused() {
    use session_core::expiry::Lifetime;
    use session_core::fields::Fields;
    use session_core::record::{Metadata, Record};
    use session_core::store::redis::RedisStore;
    use session_core::store::{Created, Key, Store as _, Update, Updated};
    use session_core::token::Token;

    let redis = crate::support::redis::RedisServer::start();
    let user = "ACL SETUSER sessions on >secret ~* resetchannels +@all -wait";
    let _: String = redis.command(&user.split(' ').collect::<Vec<_>>());
    let url = format!("redis://sessions:secret@127.0.0.1:{}", redis.port());
    let store = RedisStore::new(url).unwrap().wait_replicas(1);
    store.ping().await.unwrap();
    let token = Token::generate().unwrap();
    let key = Key::new("visit", token.id());
    let hour = Duration::from_secs(3600);
    let update = Update::new(token.digests(), store.now().plus(hour));
    assert_eq!(store.update(key, &update).await.unwrap(), Updated::Gone);
    let metadata = Metadata::created_now(store.now(), Lifetime::default().absolute_timeout);
    let record = Record::new(metadata, Fields::new(), store.now().plus(hour));
    let error = store.create(key, record.clone()).await.unwrap_err();
    assert!(error.is_unknown(), "{error}");
    assert_eq!(redis.keys().len(), 1);
    assert_eq!(store.create(key, record).await.unwrap(), Created::Refused);
}
