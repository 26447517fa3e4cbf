use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rocket::fairing::AdHoc;
use rocket::{Build, Rocket, Shutdown};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::process::PATIENCE;

#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).await.unwrap();
    }

    pub(crate) async fn send(&mut self, request: &Request) -> Response {
        self.send_raw(&request.bytes()).await;
        self.receive(request.method == "HEAD").await
    }

    pub(crate) async fn receive(&mut self, to_head: bool) -> Response {
        let response = timeout(PATIENCE, self.read_response(to_head));
        response.await.expect("no response in time").unwrap()
    }

    /// `None`: the connection closed before there was a whole response.
    pub(crate) async fn try_send(&mut self, request: &Request) -> Option<Response> {
        let sent = self.stream.get_mut().write_all(&request.bytes()).await;
        sent.ok()?;
        let response = timeout(PATIENCE, self.read_response(request.method == "HEAD"));
        response.await.expect("no response in time").ok()
    }

    async fn read_response(&mut self, to_head: bool) -> io::Result<Response> {
        let status_line = self.read_line().await?;
        let status = status_line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let mut headers = Vec::new();
        loop {
            let line = self.read_line().await?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut response = Response {
            status: status.ok_or_else(|| malformed(&status_line))?,
            headers,
            body: Vec::new(),
        };
        if to_head || matches!(response.status, 100..=199 | 204 | 304) {
            return Ok(response);
        }
        response.body = if let Some(length) = response.header("content-length") {
            let length = length.parse().map_err(|_| malformed(length))?;
            self.read_exactly(length).await?
        } else if response.header("transfer-encoding") == Some("chunked") {
            self.read_chunks().await?
        } else {
            let mut body = Vec::new();
            self.stream.read_to_end(&mut body).await?;
            body
        };
        Ok(response)
    }

    async fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.read_line().await?;
            let length = usize::from_str_radix(&line, 16).map_err(|_| malformed(&line))?;
            body.extend(self.read_exactly(length).await?);
            self.read_line().await?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    async fn read_exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).await?;
        Ok(bytes)
    }

    /// Without the line end. Bytes that are not UTF-8 are replaced.
    async fn read_line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).await?;
        let line = line.strip_suffix(b"\r\n");
        let line = line.ok_or_else(|| malformed("the connection was closed"))?;
        Ok(String::from_utf8_lossy(line).into_owned())
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: &'static str,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &'static str, path: &str) -> Self {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n");
        Self {
            method,
            head: head.into_bytes(),
            body: Vec::new(),
        }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// With the fields of a form, percent-encoded.
    pub(crate) fn post(path: &str, form: &[(&str, &str)]) -> Self {
        let encode = |text: &str| {
            text.bytes().fold(String::new(), |mut encoded, byte| {
                let _ = write!(encoded, "%{byte:02X}");
                encoded
            })
        };
        let fields = form
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        let body = fields.collect::<Vec<_>>().join("&");
        let request = Self::new("POST", path);
        let request = request.header("Content-Type", "application/x-www-form-urlencoded");
        Self {
            body: body.into_bytes(),
            ..request
        }
    }

    /// The value can be any bytes.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.head.extend(name.as_bytes());
        self.head.extend(b": ");
        self.head.extend(value.as_ref());
        self.head.extend(b"\r\n");
        self
    }

    pub(crate) fn cookies(self, jar: &Jar) -> Self {
        match jar.header() {
            Some(cookies) => self.header("Cookie", cookies),
            None => self,
        }
    }

    pub(crate) fn body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let request = self.header("Content-Type", content_type);
        Self { body, ..request }
    }

    fn bytes(&self) -> Vec<u8> {
        let length = format!("Content-Length: {}\r\n\r\n", self.body.len());
        [&self.head, length.as_bytes(), &self.body].concat()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let headers = self.headers.iter();
        let named = headers.filter(move |(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| &**value)
    }

    pub(crate) fn set_cookies(&self) -> Vec<&str> {
        self.all("set-cookie").collect()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The cookies of one browser, by name. Ignores domains, paths and all lifetimes but `Max-Age=0`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Jar {
    cookies: BTreeMap<String, String>,
}

impl Jar {
    pub(crate) fn keep(&mut self, response: &Response) {
        for line in response.set_cookies() {
            let mut parts = line.split(';').map(str::trim);
            let pair = parts.next().and_then(|pair| pair.split_once('='));
            let (name, value) = pair.unwrap_or_else(|| panic!("no cookie: {line}"));
            if parts.any(|part| part.eq_ignore_ascii_case("Max-Age=0")) {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.into(), value.into());
            }
        }
    }

    /// The value of a `Cookie` header.
    pub(crate) fn header(&self) -> Option<String> {
        let pairs = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let pairs: Vec<String> = pairs.collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &str> {
        self.cookies.values().map(String::as_str)
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.into(), value.into());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.cookies.is_empty()
    }
}

/// A jar and a server's address. Each request has its own connection: only cookies connect requests.
#[derive(Clone, Debug)]
pub(crate) struct Browser {
    address: SocketAddr,
    pub(crate) jar: Jar,
    /// The `Sec-Fetch-Site` header of all its requests.
    site: Option<&'static str>,
}

impl Browser {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let (jar, site) = (Jar::default(), None);
        Self { address, jar, site }
    }

    pub(crate) fn on_site(self, site: &'static str) -> Self {
        let site = Some(site);
        Self { site, ..self }
    }

    /// Goes to another server and keeps the cookies, as browsers do among the ports of a host.
    pub(crate) fn go_to(&mut self, address: SocketAddr) {
        self.address = address;
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn get(&mut self, path: &str) -> Response {
        self.send(Request::get(path)).await
    }

    pub(crate) async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Response {
        self.send(Request::post(path, form)).await
    }

    /// Sends the request with the cookies, and keeps those of the response. Follows no redirects.
    pub(crate) async fn send(&mut self, mut request: Request) -> Response {
        if let Some(site) = self.site {
            request = request.header("Sec-Fetch-Site", site);
        }
        let mut connection = Connection::open(self.address).await.unwrap();
        let response = connection.send(&request.cookies(&self.jar)).await;
        self.jar.keep(&response);
        response
    }
}

/// An application on a free port of 127.0.0.1, in the test's runtime. Dropping this ends it;
/// [`stop`](Self::stop) also waits for the end.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
    task: JoinHandle<Result<(), rocket::Error>>,
}

