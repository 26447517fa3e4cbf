use std::time::Duration;

use rocket::Config;
use rocket::fairing::AdHoc;
use rocket::futures::{SinkExt as _, StreamExt as _};
use rocket::http::Cookie;
use rocket::tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use rocket::tokio::net::TcpStream;
use rocket::tokio::sync::mpsc;
use rocket::tokio::{self, time::timeout};
use rocket_typed_session::testing::TestKit;
use rocket_ws::Message;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{PATIENCE, ann};
use crate::rocket;

struct Server {
    kit: TestKit,
    port: u16,
    cookie: Cookie<'static>,
    end: rocket::Shutdown,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Server {
    async fn launch() -> Self {
        let kit = TestKit::new();
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let seeding = kit.clone();
        let liftoff = AdHoc::on_liftoff("Tell the port", move |rocket| {
            Box::pin(async move {
                let cookie = seeding.seed(rocket, ann()).await;
                let _ = sender.send((rocket.config().port, cookie));
            })
        });
        let config = Config::figment().merge(("port", 0));
        let rocket = kit.install(rocket().configure(config).attach(liftoff));
        let rocket = rocket.ignite().await.expect("a rocket that ignites");
        let end = rocket.shutdown();
        tokio::spawn(rocket.launch());
        let (port, cookie) = receiver.recv().await.expect("a server");
        Self {
            kit,
            port,
            cookie,
            end,
        }
    }

    async fn connect(&self, origin: &str) -> Result<Socket, Error> {
        let mut request = format!("ws://127.0.0.1:{}/talk", self.port).into_client_request()?;
        let headers = request.headers_mut();
        let cookie = format!("id={}", self.cookie.value());
        headers.insert("Cookie", cookie.parse().expect("a header"));
        headers.insert("Origin", origin.parse().expect("a header"));
        Ok(connect_async(request).await?.0)
    }

    async fn connect_as_own_page(&self) -> Socket {
        let origin = format!("http://127.0.0.1:{}", self.port);
        let mut socket = self.connect(&origin).await.expect("a socket");
        let hello = Message::Text("hello".into());
        socket.send(hello).await.expect("an open socket");
        let heard = socket.next().await.expect("an answer").expect("an answer");
        assert_eq!(heard, Message::Text("Ann <b>: hello".into()));
        socket
    }

    async fn log_out(&self) {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await;
        let mut stream = stream.expect("a connection");
        let cookie = self.cookie.value();
        let request = format!(
            "POST /logout HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: id={cookie}\r\n\
             Sec-Fetch-Site: same-origin\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut response = String::new();
        stream.read_to_string(&mut response).await.expect("read");
        assert!(response.starts_with("HTTP/1.1 303"), "{response}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end.clone().notify();
    }
}

async fn is_closed(socket: &mut Socket) {
    let closed = async {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Close(Some(frame)) = message {
                return frame.reason.to_string();
            }
        }
        panic!("the socket ended without a word");
    };
    let reason = timeout(PATIENCE, closed).await.expect("a closed socket");
    assert_eq!(reason, "the session is over");
}

#[rocket::async_test]
async fn a_logout_in_another_tab_closes_a_socket() {
    let server = Server::launch().await;
    let mut socket = server.connect_as_own_page().await;
    server.log_out().await;
    is_closed(&mut socket).await;
    let origin = format!("http://127.0.0.1:{}", server.port);
    assert!(server.connect(&origin).await.is_err());
}

#[rocket::async_test]
async fn a_socket_keeps_nobody_logged_in_for_ever() {
    let server = Server::launch().await;
    let mut socket = server.connect_as_own_page().await;
    server.kit.advance(Duration::from_secs(29 * 60));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    server.kit.advance(Duration::from_secs(2 * 60));
    is_closed(&mut socket).await;
}

#[rocket::async_test]
async fn a_socket_outlives_an_outage() {
    let server = Server::launch().await;
    let mut socket = server.connect_as_own_page().await;
    server.kit.break_store();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    server.kit.mend_store();
    let hello = Message::Text("still here".into());
    socket.send(hello).await.expect("an open socket");
    let heard = socket.next().await.expect("an answer").expect("an answer");
    assert_eq!(heard, Message::Text("Ann <b>: still here".into()));
}

#[rocket::async_test]
async fn no_page_of_another_site_opens_a_socket() {
    let server = Server::launch().await;
    let refused = server.connect("https://evil.example").await;
    let Err(Error::Http(response)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(response.status().as_u16(), 403);
}
