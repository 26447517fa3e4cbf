use rocket::http::Status;
use rocket_typed_session::testing::same_origin;

use super::{Browser, PASSWORD, Shop, user_agent};

const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 \
    (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1";
const LAPTOP: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

async fn log_in<'s>(shop: &'s Shop, agent: &'static str) -> Browser<'s> {
    let mut browser = shop.browser();
    let form = format!("name=ann&password={PASSWORD}");
    let request = browser.form("/login", &form).header(same_origin());
    let answer = browser.send(request.header(user_agent(agent))).await;
    assert_eq!(answer.status, Status::SeeOther);
    browser
}

async fn is_logged_in(browser: &mut Browser<'_>) -> bool {
    browser.get("/devices").await.status == Status::Ok
}

#[rocket::async_test]
async fn a_user_sees_their_devices_and_logs_out_of_one_or_of_all() {
    let shop = Shop::open().await;
    let mut first = shop.browser();
    let form = format!("name=ann&password={PASSWORD}");
    first.post("/register", &form).await;
    let mut phone = log_in(&shop, PHONE).await;
    let mut laptop = log_in(&shop, LAPTOP).await;
    let (mut bob, _) = shop.member("bob").await;

    let page = laptop.get("/devices").await.text;
    assert!(
        page.contains("Safari on iPhone") && page.contains("Firefox on Linux"),
        "{page}"
    );
    let row = page.split("<li>").find(|row| row.contains("iPhone"));
    let action = row
        .and_then(|row| row.split_once("action=\""))
        .expect("a form")
        .1;
    let (end, _) = action.split_once('"').expect("its address");

    bob.post(end, "").await;
    assert!(
        is_logged_in(&mut phone).await,
        "Bob has no say in Ann's devices"
    );
    laptop.post(end, "").await;
    assert!(!is_logged_in(&mut phone).await);
    assert!(is_logged_in(&mut laptop).await && is_logged_in(&mut first).await);

    laptop.post("/devices/everywhere", "").await;
    assert!(!is_logged_in(&mut laptop).await && !is_logged_in(&mut first).await);
    assert!(is_logged_in(&mut bob).await);
}
