use std::fmt;
use std::marker::PhantomData;

use rocket::fairing::{self, AdHoc, Fairing, Info, Kind};
use rocket::{Build, Data, Request, Rocket};
use session_core::schema::SessionData;
use tracing::error;

use crate::csrf::check::{Csrf, InForm};
use crate::csrf::origin::Origin;
use crate::managed::Managed;

mod check;
mod decide;
mod form;
mod origin;
mod token;

pub(crate) use check::check;
pub use token::CsrfToken;

/// The fairing that protects the session type `T` against cross-site request forgery.
///
/// `T::csrf()` makes one. Attach it beside `T::fairing()`, in any order:
///
/// ```rust
/// use rocket::{post, routes};
/// use rocket_typed_session::{Session, session};
///
/// #[session]
/// struct Visit {
///     email: String,
/// }
///
/// #[post("/email/<email>")]
/// fn change(mut visit: Session<Visit>, email: String) {
///     visit.email = email;
/// }
///
/// let rocket = rocket::build()
///     .attach(Visit::fairing())
///     .attach(Visit::csrf())
///     .mount("/", routes![change]);
/// # use rocket::http::{Header, Status};
/// # let client = rocket::local::blocking::Client::untracked(rocket).unwrap();
/// // What a browser sends with a form in another site's page.
/// let request = client.post("/email/mallory").header(Header::new("Sec-Fetch-Site", "cross-site"));
/// assert_eq!(request.dispatch().status(), Status::Forbidden);
/// ```
///
/// The guard [`Session<T>`](crate::Session) then refuses requests that may come from another site: it fails
/// with 403 and [`Error::is_csrf`](crate::Error::is_csrf). A refused request gets no session, stores nothing
/// and changes no cookie. The log has a warning, at most once a second.
///
/// # Which requests are refused
///
/// `GET`, `HEAD`, `OPTIONS` and `TRACE` pass, so change nothing in them. For all others, and for a `GET` that
/// opens a WebSocket, the first matching rule counts:
///
/// 1. two different values of one of the headers below: refused
/// 2. `Sec-Fetch-Site: same-origin` or `none`: accepted
/// 3. an `Origin` that you [trust](Self::trust): accepted
/// 4. any other `Sec-Fetch-Site`, except to open a WebSocket: refused
/// 5. an `Origin` with the host and the port of the request's `Host`: accepted
/// 6. any other `Origin`, or a `Sec-Fetch-Site` alone: refused
/// 7. no cookie of this session type: accepted
/// 8. a [`CsrfToken`] of the session that the cookie opens: accepted
/// 9. otherwise: refused
///
/// Your own pages need nothing: all browsers since 2023 send `Sec-Fetch-Site` over TLS and to `localhost`,
/// and all since 2020 send `Origin`. A client that sends neither needs the token, or sends
/// `Sec-Fetch-Site: same-origin` itself.
///
/// The rules follow [Go's `CrossOriginProtection`] and OWASP's [cheat sheet].
///
/// [Go's `CrossOriginProtection`]: https://pkg.go.dev/net/http#CrossOriginProtection
/// [cheat sheet]: https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
#[doc(alias = "xsrf")]
#[doc(alias = "same_origin")]
#[must_use = "attach it to the rocket"]
pub struct CsrfFairing<T: SessionData> {
    trusted: Vec<String>,
    exempt: Vec<String>,
    data: PhantomData<fn() -> T>,
}

impl<T: SessionData> CsrfFairing<T> {
    pub(crate) fn new() -> Self {
        Self {
            trusted: Vec::new(),
            exempt: Vec::new(),
            data: PhantomData,
        }
    }

    /// Accepts requests from this origin's pages too, which can do whatever your own can. Default: none. May
    /// be called several times.
    ///
    /// Write the scheme and the host, and the port unless it is the scheme's default. Anything else stops the
    /// launch. If a proxy replaces `Host` and browsers reach you without TLS, trust your own public origin.
    ///
    /// ```rust
    /// # use rocket_typed_session::session;
    /// # #[session] struct Visit { views: u64 }
    /// let fairing = Visit::csrf().trust("https://app.example.com");
    /// # rocket::build().attach(fairing);
    /// ```
    #[doc(alias = "trusted_origins")]
    pub fn trust(mut self, origin: impl Into<String>) -> Self {
        self.trusted.push(origin.into());
        self
    }

