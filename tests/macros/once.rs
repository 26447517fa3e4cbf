//! Each `once` field gets a `take_…`.

use rocket::http::Status;
use rocket::local::asynchronous::Client;
use rocket::{get, post, routes};
use rocket_typed_session::{Error, Session, session};

mod login {
    use rocket_typed_session::session;

    #[session]
    pub(crate) struct Login {
        #[session(once)]
        pub(crate) challenge: Option<String>,
        #[session(once, rename = "kind")]
        pub(crate) r#type: Option<u32>,
    }
}

use login::Login;

#[post("/")]
fn start(mut login: Session<Login>) {
    login.challenge = Some("riddle".into());
    login.r#type = Some(7);
}

#[get("/")]
async fn finish(mut login: Session<Login>) -> Result<String, Error> {
    let (challenge, kind) = (
        Login::take_challenge(&mut login).await?,
        Login::take_type(&mut login).await?,
    );
    assert_eq!((&login.challenge, login.r#type), (&None, None));
    Ok(format!("{challenge:?} {kind:?}"))
}

#[rocket::async_test]
async fn what_was_taken_is_gone() {
    let routes = routes![start, finish];
    let rocket = rocket::build().attach(Login::fairing()).mount("/", routes);
    let client = Client::tracked(rocket).await.expect("it launches");
    let finish = async || client.get("/").dispatch().await.into_string().await;
    assert_eq!(finish().await.as_deref(), Some("None None"));
    assert_eq!(client.post("/").dispatch().await.status(), Status::Ok);
    assert_eq!(finish().await.as_deref(), Some("Some(\"riddle\") Some(7)"));
    assert_eq!(finish().await.as_deref(), Some("None None"));

    client.post("/").dispatch().await;
    let both = rocket::tokio::join!(finish(), finish());
    let both = [both.0.unwrap_or_default(), both.1.unwrap_or_default()].concat();
    for value in ["Some(\"riddle\")", "Some(7)"] {
        assert_eq!(both.matches(value).count(), 1, "{both}");
    }
}

#[test]
fn its_future_is_send() {
    #[session]
    struct Coupon {
        #[session(once)]
        code: Option<u64>,
    }
    fn is_send(session: &mut Session<Coupon>) -> impl Send {
        Coupon::take_code(session)
    }
    let _is_send = is_send;
}

#[test]
fn a_cfg_removes_the_method_too() {
    #[session]
    struct Configured {
        #[cfg(any())]
        #[session(once)]
        either: missing::Type,
        #[cfg(not(any()))]
        #[session(once)]
        either: Option<u8>,
    }
    #[session]
    struct AllRemoved {
        #[cfg(any())]
        #[session(once)]
        never: missing::Type,
    }
    let _take = Configured::take_either;
    let _fairing = AllRemoved::fairing();
}
