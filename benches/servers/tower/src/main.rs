//! tower-sessions on axum, on Redis by fred.

use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tower_sessions::cookie::time;
use tower_sessions::{Expiry, Session, SessionManagerLayer};
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike as _, Config, Pool};

/// One key, as in its examples of typed data.
const KEY: &str = "visit";

#[derive(Default, Deserialize, Serialize)]
struct Visit {
    views: u64,
    user: Option<String>,
    theme: String,
    language: String,
    region: String,
    last_page: String,
    greeting: String,
}

type Answer<T> = Result<T, tower_sessions::session::Error>;

/// A session error is a 500.
struct Failed;

impl axum::response::IntoResponse for Failed {
    fn into_response(self) -> axum::response::Response {
        axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

impl From<tower_sessions::session::Error> for Failed {
    fn from(_: tower_sessions::session::Error) -> Self {
        Self
    }
}

#[derive(Deserialize)]
struct Login {
    user: String,
}

#[derive(Deserialize)]
struct Set {
    to: String,
}

#[derive(Deserialize)]
struct Slow {
    ms: u64,
}

async fn visit(session: &Session) -> Answer<Visit> {
    Ok(session.get(KEY).await?.unwrap_or_default())
}

async fn read(session: Session) -> Result<String, Failed> {
    let visit = visit(&session).await?;
    let user = visit.user.as_deref().unwrap_or("nobody");
    Ok(format!(
        "views={} user={user} theme={}",
        visit.views, visit.theme
    ))
}

async fn count(session: Session) -> Result<String, Failed> {
    let mut visit = visit(&session).await?;
    visit.views += 1;
    session.insert(KEY, &visit).await?;
    Ok(visit.views.to_string())
}

async fn set(session: Session, Query(set): Query<Set>) -> Result<&'static str, Failed> {
    let mut visit = visit(&session).await?;
    visit.last_page = set.to;
    session.insert(KEY, &visit).await?;
    Ok("set")
}

async fn slow(session: Session, Query(slow): Query<Slow>) -> Result<&'static str, Failed> {
    let mut visit = visit(&session).await?;
    visit.last_page = "slow".into();
    session.insert(KEY, &visit).await?;
    sleep(Duration::from_millis(slow.ms)).await;
    Ok("slow")
}

async fn login(session: Session, Query(login): Query<Login>) -> Result<&'static str, Failed> {
    session.cycle_id().await?;
    let visit = Visit {
        views: 1,
        user: Some(login.user),
        theme: "dark".into(),
        language: "en-GB".into(),
        region: "europe-west".into(),
        last_page: "/products/tea/green".into(),
        greeting: "Welcome back to the shop".into(),
    };
    session.insert(KEY, &visit).await?;
    Ok("in")
}

async fn logout(session: Session) -> Result<&'static str, Failed> {
    session.flush().await?;
    Ok("out")
}

async fn allocations() -> String {
    allocator::allocations().unwrap_or_default().to_string()
}

#[tokio::main]
async fn main() {
    let url = std::env::var("REDIS_URL").expect("REDIS_URL");
    let config = Config::from_url(&url).expect("a URL");
    // As in its example.
    let pool = Pool::new(config, None, None, None, 6).expect("a pool");
    let _connecting = pool.connect();
    pool.wait_for_connect().await.expect("a Redis server");
    let sessions = SessionManagerLayer::new(RedisStore::new(pool))
        .with_expiry(Expiry::OnInactivity(time::Duration::seconds(1800)));
    let app = Router::new()
        .route("/read", get(read))
        .route("/count", get(count))
        .route("/set", get(set))
        .route("/slow", get(slow))
        .route("/login", get(login))
        .route("/logout", get(logout))
        .layer(sessions)
        // Below the layer: no session.
        .route("/bare", get(async || "hello"))
        .route("/allocations", get(allocations));
    let port = std::env::var("PORT").expect("PORT");
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await;
    axum::serve(listener.expect("a free port"), app)
        .await
        .expect("a server");
}
