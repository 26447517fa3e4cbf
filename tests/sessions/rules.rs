//! Fields that merge by a declared rule, through a whole application. On both stores.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rocket::{State, get, post, routes};
use rocket_typed_session::{Error, Session, TransactError, session};
use session_core::testing::ManualClock;

use crate::app::Gate;
use crate::support::http::{Browser, Server};
use crate::support::redis::RedisServer;

#[session(cookie = "shop", idle = "1h")]
struct Shop {
    #[session(max)]
    best: u64,
    #[session(min, default = 100)]
    least: i64,
    #[session(entries)]
    cart: BTreeMap<String, u32>,
    #[session(once)]
    notice: Option<String>,
    street: String,
    city: String,
    #[session(ttl = "5m")]
    code: Option<u32>,
    #[session(counter, ttl = "5m")]
    attempts: u32,
    coins: u32,
    #[session(identity)]
    user: Option<String>,
}

#[get("/")]
fn show(shop: Session<Shop>) -> String {
    let cart: Vec<String> = shop
        .cart
        .iter()
        .map(|(item, n)| format!("{item}={n}"))
        .collect();
    format!(
        "best={} least={} cart={} notice={} address={}/{} code={:?} attempts={} coins={}",
        shop.best,
        shop.least,
        cart.join(","),
        shop.notice.as_deref().unwrap_or("-"),
        shop.street,
        shop.city,
        shop.code,
        shop.attempts,
        shop.coins
    )
}

#[post("/best/<value>?<wait>")]
async fn best(mut shop: Session<Shop>, gate: &State<Arc<Gate>>, value: u64, wait: bool) {
    gate.pass_if(wait).await;
    shop.best = value;
}

#[post("/least/<value>?<wait>")]
async fn least(mut shop: Session<Shop>, gate: &State<Arc<Gate>>, value: i64, wait: bool) {
    gate.pass_if(wait).await;
    shop.least = value;
}

#[post("/put/<item>/<n>?<wait>")]
async fn put(mut shop: Session<Shop>, gate: &State<Arc<Gate>>, item: &str, n: u32, wait: bool) {
    gate.pass_if(wait).await;
    shop.cart.insert(item.into(), n);
}

#[post("/remove/<item>?<wait>")]
async fn remove(mut shop: Session<Shop>, gate: &State<Arc<Gate>>, item: &str, wait: bool) {
    gate.pass_if(wait).await;
    shop.cart.remove(item);
}

#[post("/notice/<text>")]
fn notice(mut shop: Session<Shop>, text: &str) {
    shop.notice = Some(text.into());
}

#[post("/take")]
async fn take(mut shop: Session<Shop>) -> Result<String, Error> {
    let notice = Shop::take_notice(&mut shop).await?;
    Ok(notice.unwrap_or_else(|| "-".into()))
}

#[post("/set-and-take")]
async fn set_and_take(mut shop: Session<Shop>) -> Result<String, Error> {
    shop.coins += 1;
    shop.notice = Some("own".into());
    let first = Shop::take_notice(&mut shop).await?;
    let second = Shop::take_notice(&mut shop).await?;
    shop.coins += 1;
    Ok(format!("{first:?} {second:?}"))
}

#[post("/street/<street>?<wait>")]
async fn street(mut shop: Session<Shop>, gate: &State<Arc<Gate>>, street: &str, wait: bool) {
    gate.pass_if(wait).await;
    shop.street = street.into();
}

#[post("/city/<city>")]
fn city(mut shop: Session<Shop>, city: &str) {
    shop.city = city.into();
}

#[post("/code/<code>")]
fn code(mut shop: Session<Shop>, code: u32) {
    shop.code = Some(code);
}

#[post("/attempt?<wait>")]
async fn attempt(mut shop: Session<Shop>, gate: &State<Arc<Gate>>, wait: bool) {
    gate.pass_if(wait).await;
    shop.attempts += 1;
}

