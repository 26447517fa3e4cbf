//! TLS with a private CA and client certificates, and Unix sockets.

use super::*;
use crate::support::redis::RedisServer;
use crate::support::tls::Certificates;

fn tls(certificates: &Certificates) -> [(&'static str, Value); 3] {
    let text = |path: std::path::PathBuf| Value::Text(path.to_str().unwrap().into());
    [
        ("tls.ca", text(certificates.ca())),
        ("tls.cert", text(certificates.client())),
        ("tls.key", text(certificates.client_key())),
    ]
}

#[tokio::test]
async fn both_sides_show_their_certificates() {
    let certificates = Certificates::new();
    let redis = RedisServer::start_tls(&certificates, true);
    let [ca, cert, key] = tls(&certificates);
    let url = ("url", Value::Text(redis.tls_url()));
    for near in [None, Some("1s")] {
        let mut rocket = rocket([url.clone(), ca.clone(), cert.clone(), key.clone()]);
        if let Some(near) = near {
            rocket = with(rocket, "near", near);
        }
        let server = launch(rocket).await;
        let mut browser = server.browser();
        assert_eq!(view(&mut browser).await, (200, "1".into()));
        assert_eq!(browser.get("/result").await.text(), "views=1");
    }
    // Without the client certificate.
    let server = launch(rocket([url.clone(), ca])).await;
    assert_eq!(view(&mut server.browser()).await.0, 503);
    // With an unknown or another CA.
    let server = launch(rocket([url.clone(), cert.clone(), key.clone()])).await;
    assert_eq!(view(&mut server.browser()).await.0, 503);
    let stranger = Certificates::new();
    let [other, _, _] = tls(&stranger);
    let server = launch(rocket([url, other, cert, key])).await;
    assert_eq!(view(&mut server.browser()).await.0, 503);
}

#[tokio::test]
async fn clusters_and_sentinels_speak_tls_too() {
    let certificates = Certificates::new();
    let [ca, cert, key] = tls(&certificates);
    let cluster = crate::support::cluster::Cluster::start_tls(&certificates, true);
    let urls = ("urls", Value::Texts(cluster.tls_urls()));
    let server = launch(rocket([urls, ca.clone(), cert.clone(), key.clone()])).await;
    for browser in &mut super::cluster::one_on_each(&server, &cluster).await {
        assert_eq!(view(browser).await, (200, "2".into()));
    }
    let sentinels = crate::support::sentinel::Sentinels::start_tls(&certificates, true);
    let master = (
        "sentinel.master",
        Value::Text(crate::support::sentinel::MASTER.into()),
    );
    let urls = ("sentinel.urls", Value::Texts(sentinels.tls_urls()));
    let server = launch(rocket([master, urls, ca, cert, key])).await;
    assert_eq!(view(&mut server.browser()).await, (200, "1".into()));
}

#[tokio::test]
async fn a_unix_socket_will_do() {
    let redis = RedisServer::start();
    let url = format!("redis+unix://{}", redis.socket_path().display());
    let server = launch(rocket([("url", Value::Text(url))])).await;
    assert_eq!(view(&mut server.browser()).await, (200, "1".into()));
    assert_eq!(redis.keys().len(), 1);
}
