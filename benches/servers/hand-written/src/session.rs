//! A session is a Redis hash. Its key has a random id, the cookie's value.

use std::collections::HashMap;

use rand::Rng as _;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncCommands as _, Client, IntoConnectionInfo as _, RedisResult, Script};
use rocket::http::Status;
use rocket::request::{FromRequest, Outcome, Request};

pub(crate) const COOKIE: &str = "id";

const FIELDS: [(&str, &str); 7] = [
    ("views", "1"),
    ("user", ""),
    ("theme", "dark"),
    ("last_page", "/products/tea/green"),
    ("language", "en-GB"),
    ("region", "europe-west"),
    ("greeting", "Welcome back to the shop"),
];
/// The value of each further field and entry.
const VALUE: &str = "sixteen letters.";
const LIFETIME_SECONDS: i64 = 1800;

/// Keeps a logout final: a change needs an existing session.
const COUNT: &str = "if redis.call('EXISTS', KEYS[1]) == 0 then return nil end
return redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[2])";
const SET: &str = "if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1";

/// The key of the request's session. Without a cookie: 401.
pub(crate) struct SessionKey(pub(crate) String);

impl SessionKey {
    pub(crate) fn random() -> (String, Self) {
        let id = format!("{:032x}", rand::rng().random::<u128>());
        let key = Self(format!("session:{id}"));
        (id, key)
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for SessionKey {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        match request.cookies().get(COOKIE) {
            Some(cookie) => Outcome::Success(Self(format!("session:{}", cookie.value()))),
            None => Outcome::Error((Status::Unauthorized, ())),
        }
    }
}

pub(crate) struct Sessions {
    connection: MultiplexedConnection,
    fields: Vec<String>,
    entries: usize,
    count: Script,
    set: Script,
}

impl Sessions {
    /// `FIELDS` and `ENTRIES` in the environment set the session's size.
    pub(crate) async fn connect(url: &str) -> RedisResult<Self> {
        let number = |name| std::env::var(name).ok()?.parse().ok();
        let further = (FIELDS.len() + 1..).map(|index| format!("field_{index:02}"));
        let fields = FIELDS.map(|(name, _)| name.into()).into_iter();
        let fields = fields.chain(further);
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = url.into_connection_info()?.set_tcp_settings(tcp);
        let connection = Client::open(info)?
            .get_multiplexed_async_connection()
            .await?;
        Ok(Self {
            connection,
            fields: fields
                .take(number("FIELDS").unwrap_or(FIELDS.len()))
                .collect(),
            entries: number("ENTRIES").unwrap_or(0),
            count: Script::new(COUNT),
            set: Script::new(SET),
        })
    }

    pub(crate) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    pub(crate) async fn all(&self, key: &SessionKey) -> RedisResult<HashMap<String, String>> {
        self.connection().hgetall(&key.0).await
    }

    pub(crate) async fn some(&self, key: &SessionKey) -> RedisResult<Vec<Option<String>>> {
        self.connection().hmget(&key.0, &self.fields).await
    }

    /// `None`: the session is gone.
    pub(crate) async fn count(&self, key: &SessionKey) -> RedisResult<Option<i64>> {
        let mut call = self.count.key(&key.0);
        call.arg("views")
            .arg(1)
            .invoke_async(&mut self.connection())
            .await
    }

    /// `false`: the session is gone.
    pub(crate) async fn set(&self, key: &SessionKey, name: &str, to: &str) -> RedisResult<bool> {
        let mut call = self.set.key(&key.0);
        call.arg(name)
            .arg(to)
            .invoke_async(&mut self.connection())
            .await
    }

    pub(crate) async fn begin(&self, key: &SessionKey, user: &str) -> RedisResult<()> {
        let values = FIELDS.map(|(_, value)| value).into_iter();
        let values = values.chain(std::iter::repeat(VALUE));
        let fields = self.fields.iter().cloned().zip(values);
        let entries = (0..self.entries).map(|item| (format!("cart:item-{item}"), VALUE));
        let mut pairs: Vec<(String, &str)> = fields.chain(entries).collect();
        pairs[1].1 = user;
        redis::pipe()
            .hset_multiple(&key.0, &pairs)
            .ignore()
            .expire(&key.0, LIFETIME_SECONDS)
            .ignore()
            .query_async(&mut self.connection())
            .await
    }
}
