use std::panic::AssertUnwindSafe;

use rocket::catcher::Catcher;
use rocket::futures::FutureExt as _;
use rocket::http::Status;
use rocket::{Request, Response};
use tracing::error;

/// Calls the application's catcher when Rocket no longer does. If it fails or panics, that for 500 answers,
/// and at last Rocket's own.
pub(crate) async fn catch<'r>(request: &'r Request<'_>, status: Status) -> Response<'r> {
    for status in [status, Status::InternalServerError] {
        let Some(catcher) = catcher(request, status) else {
            break;
        };
        // A handler may panic before it returns its future.
        let response = AssertUnwindSafe(async { catcher.handler.handle(status, request).await });
        match response.catch_unwind().await {
            Ok(Ok(response)) => return response,
            Ok(Err(_)) | Err(_) => error!("The catcher for {status} failed."),
        }
    }
    let rockets_own = Catcher::default();
    let response = rockets_own.handler.handle(status, request).await;
    response.unwrap_or_else(|status| Response::build().status(status).finalize())
}

/// Rocket's own rule, which is private: the longer base wins, then the explicit status.
fn catcher<'r>(request: &'r Request<'_>, status: Status) -> Option<&'r Catcher> {
    let path = request.uri().path();
    let matching = request.rocket().catchers().filter(|catcher| {
        let segments = catcher.base.path().segments();
        catcher.code.is_none_or(|code| code == status.code) && segments.prefix_of(path.segments())
    });
    matching.max_by_key(|catcher| {
        let length = catcher.base.path().segments().len();
        (length, catcher.code.is_some())
    })
}
