use std::fmt;
use std::sync::Arc;

use rocket::request::{FromRequest, Outcome};
use rocket::{Ignite, Request, Rocket, Sentinel};
use session_core::request::{CsrfMask, RequestSession};
use session_core::schema::SessionData;
use tracing::error;

use crate::csrf::check::Csrf;
use crate::csrf::form::FIELD;
use crate::error::Error;
use crate::guard::{self, type_name};

/// A request guard for the token that proves that a page of this session sent a request.
///
/// [`CsrfFairing`](crate::CsrfFairing) requires it of clients that send neither `Sec-Fetch-Site` nor
/// `Origin`: scripts with a cookie jar, and browsers from before 2020.
///
/// Put [`field`](Self::field) first in a form, or send the text from [`Display`](fmt::Display) in the
/// header `X-CSRF-Token`:
///
/// ```rust
/// use rocket::response::content::RawHtml;
/// use rocket::{get, routes};
/// use rocket_typed_session::{CsrfToken, session};
///
/// #[session]
/// struct Visit {
///     theme: String,
/// }
///
/// #[get("/settings")]
/// fn settings(token: CsrfToken<Visit>) -> RawHtml<String> {
///     let field = token.field();
///     RawHtml(format!(r#"<form method="post">{field}<input name="theme"></form>"#))
/// }
///
/// let rocket = rocket::build().attach(Visit::fairing()).attach(Visit::csrf());
/// # let client = rocket::local::blocking::Client::untracked(
/// rocket.mount("/", routes![settings])
/// # );
/// # let page = client.unwrap().get("/settings").dispatch().into_string().unwrap();
/// # assert!(page.contains(r#"<input type="hidden" name="csrf_token" value="">"#), "{page}");
/// ```
///
/// It belongs to one session: a login and `rotate_token` invalidate it. Each guard masks it differently, so a
/// compressed page does not leak it.
///
/// While no session is stored, the text is empty, and none is required. If the response that shows the form
/// also first stores the session or logs somebody in, [`save`](crate::Session::save) first:
///
/// ```rust
/// # use rocket::{get, response::content::RawHtml};
/// # use rocket_typed_session::{CsrfToken, Error, Session, session};
/// # #[session] struct Visit { #[session(counter)] views: u64 }
/// #[get("/")]
/// async fn first_page(
///     mut visit: Session<Visit>,
///     token: CsrfToken<Visit>,
/// ) -> Result<RawHtml<String>, Error> {
///     visit.views += 1;
///     visit.save().await?;
///     Ok(RawHtml(format!("<form method=post>{}</form>", token.field())))
/// }
/// ```
///
/// The guard fails like [`Session<T>`](crate::Session). If a route takes one and `T::csrf()` is not attached,
/// the launch stops.
pub struct CsrfToken<T: SessionData> {
    session: Arc<RequestSession<T>>,
    mask: CsrfMask,
}

impl<T: SessionData> CsrfToken<T> {
    /// A hidden field for a form, `<input type="hidden" name="csrf_token" value="…">`.
    ///
    /// Put it first: the token counts only within the first 512 bytes of the body. It contains nothing to
    /// escape in HTML, so mark it as safe in your templates.
    #[must_use]
    pub fn field(&self) -> String {
        format!(r#"<input type="hidden" name="{FIELD}" value="{self}">"#)
    }
}

/// The token's text: 43 letters, digits, `-` and `_`, or nothing while no session is stored.
impl<T: SessionData> fmt::Display for CsrfToken<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.session.csrf_token(&self.mask);
        f.write_str(&token.unwrap_or_default())
    }
}

/// Keeps the token out of logs.
impl<T: SessionData> fmt::Debug for CsrfToken<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CsrfToken(…)")
    }
}

#[rocket::async_trait]
impl<'r, T: SessionData> FromRequest<'r> for CsrfToken<T> {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Error> {
        guard::open(request, |session| {
            let mask = CsrfMask::generate()?;
            Ok(Self { session, mask })
        })
        .await
    }
}

impl<T: SessionData> Sentinel for CsrfToken<T> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        let is_missing = rocket.state::<Csrf<T>>().is_none();
        if is_missing {
            let name = type_name::<T>();
            error!(
                "`CsrfToken<{name}>` is used, but its fairing is not attached: add \
                 `.attach({name}::csrf())` to the rocket"
            );
        }
        is_missing
    }
}
