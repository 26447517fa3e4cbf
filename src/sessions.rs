use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rocket::request::{FromRequest, Outcome};
use rocket::{Ignite, Request, Rocket, Sentinel};
use serde::Serialize;
use session_core::engine::Engine;
use session_core::engine::users::Found;
use session_core::error::Error as EngineError;
use session_core::request::RequestSession;
use session_core::schema::{Identified, SessionData};
use session_core::token::SessionId;
use session_core::users::{UserKey, Whom};
use session_core::value::IdentityValue;

use crate::error::Error;
use crate::guard;
use crate::session::{Session, date_time};

/// The sessions of all users of the type `T`: a request guard.
///
/// [`of`](Self::of) selects a user, to list, count and end their sessions.
///
/// ```rust
/// use rocket::{get, post, response::Redirect, serde::json::Json};
/// use rocket_typed_session::{Error, SessionId, Sessions, UserSession, session};
///
/// #[session(devices)]
/// struct Visit {
///     #[session(identity, guard = Member)]
///     user: Option<String>,
/// }
///
/// #[get("/devices")]
/// async fn devices(
///     member: Member,
///     sessions: Sessions<Visit>,
/// ) -> Result<Json<Vec<UserSession>>, Error> {
///     Ok(Json(sessions.of(member.clone()).list().await?))
/// }
///
/// #[post("/devices/<id>/end")]
/// async fn end(id: SessionId, member: Member, sessions: Sessions<Visit>) -> Result<Redirect, Error> {
///     sessions.of(member.clone()).end(id).await?;
///     Ok(Redirect::to("/devices"))
/// }
///
/// #[post("/log-out-everywhere")]
/// async fn everywhere(member: Member, sessions: Sessions<Visit>) -> Result<Redirect, Error> {
///     sessions.of(member.clone()).end_all().await?;
///     Ok(Redirect::to("/"))
/// }
/// ```
///
/// # What it promises
///
/// After [`end_all`](UserSessions::end_all) has returned, the user's logins that began before the call open
/// no session, not even one whose password was being checked meanwhile. Logins that begin later stay.
///
/// A user is the value of the identity: values that serde writes alike are one user. The order of an object's
/// members does not matter; that of a list's items does, so a set must be a `BTreeSet`.
pub struct Sessions<T: SessionData> {
    engine: Arc<Engine<T>>,
    request: Option<Arc<RequestSession<T>>>,
}

impl<T: Identified> Sessions<T> {
    /// The sessions of this user.
    pub fn of(&self, user: <T::Identity as IdentityValue>::User) -> UserSessions<'_, T> {
        let mut data = T::SCHEMA.defaults();
        *data.identity() = T::Identity::somebody(user);
        UserSessions {
            sessions: self,
            user: T::SCHEMA.user_in(&data),
        }
    }
}

impl<T: SessionData> Sessions<T> {
    pub(crate) fn new(engine: Arc<Engine<T>>) -> Self {
        Self {
            engine,
            request: None,
        }
    }
}

/// The sessions of one user, from [`Sessions::of`].
#[must_use = "it does nothing by itself"]
pub struct UserSessions<'s, T: SessionData> {
    sessions: &'s Sessions<T>,
    /// `None` if this user cannot be written as JSON.
    user: Option<UserKey>,
}

/// A session of a user, in a list. Templates and JSON get its fields by name, and times in RFC 3339.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct UserSession {
    /// Its public handle: it opens nothing.
    pub id: SessionId,
    /// With the option `devices`, the browser's `User-Agent` at the login, or the text from
    /// [`Session::set_label`](crate::Session::set_label); otherwise empty. A visitor may have chosen it:
    /// escape it.
    pub label: String,
    /// When the session was created.
    pub created_at: DateTime<Utc>,
    /// When the user logged in, to the second.
    pub authenticated_at: DateTime<Utc>,
    /// When it was last used, to within `touch`.
    pub last_seen_at: DateTime<Utc>,
    /// When it ends if nobody uses it.
    pub expires_at: DateTime<Utc>,
    /// Whether it is the session of the request that asks.
    pub is_current: bool,
}

