use std::error::Error as StdError;

use rocket::figment::Figment;
use rocket::{Build, Ignite, Rocket};
use rocket_typed_session::store::{RedisStore, configured_redis};
use rocket_typed_session::{Error, Identified, Sessions, UserSession, session};

/// In your program, import your application's types instead: they define what ends a session, and its user.
/// These belong to two examples, which have no library.
#[session]
pub(crate) struct Visit {
    #[session(identity)]
    user: Option<String>,
}

#[session(parent = Visit, cookie = "admin", path = "/admin")]
pub(crate) struct AdminVisit {
    #[session(identity)]
    admin: Option<String>,
}

pub(crate) fn types(figment: &Figment) -> Result<Vec<Type>, Box<dyn StdError>> {
    Ok(vec![
        Type::of::<Visit>(figment)?,
        Type::of::<AdminVisit>(figment)?,
    ])
}

/// Its state finds the sessions of a user.
pub(crate) fn application(figment: &Figment) -> Rocket<Build> {
    rocket::custom(figment)
        .attach(Visit::fairing())
        .attach(AdminVisit::fairing())
}

pub(crate) struct Type {
    pub(crate) name: &'static str,
    pub(crate) store: RedisStore,
    pub(crate) users: fn(&Rocket<Ignite>) -> Option<&dyn Users>,
}

impl Type {
    fn of<T>(figment: &Figment) -> Result<Self, Error>
    where
        T: Identified<Identity = Option<String>>,
    {
        Ok(Self {
            name: T::SCHEMA.name(),
            store: configured_redis::<T>(figment)?,
            users: |rocket| Some(rocket.state::<Sessions<T>>()?),
        })
    }
}

/// The sessions of users, whatever their type.
#[rocket::async_trait]
pub(crate) trait Users: Sync {
    async fn list(&self, user: &str) -> Result<Vec<UserSession>, Error>;

    async fn end(&self, user: &str) -> Result<usize, Error>;
}

/// For identities that are strings. Parse any other identity here.
#[rocket::async_trait]
impl<T> Users for Sessions<T>
where
    T: Identified<Identity = Option<String>>,
{
    async fn list(&self, user: &str) -> Result<Vec<UserSession>, Error> {
        self.of(user.to_owned()).list().await
    }

    async fn end(&self, user: &str) -> Result<usize, Error> {
        self.of(user.to_owned()).end_all().await
    }
}
