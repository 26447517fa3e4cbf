//! A session in a response that has begun: its data can be saved, its cookie cannot change.

use rocket::response::stream::TextStream;
use rocket::{Build, Rocket, get, routes};
use rocket_typed_session::{Error, Lifetime, Session, session};

use crate::support::http::Server;
use crate::support::log::{Log, alone};
use crate::support::own::{on_all_stores, quiet};

#[session(cookie = "tale", name = "tale")]
struct Tale {
    #[session(counter)]
    told: u64,
    note: String,
}

#[get("/tell")]
fn tell(mut tale: Session<Tale>) -> String {
    tale.told += 1;
    tale.told.to_string()
}

#[get("/read")]
fn read(tale: Session<Tale>) -> String {
    format!("told={} note={}", tale.told, tale.note)
}

fn answer(result: Result<(), Error>) -> String {
    result.map_or_else(|error| error.to_string(), |()| "done".into())
}

const REFUSED: &str = "the response has begun";

#[get("/stream/save")]
fn save(mut tale: Session<Tale>) -> TextStream![String] {
    TextStream! {
        yield "begun ".to_owned();
        tale.told += 1;
        tale.note = "streamed".into();
        yield answer(tale.save().await);
    }
}

/// A transaction includes what its request changed before.
#[get("/stream/transact")]
fn transact(mut tale: Session<Tale>) -> TextStream![String] {
    TextStream! {
        yield "begun ".to_owned();
        tale.told += 1;
        let ten_more = |tale: &mut Tale| -> Result<(), Error> {
            tale.told += 10;
            Ok(())
        };
        yield match tale.transact(ten_more).await {
            Ok(()) => tale.told.to_string(),
            Err(error) => error.to_string(),
        };
    }
}

#[get("/stream/end")]
fn end(mut tale: Session<Tale>) -> TextStream![String] {
    TextStream! {
        yield "begun ".to_owned();
        tale.destroy();
        yield answer(tale.save().await);
    }
}

#[get("/stream/rotate")]
fn rotate(mut tale: Session<Tale>) -> TextStream![String] {
    TextStream! {
        yield "begun ".to_owned();
        tale.rotate_token();
        yield answer(tale.save().await);
    }
}

#[get("/stream/forget-end")]
fn forget_end(mut tale: Session<Tale>) -> TextStream![&'static str] {
    TextStream! {
        yield "begun ";
        tale.destroy();
        yield "done";
    }
}

#[get("/stream/forget-lifetime")]
fn forget_lifetime(mut tale: Session<Tale>) -> TextStream![&'static str] {
    TextStream! {
        yield "begun ";
        tale.set_lifetime(Lifetime::default());
        yield "done";
    }
}

#[get("/stream/forget")]
fn forget(mut tale: Session<Tale>) -> TextStream![String] {
    tale.note = "lost".into();
    TextStream! {
        yield "begun ".to_owned();
        drop(tale);
        yield "done".to_owned();
    }
}

fn build(rocket: Rocket<Build>) -> Rocket<Build> {
    let routes = routes![
        tell,
        read,
        save,
        transact,
        end,
        rotate,
        forget,
        forget_end,
        forget_lifetime
    ];
    rocket.attach(Tale::fairing()).mount("/", routes)
}

#[tokio::test]
async fn a_stream_saves_data() {
    on_all_stores(build, async |server| {
        let mut browser = server.browser();
        browser.get("/tell").await;
        let response = browser.get("/stream/save").await;
        assert_eq!(response.text(), "begun done");
        assert!(response.set_cookies().is_empty());
        let read = browser.get("/read").await.text();
        assert_eq!(read, "told=2 note=streamed");
    })
    .await;
}

#[tokio::test]
async fn a_transaction_in_a_stream_includes_what_was_changed_before() {
    on_all_stores(build, async |server| {
        let mut browser = server.browser();
        browser.get("/tell").await;
        let response = browser.get("/stream/transact").await;
        assert_eq!(response.text(), "begun 12");
        assert_eq!(browser.get("/read").await.text(), "told=12 note=");
    })
    .await;
}

#[tokio::test]
async fn a_stream_creates_no_session() {
    on_all_stores(build, async |server| {
        let mut browser = server.browser();
        let response = browser.get("/stream/save").await;
        assert!(response.text().contains(REFUSED), "{}", response.text());
        assert!(browser.jar.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_stream_neither_ends_nor_rotates_a_session() {
    on_all_stores(build, async |server| {
        let mut browser = server.browser();
        browser.get("/tell").await;
        for path in ["/stream/end", "/stream/rotate"] {
            let response = browser.get(path).await;
            assert!(response.text().contains(REFUSED), "{}", response.text());
            assert!(response.set_cookies().is_empty());
        }
        assert_eq!(browser.get("/read").await.text(), "told=1 note=");
    })
    .await;
}

#[test]
fn what_a_stream_does_not_save_is_lost_and_the_log_says_so() {
    alone(async || {
        let log = Log::keep();
        let server = Server::launch(build(quiet())).await;
        let mut browser = server.browser();
        browser.get("/tell").await;
        assert!(log.with("lost").is_empty());
        assert_eq!(browser.get("/stream/forget").await.text(), "begun done");
        let line = log.wait_for("the change is lost").await;
        assert_eq!(line.level, log::Level::Error);
        assert!(line.text.starts_with("session type tale: "), "{line:?}");
        browser.get("/stream/forget-end").await;
        let line = log.wait_for("cannot end").await;
        assert_eq!(line.level, log::Level::Error);
        let before = log.with("cannot end").len();
        browser.get("/stream/forget-lifetime").await;
        assert_eq!(log.with("cannot end").len(), before + 1);
        assert_eq!(browser.get("/read").await.text(), "told=1 note=");
    });
}
