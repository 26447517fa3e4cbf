//! actix-session on Redis, over one connection of redis-rs.

use std::time::Duration;

use actix_session::storage::RedisSessionStore;
use actix_session::{Session, SessionExt as _, SessionMiddleware};
use actix_web::cookie::Key;
use actix_web::web::{Query, get, scope};
use actix_web::{App, HttpRequest, HttpServer, Result, rt};
use serde::Deserialize;

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

async fn read(session: Session) -> Result<String> {
    let views: u64 = session.get("views")?.unwrap_or_default();
    let user: Option<String> = session.get("user")?;
    let theme: String = session.get("theme")?.unwrap_or_default();
    let user = user.as_deref().unwrap_or("nobody");
    Ok(format!("views={views} user={user} theme={theme}"))
}

async fn count(session: Session) -> Result<String> {
    let views = session.get("views")?.unwrap_or(0_u64) + 1;
    session.insert("views", views)?;
    Ok(views.to_string())
}

async fn set(session: Session, set: Query<Set>) -> Result<&'static str> {
    session.insert("last_page", &set.to)?;
    Ok("set")
}

async fn slow(session: Session, slow: Query<Slow>) -> Result<&'static str> {
    session.insert("last_page", "slow")?;
    rt::time::sleep(Duration::from_millis(slow.ms)).await;
    Ok("slow")
}

async fn login(request: HttpRequest, login: Query<Login>) -> Result<&'static str> {
    let session = request.get_session();
    session.renew();
    session.insert("views", 1)?;
    session.insert("user", &login.user)?;
    session.insert("theme", "dark")?;
    session.insert("language", "en-GB")?;
    session.insert("region", "europe-west")?;
    session.insert("last_page", "/products/tea/green")?;
    session.insert("greeting", "Welcome back to the shop")?;
    Ok("in")
}

async fn logout(session: Session) -> &'static str {
    session.purge();
    "out"
}

async fn allocations() -> String {
    allocator::allocations().unwrap_or_default().to_string()
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let url = std::env::var("REDIS_URL").expect("REDIS_URL");
    let port = std::env::var("PORT").expect("PORT");
    let store = RedisSessionStore::new(url).await.expect("a Redis server");
    let key = Key::generate();
    HttpServer::new(move || {
        let sessions = SessionMiddleware::new(store.clone(), key.clone());
        App::new()
            // Outside the middleware's scope: no session.
            .route("/bare", get().to(async || "hello"))
            .route("/allocations", get().to(allocations))
            .service(
                scope("")
                    .wrap(sessions)
                    .route("/read", get().to(read))
                    .route("/count", get().to(count))
                    .route("/set", get().to(set))
                    .route("/slow", get().to(slow))
                    .route("/login", get().to(login))
                    .route("/logout", get().to(logout)),
            )
    })
    .bind(format!("127.0.0.1:{port}"))?
    .run()
    .await
}
