//! rocket_flex_session on Redis by fred, as in its example: JSON strings, indexed by user.

use std::time::Duration;

use fred::prelude::{Builder, ClientLike as _, Config};
use rocket::tokio::time::sleep;
use rocket::{get, launch, routes};
use rocket_flex_session::storage::redis::{
    RedisFormat, RedisFredStorage, RedisValue, SessionRedis,
};
use rocket_flex_session::{RocketFlexSession, Session, SessionIdentifier};
use serde::{Deserialize, Serialize};

#[derive(Clone, Default, Deserialize, Serialize)]
struct Visit {
    views: u64,
    user: Option<String>,
    theme: String,
    language: String,
    region: String,
    last_page: String,
    greeting: String,
}

impl SessionIdentifier for Visit {
    type Id = String;

    fn identifier(&self) -> Option<String> {
        self.user.clone()
    }
}

impl SessionRedis for Visit {
    const REDIS_FORMAT: RedisFormat = RedisFormat::String;

    type Error = serde_json::Error;

    fn into_redis(self) -> Result<RedisValue, Self::Error> {
        serde_json::to_string(&self).map(RedisValue::String)
    }

    fn from_redis(value: RedisValue) -> Result<Self, Self::Error> {
        serde_json::from_str(&value.into_string().unwrap_or_default())
    }
}

#[get("/bare")]
fn bare() -> &'static str {
    "hello"
}

#[get("/read")]
fn read(session: Session<'_, Visit>) -> String {
    session.tap(|visit| {
        visit.map_or_else(String::new, |visit| {
            let user = visit.user.as_deref().unwrap_or("nobody");
            format!("views={} user={user} theme={}", visit.views, visit.theme)
        })
    })
}

#[get("/count")]
fn count(mut session: Session<'_, Visit>) -> String {
    session.tap_mut(|visit| {
        let visit = visit.get_or_insert_default();
        visit.views += 1;
        visit.views.to_string()
    })
}

#[get("/set?<to>")]
fn set(mut session: Session<'_, Visit>, to: String) -> &'static str {
    session.tap_mut(|visit| visit.get_or_insert_default().last_page = to);
    "set"
}

#[get("/slow?<ms>")]
async fn slow(mut session: Session<'_, Visit>, ms: u64) -> &'static str {
    session.tap_mut(|visit| visit.get_or_insert_default().last_page = "slow".into());
    sleep(Duration::from_millis(ms)).await;
    "slow"
}

#[get("/login?<user>")]
fn login(mut session: Session<'_, Visit>, user: String) -> &'static str {
    session.set(Visit {
        views: 1,
        user: Some(user),
        theme: "dark".into(),
        language: "en-GB".into(),
        region: "europe-west".into(),
        last_page: "/products/tea/green".into(),
        greeting: "Welcome back to the shop".into(),
    });
    "in"
}

#[get("/logout")]
fn logout(mut session: Session<'_, Visit>) -> &'static str {
    session.delete();
    "out"
}

#[get("/allocations")]
fn allocations() -> String {
    allocator::allocations().unwrap_or_default().to_string()
}

#[launch]
async fn rocket() -> _ {
    let url = std::env::var("REDIS_URL").expect("REDIS_URL");
    let config = Config::from_url(&url).expect("a URL");
    // As in its example.
    let pool = Builder::from_config(config).build_pool(4).expect("a pool");
    pool.init().await.expect("a Redis server");
    let storage = RedisFredStorage::builder().pool(pool).build();
    let sessions = RocketFlexSession::<Visit>::builder()
        .storage(storage)
        .with_options(|options| options.ttl = Some(1800))
        .build();
    let routes = routes![bare, read, count, set, slow, login, logout, allocations];
    rocket::build().attach(sessions).mount("/", routes)
}
