use std::sync::LazyLock;

use minijinja::{Environment, Value, context};
use rocket::response::content::RawHtml;
use rocket_typed_session::Session;

use crate::cart::MOST_OF_AN_ITEM;
use crate::{LONGEST_NAME, Visit};

/// The suffix `.html` turns on escaping.
const TEMPLATES: [(&str, &str); 3] = [
    ("base.html", include_str!("base.html")),
    ("cart.html", include_str!("cart.html")),
    ("index.html", include_str!("index.html")),
];

static PAGES: LazyLock<Environment<'_>> = LazyLock::new(|| {
    let mut pages = Environment::new();
    for (name, template) in TEMPLATES {
        let added = pages.add_template(name, template);
        added.expect("a template that the tests have rendered");
    }
    pages
});

/// A refused form, which the page shows again with the reason.
pub(crate) struct Refused<'r> {
    pub(crate) item: &'r str,
    pub(crate) quantity: &'r str,
    pub(crate) field: &'static str,
    pub(crate) reason: String,
}

pub(crate) fn index(
    visit: &Session<Visit>,
    notice: Option<&str>,
    refused: Option<&str>,
) -> RawHtml<String> {
    let expires_at = visit.expires_at();
    render(
        "index.html",
        context! {
            views => visit.views,
            user => visit.user.as_deref(),
            items => visit.cart.len(),
            expires_at => expires_at.to_rfc3339(),
            expires_on => expires_at.format("%-d %B %Y at %H:%M UTC").to_string(),
            notice,
            refused,
            longest_name => LONGEST_NAME,
        },
    )
}

pub(crate) fn cart(visit: &Session<Visit>, refused: Option<Refused<'_>>) -> RawHtml<String> {
    let refused = refused.map(|refused| {
        context! {
            item => refused.item,
            quantity => refused.quantity,
            field => refused.field,
            reason => refused.reason,
        }
    });
    render(
        "cart.html",
        context! {
            cart => &visit.cart,
            refused,
            longest_name => LONGEST_NAME,
            most_of_an_item => MOST_OF_AN_ITEM,
        },
    )
}

fn render(template: &str, context: Value) -> RawHtml<String> {
    let page = PAGES.get_template(template);
    let html = page.and_then(|page| page.render(context));
    RawHtml(html.expect("a template that the tests have rendered"))
}