impl<T: SessionData> UserSessions<'_, T> {
    /// All living sessions, last used first. It loads each from the store.
    ///
    /// # Errors
    ///
    /// If the store fails, or does not know which sessions a user has.
    pub async fn list(&self) -> Result<Vec<UserSession>, Error> {
        let engine = &self.sessions.engine;
        let found = engine.sessions_of(self.user()?).await?;
        let current = self.current();
        let list = found.into_iter().map(|found| {
            let Found {
                id,
                metadata,
                label,
                ..
            } = found;
            UserSession {
                id,
                label,
                created_at: date_time(metadata.created_at),
                authenticated_at: date_time(metadata.authenticated_at.unwrap_or_default()),
                last_seen_at: date_time(metadata.touched_at),
                expires_at: date_time(engine.lifetime().expires_at(&metadata)),
                is_current: current == Some(id),
            }
        });
        Ok(list.collect())
    }

    /// How many living sessions there are.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn count(&self) -> Result<usize, Error> {
        let engine = &self.sessions.engine;
        Ok(engine.sessions_of(self.user()?).await?.len())
    }

    /// Ends one session; `false` if it does not belong to this user.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list). The session may or may not have ended then.
    pub async fn end(&self, id: SessionId) -> Result<bool, Error> {
        let (ended, _) = self.end_some(Whom::One(id)).await?;
        Ok(ended != 0)
    }

    /// Ends all sessions, and every login that is under way. Returns how many sessions it ended.
    ///
    /// If this request logs the same user in afterwards, as after a change of password, that login stays.
    /// This needs the request's guard, not the managed state.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list). Some sessions may have ended then; call it again.
    #[doc(alias = "log_out_everywhere")]
    pub async fn end_all(&self) -> Result<usize, Error> {
        self.end_with_logins(Whom::All).await
    }

    /// Like [`end_all`](Self::end_all), but keeps the session of this request. If there is none, as in the
    /// managed state, it ends all.
    ///
    /// # Errors
    ///
    /// As [`end_all`](Self::end_all).
    pub async fn end_others(&self) -> Result<usize, Error> {
        let whom = self.current().map_or(Whom::All, Whom::AllBut);
        self.end_with_logins(whom).await
    }

    async fn end_with_logins(&self, whom: Whom) -> Result<usize, Error> {
        let (ended, at) = self.end_some(whom).await?;
        if let (Some(request), Some(user)) = (&self.sessions.request, self.user) {
            request.has_ended_all(user, at);
        }
        Ok(ended)
    }

    async fn end_some(
        &self,
        whom: Whom,
    ) -> Result<(usize, session_core::users::Mark), EngineError> {
        let engine = &self.sessions.engine;
        engine.end_sessions(self.user()?, whom).await
    }

    fn current(&self) -> Option<SessionId> {
        self.sessions
            .request
            .as_ref()
            .and_then(|request| request.id())
    }

    fn user(&self) -> Result<UserKey, EngineError> {
        self.user
            .ok_or_else(|| EngineError::usage("this user cannot be written as JSON"))
    }
}

/// A guard that fails like [`Session`](crate::Session).
#[rocket::async_trait]
impl<'r, T: SessionData> FromRequest<'r> for Sessions<T> {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Error> {
        guard::open(request, |session| {
            Ok(Self {
                engine: session.shared_engine(),
                request: Some(session),
            })
        })
        .await
    }
}

impl<T: SessionData> Sentinel for Sessions<T> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        <Session<T> as Sentinel>::abort(rocket)
    }
}

impl<T: SessionData> fmt::Debug for Sessions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("name", &T::SCHEMA.name())
            .finish_non_exhaustive()
    }
}

impl<T: SessionData> fmt::Debug for UserSessions<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserSessions")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}
