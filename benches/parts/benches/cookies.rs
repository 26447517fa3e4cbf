//! The `Cookie` header. Its parser is private, so these are whole requests in Rocket's local client. Compare
//! with `/bare`.

use criterion::Criterion;
use rocket::http::Header;
use rocket::local::asynchronous::Client;
use rocket::{Build, Rocket, get, routes};
use rocket_typed_session::Session;
use rocket_typed_session::store::MemoryStore;
use session_core::token::Token;
use tokio::runtime::Builder;

use crate::sessions::Visit;

#[get("/bare")]
fn bare() -> &'static str {
    "hello"
}

#[get("/read")]
fn read(visit: Session<Visit>) -> String {
    visit.views.to_string()
}

#[get("/login")]
fn login(mut visit: Session<Visit>) -> &'static str {
    *visit = crate::sessions::visit();
    "in"
}

fn rocket() -> Rocket<Build> {
    let figment = rocket::Config::figment()
        .merge(("log_level", "off"))
        // Without a prefix, because a browser may send several cookies of this name.
        .merge(("sessions.visit.cookie", "id"));
    let routes = routes![bare, read, login];
    let rocket = rocket::custom(figment).attach(Visit::fairing().store(MemoryStore::new()));
    rocket.mount("/", routes)
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let client = runtime
        .block_on(Client::untracked(rocket()))
        .expect("it launches");
    let own = runtime.block_on(log_in(&client));
    let others: Vec<String> = (0..20).map(|n| format!("other-{n}=value-{n}")).collect();
    let others = others.join("; ");
    let unknown = (0..3).map(|_| Token::generate().expect("randomness").expose());
    let unknown: Vec<String> = unknown.map(|token| format!("id={token}")).collect();

    let mut group = criterion.benchmark_group("GET");
    for (name, path, cookies, body) in [
        ("bare, no cookie", "/bare", String::new(), "hello"),
        ("read, no cookie", "/read", String::new(), "0"),
        (
            "bare, 20 cookies of others",
            "/bare",
            others.clone(),
            "hello",
        ),
        ("read, 20 cookies of others", "/read", others.clone(), "0"),
        ("read, the session's cookie", "/read", own.clone(), "41"),
        (
            "read, it and 20 of others",
            "/read",
            format!("{others}; {own}"),
            "41",
        ),
        (
            "read, it and 3 unknown tokens",
            "/read",
            format!("{}; {own}", unknown.join("; ")),
            "41",
        ),
    ] {
        let answered = runtime.block_on(ask(&client, path, &cookies));
        assert_eq!(answered.as_deref(), Some(body), "{name}");
        group.bench_function(name, |bencher| {
            bencher
                .to_async(&runtime)
                .iter(|| ask(&client, path, &cookies));
        });
    }
    group.finish();
}

async fn ask(client: &Client, path: &str, cookies: &str) -> Option<String> {
    let mut request = client.get(path);
    if !cookies.is_empty() {
        request.add_header(Header::new("Cookie", cookies.to_owned()));
    }
    request.dispatch().await.into_string().await
}

async fn log_in(client: &Client) -> String {
    let response = client.get("/login").dispatch().await;
    let cookie = response.headers().get_one("Set-Cookie").expect("a cookie");
    cookie.split(';').next().unwrap_or_default().to_owned()
}
