//! Templates, and what every page shows.

use std::sync::LazyLock;

use minijinja::{Environment, UndefinedBehavior, Value, context};
use rocket::http::Status;
use rocket::request::{FromRequest, Outcome};
use rocket::response::Responder;
use rocket::response::content::RawHtml;
use rocket::{Ignite, Request, Rocket, Sentinel, outcome};
use rocket_typed_session::{CsrfToken, Error, Session};

use crate::failure::Failure;
use crate::visit::Visit;

/// The suffix `.html` turns on escaping.
const TEMPLATES: [(&str, &str); 8] = [
    ("admin.html", include_str!("pages/admin.html")),
    ("admin_login.html", include_str!("pages/admin_login.html")),
    ("base.html", include_str!("pages/base.html")),
    ("cart.html", include_str!("pages/cart.html")),
    ("devices.html", include_str!("pages/devices.html")),
    ("error.html", include_str!("pages/error.html")),
    ("home.html", include_str!("pages/home.html")),
    ("login.html", include_str!("pages/login.html")),
];

static PAGES: LazyLock<Environment<'_>> = LazyLock::new(|| {
    let mut pages = Environment::new();
    for (name, template) in TEMPLATES {
        let added = pages.add_template(name, template);
        added.expect("a template that the tests have rendered");
    }
    // An error page may have no `visit`.
    pages.set_undefined_behavior(UndefinedBehavior::Chainable);
    pages.add_filter("euros", |cents: u64| {
        format!("€ {}.{:02}", cents / 100, cents % 100)
    });
    pages
});

pub(crate) type Html = RawHtml<String>;

#[derive(Responder)]
pub(crate) enum Answer<R> {
    Done(R),
    /// The form again, with what is wrong.
    Refused((Status, Html)),
}

/// A request guard: the visit, and a token for forms.
pub(crate) struct Page {
    pub(crate) visit: Session<Visit>,
    csrf: CsrfToken<Visit>,
}

impl Page {
    pub(crate) async fn show(mut self, template: &str, content: Value) -> Result<Html, Failure> {
        let notice = Visit::take_notice(&mut self.visit).await?;
        let visit = context! {
            user => self.visit.user.as_ref().map(|_| &self.visit.name),
            items => items(&self.visit),
            notice,
            // The field needs no escaping.
            csrf => Value::from_safe_string(self.csrf.field()),
        };
        render(template, context! { visit, ..content })
    }

    pub(crate) async fn refuse<R>(
        self,
        template: &str,
        content: Value,
    ) -> Result<Answer<R>, Failure> {
        let page = self.show(template, content).await?;
        Ok(Answer::Refused((Status::UnprocessableEntity, page)))
    }
}

pub(crate) fn items(visit: &Visit) -> u32 {
    visit.cart.values().sum()
}

/// A page without a `visit`.
pub(crate) fn render(template: &str, content: Value) -> Result<Html, Failure> {
    let page = PAGES
        .get_template(template)
        .and_then(|page| page.render(content));
    page.map(RawHtml).map_err(Failure::internal)
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Page {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Error> {
        let visit = outcome::try_outcome!(request.guard().await);
        let csrf = outcome::try_outcome!(request.guard().await);
        Outcome::Success(Self { visit, csrf })
    }
}

/// Without the session's fairings, the launch fails.
impl Sentinel for Page {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        <CsrfToken<Visit> as Sentinel>::abort(rocket)
    }
}
