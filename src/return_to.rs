use std::fmt;

use rocket::Request;
use rocket::form::{self, FromFormField, ValueField};
use rocket::http::impl_from_uri_param_identity;
use rocket::http::uri::Origin;
use rocket::http::uri::fmt::{Formatter, Query, UriDisplay};
use rocket::response::{self, Redirect, Responder};

/// Where a visitor wanted to go before a guard with `redirect` sent them to log in: a form field, a query
/// parameter, and a redirect back.
///
/// Take it from the redirect's query parameter `next`, keep it in the login form, and return it after the
/// login. It is always a path on this host: anything else, or nothing, becomes `/` (OWASP, "Unvalidated
/// Redirects and Forwards"). Take an `Option<ReturnTo>` to choose another place for nothing.
///
/// ```rust
/// # use rocket::{form::Form, get, post, FromForm, response::content::RawHtml};
/// # use rocket_typed_session::{ReturnTo, Session, session};
/// # #[session] struct Visit {
/// #     #[session(identity, guard(Member, redirect = "/login"))] user: Option<String> }
/// #[get("/login?<next>")]
/// fn form(next: ReturnTo) -> RawHtml<String> {
///     RawHtml(format!(
///         r#"<form method="post" action="/login">
///              <input type="hidden" name="next" value="{next}"> …"#
///     ))
/// }
///
/// #[derive(FromForm)]
/// struct Login {
///     user: String,
///     next: ReturnTo,
/// }
///
/// #[post("/login", data = "<login>")]
/// fn login(login: Form<Login>, mut visit: Session<Visit>) -> ReturnTo {
///     let Login { user, next } = login.into_inner();
///     visit.log_in(user);
///     next
/// }
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ReturnTo(Origin<'static>);

impl ReturnTo {
    /// The path and its query.
    #[must_use]
    pub fn uri(&self) -> &Origin<'static> {
        &self.0
    }

    /// Browsers read `//` and `/\` as another host, and skip tabs and line ends while they do.
    fn parse(text: &str) -> Option<Self> {
        // Without `;` and `#`, no page reads one of these letters as another, like `&sol;`.
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\\\"'<>;#".contains(&byte);
        let is_local = text.starts_with('/') && !text.starts_with("//");
        if !is_local || !text.bytes().all(is_plain) {
            return None;
        }
        Origin::parse_owned(text.to_owned()).ok().map(Self)
    }
}

/// `/`.
impl Default for ReturnTo {
    fn default() -> Self {
        Self(Origin::ROOT)
    }
}

/// The path and its query, without quotes or angle brackets: it can stand in a quoted attribute.
impl fmt::Display for ReturnTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[rocket::async_trait]
impl<'v> FromFormField<'v> for ReturnTo {
    fn from_value(field: ValueField<'v>) -> form::Result<'v, Self> {
        Ok(Self::parse(field.value).unwrap_or_default())
    }

    fn default() -> Option<Self> {
        Some(<Self as Default>::default())
    }
}

/// `uri!(form(next = next))`: back to the login form, when a login fails.
impl UriDisplay<Query> for ReturnTo {
    fn fmt(&self, f: &mut Formatter<'_, Query>) -> fmt::Result {
        f.write_value(self.to_string())
    }
}

impl_from_uri_param_identity!([Query] ReturnTo);

/// A 303 to the place.
impl<'r> Responder<'r, 'static> for ReturnTo {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        Redirect::to(self.0).respond_to(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_on_this_host_is_a_place_to_return_to() {
        for good in ["/", "/a", "/a/b?c=d&e=%2F", "/a?next=//b"] {
            assert_eq!(ReturnTo::parse(good).unwrap().uri().to_string(), good);
        }
        for bad in [
            "",
            "a",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " /a",
            "https://evil.example",
            "javascript:alert(1)",
            "/\"><script>",
            "/'x",
            "/&sol;evil.example",
            "/&#47evil.example",
            "/a b",
            "/\u{e9}",
        ] {
            assert_eq!(ReturnTo::parse(bad), None, "{bad:?}");
        }
    }
}
