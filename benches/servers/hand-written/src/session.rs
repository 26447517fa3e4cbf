//! A session is a hash in Redis; its key has a random id, which is the cookie's value.

use std::collections::HashMap;

use rand::Rng as _;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncCommands as _, Client, IntoConnectionInfo as _, RedisResult, Script};
use rocket::http::Status;
use rocket::request::{FromRequest, Outcome, Request};

pub(crate) const COOKIE: &str = "id";

const FIELDS: [&str; 7] = [
    "views",
    "user",
    "theme",
    "language",
    "region",
    "last_page",
    "greeting",
];
const LIFETIME_SECONDS: i64 = 1800;

/// The least that keeps a logout final: the session must exist when it is changed.
const COUNT: &str = "if redis.call('EXISTS', KEYS[1]) == 0 then return nil end
return redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[2])";
const SET: &str = "if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1";

/// The key of the session that the request's cookie names. Without one: 401.
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

/// One connection for all requests, and the two scripts.
pub(crate) struct Sessions {
    connection: MultiplexedConnection,
    count: Script,
    set: Script,
}

impl Sessions {
    pub(crate) async fn connect(url: &str) -> RedisResult<Self> {
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = url.into_connection_info()?.set_tcp_settings(tcp);
        let connection = Client::open(info)?
            .get_multiplexed_async_connection()
            .await?;
        Ok(Self {
            connection,
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
        self.connection().hmget(&key.0, &FIELDS).await
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
        let values = [
            "1",
            user,
            "dark",
            "en-GB",
            "europe-west",
            "/products/tea/green",
            "Welcome back to the shop",
        ];
        let pairs: Vec<(&str, &str)> = FIELDS.into_iter().zip(values).collect();
        redis::pipe()
            .hset_multiple(&key.0, &pairs)
            .ignore()
            .expire(&key.0, LIFETIME_SECONDS)
            .ignore()
            .query_async(&mut self.connection())
            .await
    }
}