#[post("/coins/<coins>")]
fn coins(mut shop: Session<Shop>, coins: u32) {
    shop.coins = coins;
}

#[post("/login/<user>")]
fn login(mut shop: Session<Shop>, user: &str) {
    shop.user = Some(user.into());
}

#[post("/move/<user>/<street>")]
fn move_in(mut shop: Session<Shop>, user: &str, street: &str) {
    shop.user = Some(user.into());
    shop.street = street.into();
    shop.attempts += 1;
    shop.cart.insert("key".into(), 1);
}

/// With `wait`, the first try meets another request.
#[post("/buy/<price>?<wait>")]
async fn buy(
    mut shop: Session<Shop>,
    gate: &State<Arc<Gate>>,
    price: u32,
    wait: bool,
) -> Result<String, TransactError<String>> {
    shop.street = "changed before".into();
    gate.pass_if(wait).await;
    let mut tries = 0;
    let left = shop
        .transact(|shop| {
            tries += 1;
            shop.coins = shop.coins.checked_sub(price).ok_or("too few coins")?;
            *shop.cart.entry("bought".into()).or_default() += 1;
            Ok(shop.coins)
        })
        .await?;
    Ok(format!("left={left} tries={tries} coins={}", shop.coins))
}

/// Another request always comes first.
#[post("/never")]
async fn never(
    mut shop: Session<Shop>,
    address: &State<std::sync::OnceLock<std::net::SocketAddr>>,
    cookies: &rocket::http::CookieJar<'_>,
) -> String {
    let mut rival = Browser::new(*address.get().unwrap());
    rival.jar.set("shop", cookies.get("shop").unwrap().value());
    let runtime = tokio::runtime::Handle::current();
    let result = shop
        .transact(|shop| {
            let coins = shop.coins + 1;
            let mut rival = rival.clone();
            let path = format!("/coins/{coins}");
            tokio::task::block_in_place(|| runtime.block_on(rival.post(&path, &[])));
            shop.coins += 1;
            Ok::<_, ()>(())
        })
        .await;
    format!("{result:?}")
}

struct Store {
    server: Server,
    clock: Arc<ManualClock>,
    gate: Arc<Gate>,
    redis: Option<RedisServer>,
}

impl Store {
    async fn launch(redis: Option<RedisServer>) -> Self {
        let clock = Arc::new(ManualClock::new());
        let gate = Arc::new(Gate::new());
        let mut figment = rocket::Config::figment().merge(("log_level", "off"));
        if let Some(redis) = &redis {
            figment = figment.merge(("databases.sessions.url", redis.url()));
        }
        let address = std::sync::OnceLock::<std::net::SocketAddr>::new();
        let rocket = rocket::custom(figment)
            .manage(Arc::clone(&gate))
            .manage(address)
            .attach(Shop::fairing().clock(Arc::clone(&clock)))
            .attach(rocket::fairing::AdHoc::on_liftoff("Address", |rocket| {
                Box::pin(async move {
                    let config = rocket.config();
                    let address = std::net::SocketAddr::new(config.address, config.port);
                    let cell = rocket.state::<std::sync::OnceLock<std::net::SocketAddr>>();
                    cell.unwrap().set(address).unwrap();
                })
            }))
            .mount(
                "/",
                routes![
                    show,
                    best,
                    least,
                    put,
                    remove,
                    notice,
                    take,
                    set_and_take,
                    street,
                    city,
                    code,
                    attempt,
                    coins,
                    login,
                    move_in,
                    buy,
                    never
                ],
            );
        let server = Server::launch(rocket).await;
        Self {
            server,
            clock,
            gate,
            redis,
        }
    }

    /// Sends `others` while `slow` has its session.
    async fn during(&self, browser: &Browser, slow: &str, others: &[&str]) -> String {
        let mut slower = browser.clone();
        let slow = format!("{slow}?wait=true");
        let request = tokio::spawn(async move { slower.post(&slow, &[]).await });
        self.gate.entered().await;
        for other in others {
            assert_eq!(
                browser.clone().post(other, &[]).await.status,
                200,
                "{other}"
            );
        }
        self.gate.release();
        let response = request.await.unwrap();
        assert!(response.set_cookies().is_empty());
        response.text()
    }
}

