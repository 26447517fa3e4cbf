use std::time::Duration;

use rocket::http::Status;

use super::{Browser, PASSWORD, Shop};
use crate::visit::AdminVisit;

async fn enter(shop: &Shop) -> Browser<'_> {
    let mut boss = shop.staff().await;
    let form = format!("password={PASSWORD}&next=/admin");
    let answer = boss.post("/admin/login", &form).await;
    assert_eq!(answer.location.as_deref(), Some("/admin"));
    boss
}

async fn is_inside(browser: &mut Browser<'_>) -> bool {
    browser.get("/admin").await.status == Status::Ok
}

#[rocket::async_test]
async fn strangers_are_sent_to_the_login_and_customers_turned_away() {
    let shop = Shop::open().await;
    let mut stranger = shop.browser();
    let answer = stranger.get("/admin").await;
    assert_eq!(
        answer.location.as_deref(),
        Some("/admin/login?next=%2Fadmin")
    );
    let answer = stranger.get("/admin/login").await;
    assert_eq!(
        answer.location.as_deref(),
        Some("/login?next=%2Fadmin%2Flogin")
    );
    let (mut ann, _) = shop.member("ann").await;
    assert_eq!(ann.get("/admin/login").await.status, Status::Forbidden);
    for path in ["/admin/stock", "/admin/log-out"] {
        let answer = ann.post(path, "product=1&stock=0&id=x").await;
        assert_eq!(answer.location.as_deref(), Some("/admin/login"), "{path}");
    }
}

#[rocket::async_test]
async fn the_staff_shows_the_password_again() {
    let shop = Shop::open().await;
    let mut boss = shop.staff().await;
    assert!(!is_inside(&mut boss).await);
    let answer = boss.post("/admin/login", "password=wrong").await;
    assert_eq!(answer.status, Status::UnprocessableEntity);
    assert!(!is_inside(&mut boss).await);
    assert!(is_inside(&mut enter(&Shop::open().await).await).await);
}

#[rocket::async_test]
async fn the_area_ends_with_the_visit_wherever_that_ends() {
    for end in ["/logout", "/devices/everywhere"] {
        let shop = Shop::open().await;
        let mut boss = enter(&shop).await;
        let admin = boss.jar["admin"].clone();
        assert!(is_inside(&mut boss).await);
        boss.post(end, "").await;
        // A copied cookie, or a new login.
        boss.keep(admin);
        assert!(!is_inside(&mut boss).await, "{end}");
        let form = format!("name=boss&password={PASSWORD}");
        boss.post("/login", &form).await;
        assert!(!is_inside(&mut boss).await, "{end}");
    }
}

#[rocket::async_test]
async fn the_area_ends_after_ten_quiet_minutes_or_when_left() {
    let shop = Shop::open().await;
    let mut boss = enter(&shop).await;
    shop.kit.advance(Duration::from_secs(11 * 60));
    assert!(!is_inside(&mut boss).await);
    assert!(boss.get("/").await.text.contains(">boss</a>"));
    let form = format!("password={PASSWORD}");
    boss.post("/admin/login", &form).await;
    assert!(is_inside(&mut boss).await);
    boss.post("/admin/leave", "").await;
    assert!(!is_inside(&mut boss).await);
    assert!(boss.get("/").await.text.contains(">boss</a>"));
}

#[rocket::async_test]
async fn who_leaves_the_staff_is_out_at_once() {
    let shop = Shop::open().await;
    let mut boss = enter(&shop).await;
    let dismiss = |db: &mut rusqlite::Connection| {
        db.execute_batch("UPDATE users SET is_staff = FALSE WHERE name = 'boss'")
    };
    shop.database().call(dismiss).await.expect("an update");
    assert!(!is_inside(&mut boss).await);
    assert_eq!(boss.get("/admin/login").await.status, Status::Forbidden);
}

#[rocket::async_test]
async fn the_staff_sets_the_stock_and_logs_a_customer_out() {
    let shop = Shop::open().await;
    let mut boss = enter(&shop).await;
    let (ann, id) = shop.member("ann").await;
    boss.post("/admin/stock", "product=6&stock=0").await;
    let window = shop.browser().get("/").await.text;
    assert_eq!(window.matches("Sold out").count(), 1);
    let answer = boss.post("/admin/stock", "product=6&stock=10000").await;
    assert_eq!(answer.status, Status::UnprocessableEntity);
    assert!(shop.visit(&ann).await.is_some());
    boss.post("/admin/log-out", &format!("id={id}")).await;
    assert!(shop.visit(&ann).await.is_none());
    assert!(is_inside(&mut boss).await);
    let cookies = ["id", "admin"].map(|name| boss.jar[name].clone());
    let visit: Option<AdminVisit> = shop.kit.read(shop.client.rocket(), &cookies).await;
    assert!(visit.is_some_and(|visit| visit.admin.is_some()));
}
