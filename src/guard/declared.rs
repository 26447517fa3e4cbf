use std::time::Duration;

use rocket::Request;
use rocket::http::uri::Origin;
use rocket::http::{Method, RawStr, Status};
use rocket::request::Outcome;
use session_core::schema::SessionData;

use crate::error::Error;
use crate::managed::redirect_to;
use crate::session::Session;

/// A request guard that `#[session]` generates.
pub trait DeclaredGuard: Sized + Send {
    /// The session type that declares it.
    type Data: SessionData;

    /// How it decides, apart from its predicate.
    const RULE: Rule;

    /// Whether its predicate admits the request, or the status to answer with.
    fn admits(
        data: &Self::Data,
        request: &Request<'_>,
    ) -> impl Future<Output = Result<bool, Status>> + Send {
        let _ = (data, request);
        async { Ok(true) }
    }

    /// `None` if there is no user, and it needs one.
    fn holding(session: Session<Self::Data>) -> Option<Self>;
}

/// How a declared guard decides, apart from its predicate.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "generated code names each field")]
pub struct Rule {
    /// How it turns a request away.
    pub denial: Denial,
    /// How long ago the login may be.
    pub within: Option<Duration>,
}

impl Rule {
    /// Forwards the requests that it turns away.
    pub const FORWARD: Self = Self {
        denial: Denial::Forward,
        within: None,
    };
}

/// How a declared guard turns a request away.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "generated code names each")]
pub enum Denial {
    /// To the next matching route.
    Forward,
    /// To the catcher for this status.
    Status(u16),
    /// To this path, with the page that the visitor wanted.
    Redirect(&'static str),
}

/// The body of `from_request`.
pub async fn admit<G: DeclaredGuard>(request: &Request<'_>) -> Outcome<G, Error> {
    let session = match request.guard::<Session<G::Data>>().await {
        Outcome::Success(session) => session,
        Outcome::Error(error) => return Outcome::Error(error),
        Outcome::Forward(status) => return Outcome::Forward(status),
    };
    let within = G::RULE.within;
    let is_recent = |within| session.is_anybody() && session.logged_in_within(within);
    if within.is_some_and(|within| !is_recent(within)) {
        return deny::<G>(request, Status::Unauthorized);
    }
    match G::admits(&session, request).await {
        Err(status) => return Outcome::Error((status, Error::denied(status))),
        Ok(false) => return deny::<G>(request, Status::Forbidden),
        Ok(true) => {}
    }
    match G::holding(session) {
        Some(guard) => Outcome::Success(guard),
        None => deny::<G>(request, Status::Unauthorized),
    }
}

/// `status` counts if nothing else is declared.
fn deny<G: DeclaredGuard>(request: &Request<'_>, status: Status) -> Outcome<G, Error> {
    match G::RULE.denial {
        Denial::Forward => Outcome::Forward(status),
        Denial::Status(code) => {
            let status = Status::new(code);
            Outcome::Error((status, Error::denied(status)))
        }
        Denial::Redirect(path) => {
            // A visitor cannot come back to a submitted form.
            let is_page = matches!(request.method(), Method::Get | Method::Head);
            let next = is_page.then(|| request.uri());
            redirect_to::<G::Data>(request, location(path, next));
            let status = Status::SeeOther;
            Outcome::Error((status, Error::denied(status)))
        }
    }
}

fn location(path: &str, next: Option<&Origin<'_>>) -> String {
    let Some(next) = next else {
        return path.to_owned();
    };
    let separator = if path.contains('?') { '&' } else { '?' };
    let next = next.to_string();
    let next = RawStr::new(&next).percent_encode();
    format!("{path}{separator}next={next}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_says_where_to_come_back() {
        let next = Origin::parse("/a%20b?x=1&y=%26").ok();
        assert_eq!(
            location("/login", next.as_ref()),
            "/login?next=%2Fa%2520b%3Fx%3D1%26y%3D%2526"
        );
        assert_eq!(
            location("/login?lang=en", next.as_ref()),
            "/login?lang=en&next=%2Fa%2520b%3Fx%3D1%26y%3D%2526"
        );
        assert_eq!(location("/login", None), "/login");
    }
}
