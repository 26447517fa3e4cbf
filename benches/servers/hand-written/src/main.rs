//! The least that these requests can cost over redis-rs: no typed fields, no expiry beyond Redis's own, no
//! rotation, no merge. `/count` and `/set` check in a script that the session exists; `/count-unguarded` does
//! not, and revives a deleted session.

mod session;

use std::time::Duration;

use redis::AsyncCommands as _;
use rocket::http::{Cookie, CookieJar, SameSite, Status};
use rocket::tokio::time::sleep;
use rocket::{State, get, launch, routes};

use session::{COOKIE, SessionKey, Sessions};

type Answer<T> = Result<T, Status>;

#[get("/bare")]
fn bare() -> &'static str {
    "hello"
}

#[get("/read")]
async fn read(key: SessionKey, sessions: &State<Sessions>) -> Answer<String> {
    let visit = sessions.all(&key).await.map_err(unavailable)?;
    let field = |name| visit.get(name).map_or("nobody", String::as_str);
    Ok(format!(
        "views={} user={} theme={}",
        field("views"),
        field("user"),
        field("theme")
    ))
}

#[get("/count")]
async fn count(key: SessionKey, sessions: &State<Sessions>) -> Answer<String> {
    sessions.some(&key).await.map_err(unavailable)?;
    let views = sessions.count(&key).await.map_err(unavailable)?;
    Ok(views.map_or_else(|| "gone".into(), |views| views.to_string()))
}

#[get("/count-unguarded")]
async fn count_unguarded(key: SessionKey, sessions: &State<Sessions>) -> Answer<String> {
    sessions.some(&key).await.map_err(unavailable)?;
    let views: i64 = sessions
        .connection()
        .hincr(&key.0, "views", 1)
        .await
        .map_err(unavailable)?;
    Ok(views.to_string())
}

#[get("/set?<to>")]
async fn set(key: SessionKey, sessions: &State<Sessions>, to: String) -> Answer<&'static str> {
    sessions.some(&key).await.map_err(unavailable)?;
    let is_set = sessions.set(&key, "last_page", &to).await;
    Ok(if is_set.map_err(unavailable)? {
        "set"
    } else {
        "gone"
    })
}

#[get("/slow?<ms>")]
async fn slow(key: SessionKey, sessions: &State<Sessions>, ms: u64) -> Answer<&'static str> {
    sessions.some(&key).await.map_err(unavailable)?;
    sleep(Duration::from_millis(ms)).await;
    let is_set = sessions.set(&key, "last_page", "slow").await;
    Ok(if is_set.map_err(unavailable)? {
        "slow"
    } else {
        "gone"
    })
}

#[get("/login?<user>")]
async fn login(
    jar: &CookieJar<'_>,
    sessions: &State<Sessions>,
    user: String,
) -> Answer<&'static str> {
    let (id, key) = SessionKey::random();
    sessions.begin(&key, &user).await.map_err(unavailable)?;
    let cookie = Cookie::build((COOKIE, id)).http_only(true).secure(true);
    jar.add(cookie.same_site(SameSite::Lax));
    Ok("in")
}

#[get("/logout")]
async fn logout(
    key: SessionKey,
    jar: &CookieJar<'_>,
    sessions: &State<Sessions>,
) -> Answer<&'static str> {
    let deleted: redis::RedisResult<()> = sessions.connection().del(&key.0).await;
    deleted.map_err(unavailable)?;
    jar.remove(COOKIE);
    Ok("out")
}

#[get("/allocations")]
fn allocations() -> String {
    allocator::allocations().unwrap_or_default().to_string()
}

fn unavailable(_: redis::RedisError) -> Status {
    Status::ServiceUnavailable
}

#[launch]
async fn rocket() -> _ {
    let url = std::env::var("REDIS_URL").expect("REDIS_URL");
    let sessions = Sessions::connect(&url).await.expect("a Redis server");
    let sessions_routes = routes![read, count, count_unguarded, set, slow, login, logout];
    rocket::build()
        .manage(sessions)
        .mount("/", sessions_routes)
        .mount("/", routes![bare, allocations])
}