async fn on_both_stores(test: impl AsyncFn(&Store, Browser)) {
    for redis in [None, Some(RedisServer::start())] {
        eprintln!("on {}:", if redis.is_some() { "Redis" } else { "memory" });
        let store = Store::launch(redis).await;
        let mut browser = store.server.browser();
        browser.post("/coins/1", &[]).await;
        test(&store, browser).await;
    }
}

async fn sees(browser: &mut Browser, expected: &str) {
    let text = browser.get("/").await.text();
    assert!(
        format!("{text} ").contains(&format!("{expected} ")),
        "{expected}: {text}"
    );
}

#[tokio::test]
async fn the_largest_and_the_smallest_stay() {
    on_both_stores(async |store, mut browser| {
        sees(&mut browser, "best=0 least=100").await;
        store.during(&browser, "/best/5", &["/best/9"]).await;
        store.during(&browser, "/least/5", &["/least/-7"]).await;
        sees(&mut browser, "best=9 least=-7").await;
        // Below the value that was read: a reset.
        browser.post("/best/3", &[]).await;
        browser.post("/least/50", &[]).await;
        sees(&mut browser, "best=3 least=50").await;
    })
    .await;
}

#[tokio::test]
async fn entries_that_two_requests_add_are_both_kept() {
    on_both_stores(async |store, mut browser| {
        browser.post("/put/tea/1", &[]).await;
        store
            .during(&browser, "/put/milk/2", &["/put/sugar/3", "/remove/tea"])
            .await;
        sees(&mut browser, "cart=milk=2,sugar=3").await;
        store
            .during(&browser, "/remove/milk", &["/put/bread/1", "/put/sugar/4"])
            .await;
        sees(&mut browser, "cart=bread=1,sugar=4").await;
        if let Some(redis) = &store.redis {
            let key = redis.keys().pop().unwrap();
            let bread: String = redis.command(&["HGET", &key, "cart:bread"]);
            assert_eq!(bread, "1");
        }
    })
    .await;
}

