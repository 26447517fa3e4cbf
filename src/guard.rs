//! `Session<T>` as a request guard.

use log::error;
use rocket::http::Status;
use rocket::request::{FromRequest, Outcome};
use rocket::{Ignite, Request, Rocket, Sentinel};
use session_core::error::Error as EngineError;
use session_core::schema::SessionData;

use crate::error::Error;
use crate::session::Session;
use crate::sessions::Sessions;

#[rocket::async_trait]
impl<'r, T: SessionData> FromRequest<'r> for Session<T> {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Error> {
        let Some(sessions) = request.rocket().state::<Sessions<T>>() else {
            log_missing_fairing::<T>();
            let error = EngineError::usage("the session's fairing is not attached");
            return Outcome::Error((Status::InternalServerError, error.into()));
        };
        let slot = sessions.slot(request);
        let opened = slot.open(|| sessions.tokens(request)).await;
        match opened.and_then(|()| Self::new(slot)) {
            Ok(session) => Outcome::Success(session),
            Err(error) => {
                error!("session type {}: {error}", T::SCHEMA.name());
                let error = Error::from(error);
                Outcome::Error((error.status(), error))
            }
        }
    }
}

/// Aborts the launch where a route takes a session whose fairing is not attached.
impl<T: SessionData> Sentinel for Session<T> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        let missing = rocket.state::<Sessions<T>>().is_none();
        if missing {
            log_missing_fairing::<T>();
        }
        missing
    }
}

fn log_missing_fairing<T>() {
    let path = std::any::type_name::<T>();
    let name = path.rsplit("::").next().unwrap_or(path);
    error!(
        "`Session<{name}>` is used but its fairing is not attached: \
         add `.attach({name}::fairing())` to the rocket"
    );
}
