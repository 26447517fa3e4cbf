//! What browsers may do with the pages.

use rocket::fairing::{AdHoc, Fairing};
use rocket::http::Header;

/// Nothing from other sites, no inline code, no frames.
const CONTENT: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Rocket's `Shield` adds more.
pub(crate) fn strict() -> impl Fairing {
    AdHoc::on_response("Strict headers", |_, response| {
        Box::pin(async move {
            response.set_header(Header::new("Content-Security-Policy", CONTENT));
            response.set_header(Header::new("Referrer-Policy", "same-origin"));
        })
    })
}