    /// Refuses nothing on the routes with exactly this URI, as declared and mounted. Default: none. May be
    /// called several times.
    ///
    /// It is literal: `/hooks/<name>` exempts `#[post("/<name>")]` mounted at `/hooks`, with every method,
    /// but not the route `/hooks/special`. If no route has this URI, the launch stops.
    ///
    /// An exempt route must check its callers itself. A caller without a cookie needs no exemption, unless it
    /// sends an `Origin`.
    ///
    /// ```rust
    /// # use rocket::{post, routes};
    /// # use rocket_typed_session::{Session, session};
    /// # #[session] struct Visit { views: u64 }
    /// #[post("/<name>")]
    /// fn webhook(name: &str, visit: Session<Visit>) {}
    ///
    /// let rocket = rocket::build()
    ///     .attach(Visit::fairing())
    ///     .attach(Visit::csrf().exempt("/hooks/<name>"))
    ///     .mount("/hooks", routes![webhook]);
    /// # rocket::local::blocking::Client::untracked(rocket).unwrap();
    /// ```
    #[doc(alias = "skip")]
    pub fn exempt(mut self, route: impl Into<String>) -> Self {
        self.exempt.push(route.into());
        self
    }

    fn settings(&self, rocket: &Rocket<Build>) -> Result<Csrf<T>, String> {
        if rocket.state::<Csrf<T>>().is_some() {
            return Err("its fairing `csrf()` is attached twice; attach it once".into());
        }
        let parse = |text: &String| {
            Origin::parse(text).ok_or_else(|| {
                format!(
                    "`.trust({text:?})`: this is not an origin; write scheme, host and perhaps a port, \
                     like \"https://app.example.com\""
                )
            })
        };
        let trusted = self.trusted.iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Csrf::new(trusted, self.exempt.clone()))
    }
}

#[rocket::async_trait]
impl<T: SessionData> Fairing for CsrfFairing<T> {
    fn info(&self) -> Info {
        Info {
            name: std::any::type_name::<Self>(),
            kind: Kind::Ignite | Kind::Request,
        }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        let settings = match self.settings(&rocket) {
            Ok(settings) => settings,
            Err(fault) => {
                log_fault::<T>(&fault);
                return Err(rocket);
            }
        };
        // Fairings attached after this one may still mount routes or be the session's own.
        let check =
            AdHoc::try_on_ignite("check of `csrf()` and its exempt routes", async |rocket| {
                match rocket.state::<Csrf<T>>().map(|csrf| csrf.fault(&rocket)) {
                    Some(Some(fault)) => {
                        log_fault::<T>(&fault);
                        Err(rocket)
                    }
                    Some(None) | None => Ok(rocket),
                }
            });
        Ok(rocket.manage(settings).attach(check))
    }

    /// Finds the token in a form, because guards do not see the body.
    async fn on_request(&self, request: &mut Request<'_>, data: &mut Data<'_>) {
        let state = request.rocket().state::<Csrf<T>>();
        let Some((csrf, managed)) = state.zip(request.rocket().state::<Managed<T>>()) else {
            return;
        };
        if !csrf.needs_form(request, managed) {
            return;
        }
        let find = match request.content_type() {
            Some(content_type) if content_type.is_form() => form::in_url_encoded,
            Some(content_type) if content_type.is_form_data() => form::in_multipart,
            Some(_) | None => return,
        };
        let tokens = find(data.peek(LONGEST_PEEK).await);
        request.local_cache(|| InForm(tokens));
    }
}

/// Rocket shows no more of a body without consuming it.
const LONGEST_PEEK: usize = 512;

fn log_fault<T: SessionData>(fault: &str) {
    error!("session type {}: {fault}", T::SCHEMA.name());
}

impl<T: SessionData> fmt::Debug for CsrfFairing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CsrfFairing")
            .field("name", &T::SCHEMA.name())
            .field("trusted", &self.trusted)
            .field("exempt", &self.exempt)
            .finish()
    }
}