#[tokio::test]
async fn one_of_many_requests_obtains_a_value() {
    on_both_stores(async |_, mut browser| {
        for round in 0..5 {
            browser.post(&format!("/notice/n{round}"), &[]).await;
            let takes = (0..40).map(|_| {
                let mut browser = browser.clone();
                tokio::spawn(async move { browser.post("/take", &[]).await.text() })
            });
            let mut obtained = Vec::new();
            for take in takes.collect::<Vec<_>>() {
                obtained.push(take.await.unwrap());
            }
            obtained.retain(|text| text != "-");
            assert_eq!(obtained, [format!("n{round}")]);
            sees(&mut browser, "notice=-").await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_request_set_it_can_take_and_its_other_changes_are_kept() {
    on_both_stores(async |_, mut browser| {
        let taken = browser.post("/set-and-take", &[]).await.text();
        assert_eq!(taken, "Some(\"own\") None");
        sees(
            &mut browser,
            "notice=- address=/ code=None attempts=0 coins=3",
        )
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_field_has_its_own_deadline() {
    on_both_stores(async |store, mut browser| {
        browser.post("/code/7", &[]).await;
        store.clock.advance(Duration::from_secs(299));
        sees(&mut browser, "code=Some(7)").await;
        browser.post("/coins/2", &[]).await;
        store.clock.advance(Duration::from_secs(1));
        sees(&mut browser, "code=None").await;
        // The next change cleans it up.
        browser.post("/coins/3", &[]).await;
        if let Some(redis) = &store.redis {
            let key = redis.keys().pop().unwrap();
            let left: Vec<Option<String>> = redis.command(&["HMGET", &key, "code", "@until:code"]);
            assert_eq!(left, [None, None]);
        }
        browser.post("/code/8", &[]).await;
        sees(&mut browser, "code=Some(8)").await;
    })
    .await;
}

#[tokio::test]
async fn a_counter_with_a_deadline_begins_anew_and_loses_nothing() {
    on_both_stores(async |store, mut browser| {
        for _ in 0..3 {
            browser.post("/attempt", &[]).await;
        }
        sees(&mut browser, "attempts=3").await;
        store.clock.advance(Duration::from_secs(300));
        store
            .during(&browser, "/attempt", &["/attempt", "/attempt"])
            .await;
        sees(&mut browser, "attempts=3").await;
    })
    .await;
}

#[tokio::test]
async fn a_value_that_is_renewed_while_it_is_cleaned_up_stays() {
    on_both_stores(async |store, mut browser| {
        browser.post("/code/7", &[]).await;
        store.clock.advance(Duration::from_secs(300));
        store.during(&browser, "/street/x", &["/code/8"]).await;
        sees(&mut browser, "code=Some(8)").await;
    })
    .await;
}

#[tokio::test]
async fn a_transaction_meets_no_change_in_between() {
    on_both_stores(async |store, mut browser| {
        browser.post("/coins/20", &[]).await;
        let told = store
            .during(&browser, "/buy/5", &["/coins/15", "/put/tea/1"])
            .await;
        assert_eq!(told, "left=10 tries=1 coins=10");
        sees(&mut browser, "cart=bought=1,tea=1").await;
        sees(&mut browser, "address=changed before/").await;
        let refused = browser.post("/buy/11", &[]).await;
        assert_eq!(refused.text(), "too few coins");
        sees(&mut browser, "coins=10").await;
    })
    .await;
}

#[tokio::test]
async fn transactions_of_many_requests_lose_nothing() {
    on_both_stores(async |_, mut browser| {
        browser.post("/coins/30", &[]).await;
        let buys = (0..10).map(|_| {
            let mut browser = browser.clone();
            tokio::spawn(async move { browser.post("/buy/3", &[]).await.status })
        });
        let mut done = 0;
        for buy in buys.collect::<Vec<_>>() {
            done += u32::from(buy.await.unwrap() == 200);
        }
        sees(&mut browser, &format!("coins={}", 30 - 3 * done)).await;
        sees(&mut browser, &format!("cart=bought={done}")).await;
        assert!(done > 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_always_comes_second_gives_up() {
    let store = Store::launch(Some(RedisServer::start())).await;
    let mut browser = store.server.browser();
    browser.post("/coins/1", &[]).await;
    assert_eq!(browser.post("/never", &[]).await.text(), "Err(Conflict)");
    sees(&mut browser, "coins=21").await;
}

#[tokio::test]
async fn nothing_of_one_user_is_left_to_the_next_in_any_field() {
    on_both_stores(async |store, mut browser| {
        browser.post("/login/alice", &[]).await;
        for path in [
            "/best/9",
            "/least/1",
            "/put/tea/1",
            "/notice/x",
            "/code/7",
            "/attempt",
        ] {
            browser.post(path, &[]).await;
        }
        browser.post("/login/bob", &[]).await;
        sees(
            &mut browser,
            "best=0 least=100 cart= notice=- address=/ code=None attempts=0 coins=0",
        )
        .await;
        if let Some(redis) = &store.redis {
            let key = redis.keys().pop().unwrap();
            let mut names: Vec<String> = redis.command(&["HKEYS", &key]);
            names.retain(|name| !name.starts_with('@'));
            assert_eq!(names, ["user"]);
        }
        // What the login wrote belongs to the next user; the previous user's other data does not.
        for path in ["/street/bobs", "/city/bobs", "/put/tea/1", "/attempt"] {
            browser.post(path, &[]).await;
        }
        browser.post("/move/carol/carols", &[]).await;
        sees(
            &mut browser,
            "cart=key=1 notice=- address=carols/ code=None attempts=1",
        )
        .await;
    })
    .await;
}
