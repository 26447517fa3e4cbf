use std::collections::BTreeMap;

use rocket::futures::future::join_all;
use rocket::http::{Accept, Status};
use rocket_typed_session::testing::same_origin;

use super::Shop;
use crate::cart::MOST;

/// All requests start before the first answer.
#[rocket::async_test]
async fn many_tabs_at_once_lose_nothing() {
    let shop = Shop::open().await;
    let mut browser = shop.browser();
    browser.post("/cart/add", "product=1").await;
    let clicks = (1..=6).flat_map(|product| [product; 3]).map(|product| {
        let form = format!("product={product}");
        let request = browser.form("/cart/add", &form);
        let request = request.header(same_origin()).header(Accept::JSON);
        browser.with_cookies(request).dispatch()
    });
    for response in join_all(clicks).await {
        assert_eq!(response.status(), Status::Ok);
    }
    let cart = shop.visit(&browser).await.expect("a session").cart;
    assert_eq!(
        cart,
        BTreeMap::from([(1, 4), (2, 3), (3, 3), (4, 3), (5, 3), (6, 3)])
    );
}

#[rocket::async_test]
async fn a_script_gets_the_count_and_a_form_a_page() {
    let shop = Shop::open().await;
    let mut browser = shop.browser();
    let request = browser.form("/cart/add", "product=1").header(same_origin());
    let script = browser.send(request.header(Accept::JSON)).await;
    assert_eq!(
        (script.status, script.text.as_str()),
        (Status::Ok, r#"{"items":1}"#)
    );
    let form = browser.post("/cart/add", "product=1").await;
    assert_eq!(form.location.as_deref(), Some("/"));
}

#[rocket::async_test]
async fn quantities_are_set_within_limits() {
    let shop = Shop::open().await;
    let mut browser = shop.browser();
    for product in 1..=3 {
        browser
            .post("/cart/add", &format!("product={product}"))
            .await;
    }
    browser.post("/cart/set", "product=1&quantity=0").await;
    browser.post("/cart/set", "product=2&quantity=7").await;
    browser
        .post("/cart/set", "product=3&quantity=4000000000")
        .await;
    browser.post("/cart/set", "product=99&quantity=1").await;
    browser.post("/cart/add", "product=99").await;
    let cart = shop.visit(&browser).await.expect("a session").cart;
    assert_eq!(cart, BTreeMap::from([(2, 7), (3, MOST)]));
    let page = browser.get("/cart").await.text;
    assert!(
        page.contains("€ 168.00") && page.contains("Log in to order"),
        "{page}"
    );
}

#[rocket::async_test]
async fn an_order_needs_a_login() {
    let shop = Shop::open().await;
    let mut browser = shop.browser();
    browser.post("/cart/add", "product=1").await;
    let answer = browser.post("/cart/order", "").await;
    assert_eq!(answer.location.as_deref(), Some("/login"));
    assert_eq!(shop.visit(&browser).await.expect("a session").cart.len(), 1);
}

#[rocket::async_test]
async fn two_orders_at_once_are_one() {
    let shop = Shop::open().await;
    let (mut browser, user) = shop.member("ann").await;
    browser.post("/cart/add", "product=6").await;
    let orders = [(); 2].map(|()| {
        let request = browser.form("/cart/order", "").header(same_origin());
        browser.with_cookies(request).dispatch()
    });
    join_all(orders).await;
    assert_eq!(orders_of(&shop, user).await, [(6, 1)]);
    assert!(shop.visit(&browser).await.expect("Ann's").cart.is_empty());
    let page = browser.get("/").await.text;
    assert!(page.contains("Thank you for your order."), "{page}");
}

#[rocket::async_test]
async fn what_cannot_be_ordered_stays_in_the_cart() {
    let shop = Shop::open().await;
    let (mut browser, user) = shop.member("ann").await;
    browser.post("/cart/add", "product=1").await;
    browser.post("/cart/add", "product=6").await;
    browser.post("/cart/set", "product=6&quantity=4").await;
    let cart = shop.visit(&browser).await.expect("Ann's").cart;
    browser.post("/cart/order", "").await;
    let page = browser.get("/cart").await.text;
    assert!(
        page.contains("We do not have that many any more."),
        "{page}"
    );
    assert!(orders_of(&shop, user).await.is_empty());
    let drop = |db: &mut rusqlite::Connection| db.execute_batch("DROP TABLE orders");
    shop.database().call(drop).await.expect("no table");
    let failed = browser.post("/cart/order", "").await;
    assert_eq!(failed.status, Status::InternalServerError);
    assert_eq!(shop.visit(&browser).await.expect("Ann's").cart, cart);
}

async fn orders_of(shop: &Shop, user: String) -> Vec<(u32, u32)> {
    let orders = shop.database().call(move |db| {
        let mut select = db.prepare("SELECT product, quantity FROM orders WHERE user = ?1")?;
        let orders = select.query_map([user], |row| Ok((row.get(0)?, row.get(1)?)))?;
        orders.collect()
    });
    orders.await.expect("orders")
}
