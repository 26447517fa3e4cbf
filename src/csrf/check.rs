use std::marker::PhantomData;

use rocket::futures::future::BoxFuture;
use rocket::http::Method;
use rocket::{Build, Request, Rocket, Route};
use session_core::error::Error as EngineError;
use session_core::nearest::nearest;
use session_core::schema::SessionData;
use tokio::sync::OnceCell;

use crate::csrf::decide::{Decision, Facts, Intent, Refusal, Values, decide};
use crate::csrf::origin::Origin;
use crate::managed::{Managed, parent_of};

const HEADER: &str = "X-CSRF-Token";

pub(crate) struct Csrf<T: SessionData> {
    trusted: Vec<Origin>,
    exempt: Vec<String>,
    data: PhantomData<fn() -> T>,
}

impl<T: SessionData> Csrf<T> {
    pub(crate) fn new(trusted: Vec<Origin>, exempt: Vec<String>) -> Self {
        Self {
            trusted,
            exempt,
            data: PhantomData,
        }
    }

    pub(crate) fn fault(&self, rocket: &Rocket<Build>) -> Option<String> {
        if rocket.state::<Managed<T>>().is_none() {
            let fault = "`csrf()` is attached, but `fairing()` is not, or has failed; attach both";
            return Some(fault.into());
        }
        let routes: Vec<String> = rocket.routes().map(|route| route.uri.to_string()).collect();
        let unknown = self.exempt.iter().find(|uri| !routes.contains(uri))?;
        let routes: Vec<&str> = routes.iter().map(String::as_str).collect();
        let meant = nearest(unknown, &routes);
        let meant = meant.map(|uri| format!("; did you mean `.exempt({uri:?})`?"));
        Some(format!(
            "`.exempt({unknown:?})`: no route has this URI{}",
            meant.unwrap_or_default()
        ))
    }

    pub(crate) fn needs_form(&self, request: &Request<'_>, managed: &Managed<T>) -> bool {
        self.decide(request, managed) == Ok(Decision::NeedsToken)
            && !request.headers().contains(HEADER)
    }

    fn exempts(&self, route: Option<&Route>) -> bool {
        let uri = route.filter(|_| !self.exempt.is_empty());
        uri.is_some_and(|route| self.exempt.contains(&route.uri.to_string()))
    }

    fn decide(&self, request: &Request<'_>, managed: &Managed<T>) -> Result<Decision, Refusal> {
        let headers = request.headers();
        // HTTP/2 has no `Host`, but Rocket knows the authority.
        let authority = request.host().map(ToString::to_string);
        let host = match Values::of(headers.get("Host")) {
            Values::None => Values::of(authority.as_deref().into_iter()),
            host => host,
        };
        let facts = Facts {
            intent: intent(request),
            site: Values::of(headers.get("Sec-Fetch-Site")),
            origin: Values::of(headers.get("Origin")),
            host,
            has_cookie: managed.brought_cookie(request),
        };
        decide(&facts, &self.trusted)
    }
}

fn intent(request: &Request<'_>) -> Intent {
    let is_websocket = |value: &str| {
        let mut protocols = value.split(',').map(str::trim);
        protocols.any(|protocol| protocol.eq_ignore_ascii_case("websocket"))
    };
    match request.method() {
        Method::Get if request.headers().get("Upgrade").any(is_websocket) => Intent::WebSocket,
        Method::Get | Method::Head | Method::Options | Method::Trace => Intent::Read,
        Method::Connect | Method::Delete | Method::Patch | Method::Post | Method::Put => {
            Intent::Change
        }
    }
}

/// A type with a `parent` is protected as its parent is, unless it has its own fairing.
pub(crate) async fn check<T: SessionData>(
    request: &Request<'_>,
    managed: &Managed<T>,
) -> Result<(), EngineError> {
    let Some(csrf) = request.rocket().state::<Csrf<T>>() else {
        return match parent_of::<T>(request) {
            Some(parent) => check_parent(request, parent).await,
            None => Ok(()),
        };
    };
    // A request that forwards may reach a route that is not exempt.
    if csrf.exempts(request.route()) {
        return Ok(());
    }
    match csrf.decide(request, managed)? {
        Decision::Pass => Ok(()),
        Decision::NeedsToken => check_token(request, managed).await,
    }
}

/// Boxed, since a parent may have one too.
fn check_parent<'r, T: SessionData>(
    request: &'r Request<'_>,
    managed: &'r Managed<T>,
) -> BoxFuture<'r, Result<(), EngineError>> {
    Box::pin(check(request, managed))
}

async fn check_token<T: SessionData>(
    request: &Request<'_>,
    managed: &Managed<T>,
) -> Result<(), EngineError> {
    let InForm(in_form) = request.local_cache(|| InForm(Vec::new()));
    let in_form = in_form.iter().map(String::as_str);
    let tokens: Vec<&str> = request.headers().get(HEADER).chain(in_form).collect();
    if tokens.is_empty() {
        return Err(Refusal::NoToken.into());
    }
    // Checked once per request: its handler may replace the token that the request came with.
    let checked = request.local_cache(|| Checked::<T>(OnceCell::new(), PhantomData));
    let is_right = checked.0.get_or_try_init(|| async {
        let session = managed.unused_session(request);
        managed.open(request, &session).await?;
        let is_right = tokens.iter().any(|token| session.accepts_csrf(token));
        Ok::<_, EngineError>(is_right)
    });
    match is_right.await? {
        true => Ok(()),
        false => Err(Refusal::WrongToken.into()),
    }
}

/// For all session types.
pub(crate) struct InForm(pub(crate) Vec<String>);

struct Checked<T>(OnceCell<bool>, PhantomData<fn() -> T>);
