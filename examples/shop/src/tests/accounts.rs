use std::time::{Duration, Instant};

use rocket::http::Status;

use super::{PASSWORD, Shop};
use crate::passwords::Passwords;
use crate::users;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn ann() -> String {
    format!("name=Ann&password={PASSWORD}")
}

#[rocket::async_test]
async fn who_registers_is_logged_in_and_welcomed_once() {
    let shop = Shop::open().await;
    let mut browser = shop.browser();
    let answer = browser.post("/register", &ann()).await;
    assert_eq!(answer.location.as_deref(), Some("/"));
    let page = browser.get("/").await.text;
    assert!(page.contains("Welcome, Ann."), "{page}");
    assert!(page.contains(">Ann</a>"), "{page}");
    let page = browser.get("/").await.text;
    assert!(!page.contains("Welcome"), "{page}");
    assert!(page.contains(">Ann</a>"), "{page}");
}

#[rocket::async_test]
async fn a_login_changes_the_token_and_keeps_the_cart() {
    let shop = Shop::open().await;
    shop.browser().post("/register", &ann()).await;
    let mut browser = shop.browser();
    browser.post("/cart/add", "product=3").await;
    let before = browser.jar["id"].clone();
    let form = format!("name=ann&password={PASSWORD}&next=/devices");
    let answer = browser.post("/login", &form).await;
    assert_eq!(answer.location.as_deref(), Some("/devices"));
    assert_ne!(browser.jar["id"].value(), before.value());
    let visit = shop.visit(&browser).await.expect("Ann's");
    assert_eq!((visit.name.as_str(), visit.cart.get(&3)), ("Ann", Some(&1)));
    // A cookie from before the login is useless after it.
    browser.keep(before);
    assert!(shop.visit(&browser).await.is_none());
}

#[rocket::async_test]
async fn a_login_that_fails_does_not_say_which_names_exist() {
    let shop = Shop::open().await;
    shop.browser().post("/register", &ann()).await;
    let mut browser = shop.browser();
    let wrong = browser.post("/login", "name=Ann&password=wrong").await;
    let unknown = browser.post("/login", "name=Bob&password=wrong").await;
    assert_eq!(wrong.status, Status::UnprocessableEntity);
    assert_eq!(unknown.status, wrong.status);
    assert_eq!(unknown.text, wrong.text.replace("\"Ann\"", "\"Bob\""));
    assert!(browser.jar.is_empty());
}

/// The time would tell if an unknown name skipped the hash.
#[rocket::async_test]
async fn an_unknown_name_takes_as_long_as_a_wrong_password() {
    let shop = Shop::open().await;
    let passwords: &Passwords = shop.client.rocket().state().expect("passwords");
    let hash = passwords.hash(PASSWORD.into()).await.expect("a hash");
    let mut fastest = [Duration::MAX; 2];
    for _ in 0..5 {
        for (fastest, stored) in fastest.iter_mut().zip([Some(hash.clone()), None]) {
            let before = Instant::now();
            let is_right = passwords.is_right("wrong".into(), stored).await;
            assert!(!is_right.expect("an answer"));
            *fastest = before.elapsed().min(*fastest);
        }
    }
    let [wrong, unknown] = fastest;
    assert!(unknown > wrong / 2, "{unknown:?} and {wrong:?}");
}

#[rocket::async_test]
async fn a_name_is_taken_however_it_is_written() {
    let shop = Shop::open().await;
    shop.browser().post("/register", &ann()).await;
    let mut browser = shop.browser();
    let form = format!("name=ANN&password={PASSWORD}");
    let answer = browser.post("/register", &form).await;
    assert_eq!(answer.status, Status::UnprocessableEntity);
    let page = answer.text;
    assert!(page.contains("This name is taken."), "{page}");
}

#[rocket::async_test]
async fn names_and_passwords_have_rules() {
    let shop = Shop::open().await;
    let mut browser = shop.browser();
    for form in [
        "name=A&password=long+enough",
        "name=%3Cb%3E&password=long+enough",
        "name=A+B&password=long+enough",
        "name=Ann&password=too+short",
        "name=Ann",
        "",
    ] {
        let answer = browser.post("/register", form).await;
        assert_eq!(answer.status, Status::UnprocessableEntity, "{form}");
    }
    assert!(browser.jar.is_empty());
}

#[rocket::async_test]
async fn a_password_is_stored_as_its_hash() {
    let shop = Shop::open().await;
    shop.browser().post("/register", &ann()).await;
    let user = shop.database().call(|db| users::with_name(db, "ann")).await;
    let hash = user.expect("an answer").expect("Ann").password;
    assert!(
        hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{hash}"
    );
}

#[rocket::async_test]
async fn who_is_remembered_stays_logged_in_for_weeks() {
    let shop = Shop::open().await;
    let (mut phone, mut library) = (shop.browser(), shop.browser());
    phone
        .post("/register", &format!("{}&remember=on", ann()))
        .await;
    library.post("/login", &ann()).await;
    assert_eq!(
        phone.jar["id"].max_age().map(|age| age.whole_days()),
        Some(30)
    );
    assert_eq!(library.jar["id"].max_age(), None);
    shop.kit.advance(14 * DAY);
    assert!(phone.get("/").await.text.contains(">Ann</a>"));
    assert!(library.get("/").await.text.contains("Log in"));
}

#[rocket::async_test]
async fn a_logout_is_final() {
    let shop = Shop::open().await;
    let (mut browser, _) = shop.member("ann").await;
    let stolen = browser.jar["id"].clone();
    browser.post("/logout", "").await;
    assert!(browser.jar.is_empty());
    browser.keep(stolen);
    assert!(browser.get("/").await.text.contains("Log in"));
}
