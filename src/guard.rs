use std::sync::Arc;

use rocket::http::Status;
use rocket::request::{FromRequest, Outcome};
use rocket::{Ignite, Request, Rocket, Sentinel};
use session_core::error::Error as EngineError;
use session_core::request::RequestSession;
use session_core::schema::SessionData;
use tracing::error;

use crate::csrf;
use crate::error::{Error, report};
use crate::managed::Managed;
use crate::session::Session;

pub(crate) mod declared;

#[rocket::async_trait]
impl<'r, T: SessionData> FromRequest<'r> for Session<T> {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Error> {
        open(request, Self::new).await
    }
}

pub(crate) async fn open<T: SessionData, G>(
    request: &Request<'_>,
    guard: impl FnOnce(Arc<RequestSession<T>>) -> Result<G, EngineError>,
) -> Outcome<G, Error> {
    let Some(managed) = request.rocket().state::<Managed<T>>() else {
        log_missing_fairing::<T>();
        let error = EngineError::usage("the session's fairing is not attached");
        return Outcome::Error((Status::InternalServerError, error.into()));
    };
    // Before the session is handed out, so this also protects what `Error::destroy` can end.
    if let Err(error) = csrf::check(request, managed).await {
        let event = error.event().filter(|_| error.is_csrf());
        let (is_first, outcome) = refuse::<T, G>(request, error.into());
        if let Some((kind, reason)) = event.filter(|_| is_first) {
            managed.engine.notify(kind, reason, None);
        }
        return outcome;
    }
    let session = managed.session(request);
    let opened = managed.open(request, &session).await;
    match opened.and_then(|()| guard(Arc::clone(&session))) {
        Ok(guard) => Outcome::Success(guard),
        Err(error) => refuse::<T, G>(request, Error::of_guard(error, session)).1,
    }
}

/// The outcome, and whether it is the request's first failure.
fn refuse<T: SessionData, G>(request: &Request<'_>, error: Error) -> (bool, Outcome<G, Error>) {
    let what = format!("session type {}", T::SCHEMA.name());
    let is_first = report(request, &what, &error);
    (is_first, Outcome::Error((error.status(), error)))
}

impl<T: SessionData> Sentinel for Session<T> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        let missing = rocket.state::<Managed<T>>().is_none();
        if missing {
            log_missing_fairing::<T>();
        }
        missing
    }
}

fn log_missing_fairing<T>() {
    let name = type_name::<T>();
    error!(
        "`Session<{name}>` is used but its fairing is not attached: \
         add `.attach({name}::fairing())` to the rocket"
    );
}

pub(crate) fn type_name<T>() -> &'static str {
    let path = std::any::type_name::<T>();
    path.rsplit("::").next().unwrap_or(path)
}