impl Server {
    /// Starts an application and waits until it listens. Overrides only the address, the port, and what
    /// delays its shutdown.
    pub(crate) async fn launch(rocket: Rocket<Build>) -> Self {
        let figment = rocket
            .figment()
            .clone()
            .merge(("address", Ipv4Addr::LOCALHOST))
            .merge(("port", 0))
            .merge(("shutdown.ctrlc", false))
            .merge(("shutdown.signals", Vec::<String>::new()))
            .merge(("shutdown.grace", 1))
            .merge(("shutdown.mercy", 0));
        let (sender, listens) = oneshot::channel();
        let liftoff = AdHoc::on_liftoff("Test", |rocket| {
            Box::pin(async {
                let config = rocket.config();
                let address = SocketAddr::new(config.address, config.port);
                let _ = sender.send((address, rocket.shutdown()));
            })
        });
        let rocket = rocket.configure(figment).attach(liftoff);
        let task = tokio::spawn(async { rocket.launch().await.map(drop) });
        match timeout(PATIENCE, listens)
            .await
            .expect("no liftoff in time")
        {
            Ok((address, shutdown)) => Self {
                address,
                shutdown,
                task,
            },
            Err(_) => panic!("the launch failed: {:?}", task.await),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.address)
    }

    pub(crate) async fn stop(mut self) {
        self.shutdown.clone().notify();
        timeout(PATIENCE, &mut self.task)
            .await
            .expect("no end in time")
            .unwrap()
            .unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.clone().notify();
    }
}

#[rocket::get("/cookies")]
fn cookies(jar: &rocket::http::CookieJar<'_>) -> String {
    let mut pairs: Vec<String> = jar.iter().map(ToString::to_string).collect();
    pairs.sort();
    pairs.join(" ")
}

#[rocket::get("/set")]
fn set(jar: &rocket::http::CookieJar<'_>) {
    jar.add(("one", "1"));
    jar.add(("two", "2"));
}

#[rocket::get("/remove")]
fn remove(jar: &rocket::http::CookieJar<'_>) {
    jar.remove("one");
}

#[rocket::get("/stream")]
fn stream() -> rocket::response::stream::TextStream![&'static str] {
    rocket::response::stream::TextStream! {
        yield "many ";
        yield "chunks";
    }
}

#[rocket::post("/echo", data = "<form>")]
fn echo(form: rocket::form::Form<BTreeMap<String, String>>) -> String {
    format!("{:?}", form.into_inner())
}

async fn launch() -> Server {
    let config = rocket::Config::figment().merge(("log_level", "off"));
    let routes = rocket::routes![cookies, set, remove, stream, echo];
    Server::launch(rocket::custom(config).mount("/", routes)).await
}

#[tokio::test]
async fn a_jar_keeps_sends_and_removes_cookies() {
    let server = launch().await;
    let mut browser = server.browser();
    assert_eq!(browser.get("/set").await.set_cookies().len(), 2);
    assert_eq!(browser.get("/cookies").await.text(), "one=1 two=2");
    browser.get("/remove").await;
    assert_eq!(browser.get("/cookies").await.text(), "two=2");
    assert_eq!(browser.jar.get("two"), Some("2"));
    assert!(server.browser().get("/cookies").await.text().is_empty());
    server.stop().await;
}

#[tokio::test]
async fn one_connection_serves_many_requests_with_any_body() {
    let server = launch().await;
    let mut connection = Connection::open(server.address()).await.unwrap();
    let response = connection.send(&Request::get("/stream")).await;
    assert_eq!(response.header("Transfer-Encoding"), Some("chunked"));
    assert_eq!(response.text(), "many chunks");
    let form = Request::post("/echo", &[("näme", "a&b=c %+\r\n")]);
    let response = connection.send(&form).await;
    assert_eq!(response.text(), r#"{"näme": "a&b=c %+\r\n"}"#);
    let response = connection.send(&Request::new("HEAD", "/cookies")).await;
    assert_eq!((response.status, response.body.len()), (200, 0));
    let response = connection.send(&Request::get("/nowhere")).await;
    assert_eq!(response.status, 404);
    connection
        .send_raw(b"GET /cookies HTTP/1.0\r\nCookie: a=\"b\"\r\n\r\n")
        .await;
    assert_eq!(connection.receive(false).await.text(), "a=\"b\"");
    server.stop().await;
}

#[tokio::test]
async fn a_header_carries_any_bytes() {
    let server = launch().await;
    let mut connection = Connection::open(server.address()).await.unwrap();
    let good = Request::get("/cookies").header("Cookie", "a=b");
    assert_eq!(connection.send(&good).await.text(), "a=b");
    let bad = Request::get("/cookies").header("Cookie", b"a=b; c=\xff");
    assert_eq!(connection.send(&bad).await.text(), "");
    server.stop().await;
}

#[tokio::test]
async fn a_server_ends_with_its_handle() {
    let server = launch().await;
    let address = server.address();
    drop(server);
    let end = async {
        while Connection::open(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, end).await.expect("it still listens");
}
