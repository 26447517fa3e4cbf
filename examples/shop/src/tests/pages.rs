use std::collections::BTreeMap;

use rocket::http::{Method, Status};
use rocket_typed_session::testing::{assert_layout, cross_site};

use super::{AdminVisit, PASSWORD, Shop, Visit};

#[rocket::async_test]
async fn no_form_of_another_site_is_accepted() {
    let shop = Shop::open().await;
    let (mut ann, _) = shop.member("ann").await;
    let routes = shop.client.rocket().routes();
    let forms: Vec<_> = routes
        .filter(|route| route.method == Method::Post)
        .collect();
    assert_eq!(forms.len(), 12);
    for route in forms {
        let path = route
            .uri
            .to_string()
            .replace("<id>", "AAAAAAAAAAAAAAAAAAAAAA");
        let form = "name=ann&password=x&next=/&product=1&quantity=1&stock=1&id=1";
        let request = ann.form(&path, form).header(cross_site());
        assert_eq!(ann.send(request).await.status, Status::Forbidden, "{path}");
    }
    assert!(shop.visit(&ann).await.is_some());
}

/// The client does not send `Sec-Fetch-Site`, like browsers before 2020.
#[rocket::async_test]
async fn every_form_carries_the_token_that_older_browsers_need() {
    let shop = Shop::open().await;
    let mut boss = shop.staff().await;
    let form = format!("password={PASSWORD}");
    boss.post("/admin/login", &form).await;
    boss.post("/cart/add", "product=1").await;
    for path in [
        "/",
        "/cart",
        "/login",
        "/register",
        "/devices",
        "/admin/login",
        "/admin",
        "/404",
    ] {
        let page = boss.get(path).await.text;
        let forms = page.matches("method=\"post\"").count();
        let tokens: Vec<_> = page.split("name=\"csrf_token\" value=\"").skip(1).collect();
        assert!(forms > 0 && tokens.len() == forms, "{path}: {page}");
        let (token, _) = tokens[0].split_once('"').expect("a value");
        for action in ["/cart/add", "/admin/stock"] {
            let without = boss.form(action, "product=2&stock=9");
            assert_eq!(boss.send(without).await.status, Status::Forbidden, "{path}");
            let form = format!("csrf_token={token}&product=2&stock=9");
            let with = boss.form(action, &form);
            assert_eq!(boss.send(with).await.status, Status::SeeOther, "{path}");
        }
    }
}

#[rocket::async_test]
async fn every_response_is_strict_and_no_page_needs_an_exception() {
    let shop = Shop::open().await;
    let (mut ann, _) = shop.member("ann").await;
    for path in [
        "/",
        "/cart",
        "/devices",
        "/login",
        "/404",
        "/shop.css",
        "/shop.js",
        "/pottery.svg",
    ] {
        let response = shop.client.get(path).dispatch().await;
        let policy = response.headers().get_one("Content-Security-Policy");
        assert!(
            policy.is_some_and(|policy| policy.starts_with("default-src 'none'")),
            "{path}"
        );
        let page = ann.get(path).await.text;
        for inline in [
            "<style", "style=", "<script>", "onclick=", "http://", "https://",
        ] {
            let page = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!page.contains(inline), "{path}: {inline}");
        }
    }
}

#[rocket::async_test]
async fn what_somebody_typed_is_escaped() {
    let shop = Shop::open().await;
    let mut browser = shop.browser();
    let form = "name=%3Cb%3E%22&password=x&next=%22%3E";
    let page = browser.post("/login", form).await.text;
    assert!(page.contains("&lt;b&gt;&quot;"), "{page}");
    assert!(
        !page.contains("<b>") && page.contains("name=\"next\" value=\"&#x2f;\""),
        "{page}"
    );
}

#[rocket::async_test]
async fn a_page_for_an_error_knows_who_is_logged_in() {
    let shop = Shop::open().await;
    let (mut ann, _) = shop.member("ann").await;
    let answer = ann.get("/nowhere").await;
    assert_eq!(answer.status, Status::NotFound);
    assert!(answer.text.contains(">ann</a>"), "{}", answer.text);
}

#[rocket::async_test]
async fn an_outage_is_said_and_logs_nobody_out() {
    let shop = Shop::open().await;
    let (mut ann, _) = shop.member("ann").await;
    shop.kit.break_store();
    for path in ["/", "/cart", "/devices"] {
        let answer = ann.get(path).await;
        assert_eq!(answer.status, Status::ServiceUnavailable, "{path}");
        assert!(
            answer.text.contains("We cannot reach our notes"),
            "{}",
            answer.text
        );
    }
    assert_eq!(ann.get("/shop.css").await.status, Status::Ok);
    shop.kit.mend_store();
    assert!(ann.get("/").await.text.contains(">ann</a>"));
}

#[rocket::async_test]
async fn looking_around_stores_nothing() {
    let shop = Shop::open().await;
    let mut browser = shop.browser();
    for path in [
        "/",
        "/cart",
        "/login",
        "/register",
        "/devices",
        "/admin",
        "/404",
    ] {
        browser.get(path).await;
    }
    assert!(browser.jar.is_empty());
}

/// Sessions outlive a deploy: this fails when their stored form changes.
#[test]
fn what_is_stored_is_what_it_was() {
    let visit = Visit {
        user: Some("1".into()),
        name: "ann".into(),
        cart: BTreeMap::from([(1, 1)]),
        notice: Some("Welcome".into()),
    };
    assert_layout::<Visit>(
        &[visit],
        "user: Option<String> = null | string, identity
         name: String = string
         cart: BTreeMap<u32,u32> = {number}, entries
         notice: Option<String> = null | string, once",
    );
    let admin = AdminVisit {
        admin: Some("1".into()),
    };
    assert_layout::<AdminVisit>(&[admin], "admin: Option<String> = null | string, identity");
}
