//! A kit replaces the store and the clock.

use std::time::Duration;

use rocket::http::{ContentType, Cookie, Status};
use rocket::local::asynchronous::{Client, LocalResponse};
use rocket::tokio::io::{AsyncBufReadExt as _, BufReader};
use rocket::tokio::time::timeout;
use rocket_typed_session::testing::{TestKit, same_origin};

use crate::{Visit, rocket};

mod socket;

const PATIENCE: Duration = Duration::from_secs(20);

fn ann() -> Visit {
    Visit {
        user: Some("Ann <b>".into()),
        ticks: 10,
    }
}

async fn start() -> (TestKit, Client, Cookie<'static>) {
    let kit = TestKit::new();
    let client = Client::untracked(kit.install(rocket())).await;
    let client = client.expect("a rocket that launches");
    let cookie = kit.seed(client.rocket(), ann()).await;
    (kit, client, cookie)
}

async fn get<'c>(client: &'c Client, path: &'c str, cookie: &Cookie<'static>) -> LocalResponse<'c> {
    client.get(path).cookie(cookie.clone()).dispatch().await
}

async fn line(stream: &mut BufReader<LocalResponse<'_>>) -> Option<String> {
    loop {
        let mut line = String::new();
        let read = timeout(PATIENCE, stream.read_line(&mut line)).await;
        if read.expect("a stream that goes on").expect("a line") == 0 {
            return None;
        }
        // `:` alone is Rocket's heartbeat.
        if !["", ":"].contains(&line.trim()) {
            return Some(line.trim().to_owned());
        }
    }
}

#[rocket::async_test]
async fn each_second_of_a_stream_is_stored() {
    let (kit, client, cookie) = start().await;
    let mut stream = BufReader::new(get(&client, "/ticks", &cookie).await);
    for expected in ["data:11", "data:12"] {
        assert_eq!(line(&mut stream).await.as_deref(), Some(expected));
    }
    let visit: Visit = kit.read(client.rocket(), &cookie).await.expect("Ann's");
    assert!(visit.ticks >= 12);
}

#[rocket::async_test]
async fn an_outage_does_not_end_a_stream_and_loses_no_second() {
    let (kit, client, cookie) = start().await;
    let mut stream = BufReader::new(get(&client, "/ticks", &cookie).await);
    assert_eq!(line(&mut stream).await.as_deref(), Some("data:11"));
    kit.break_store();
    let mut lines = 1;
    while line(&mut stream).await.as_deref() != Some(":not stored") {
        lines += 1;
    }
    lines += 1;
    kit.mend_store();
    let stored = loop {
        lines += 1;
        match line(&mut stream).await.expect("a stream that goes on") {
            data if data.starts_with("data:") => break data,
            _ => {}
        }
    };
    assert_eq!(stored, format!("data:{}", 10 + lines));
}

#[rocket::async_test]
async fn a_logout_in_another_tab_ends_a_stream() {
    let (_kit, client, cookie) = start().await;
    let mut stream = BufReader::new(get(&client, "/ticks", &cookie).await);
    assert_eq!(line(&mut stream).await.as_deref(), Some("data:11"));
    let logout = client.post("/logout").header(same_origin());
    logout.cookie(cookie.clone()).dispatch().await;
    let mut is_told = false;
    while let Some(line) = line(&mut stream).await {
        is_told |= line == "event:over";
    }
    assert!(is_told);
    let again = get(&client, "/ticks", &cookie).await;
    assert_eq!(again.status(), Status::Unauthorized);
}

#[rocket::async_test]
async fn the_page_is_that_of_who_is_logged_in() {
    let (_kit, client, cookie) = start().await;
    let page = get(&client, "/", &cookie).await.into_string().await;
    let page = page.expect("a page");
    assert!(page.contains("Hello Ann &lt;b&gt;"), "{page}");
    let form = client.post("/login").header(ContentType::Form);
    let response = form.body("user=Bob").dispatch().await;
    assert!(response.cookies().get("id").is_some());
}
