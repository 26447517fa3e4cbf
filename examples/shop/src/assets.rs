//! The static files, which are part of the program.

use rocket::http::{ContentType, Header};
use rocket::response::Responder;
use rocket::{Route, get, routes};

pub(crate) fn routes() -> Vec<Route> {
    routes![style, script, pictures]
}

#[derive(Responder)]
struct Asset {
    file: (ContentType, &'static str),
    caching: Header<'static>,
}

impl Asset {
    fn new(kind: ContentType, text: &'static str) -> Self {
        Self {
            file: (kind, text),
            caching: Header::new("Cache-Control", "public, max-age=600"),
        }
    }
}

#[get("/shop.css")]
fn style() -> Asset {
    Asset::new(ContentType::CSS, include_str!("../static/shop.css"))
}

#[get("/shop.js")]
fn script() -> Asset {
    let script = include_str!("../static/shop.js");
    Asset::new(ContentType::JavaScript, script)
}

#[get("/pottery.svg")]
fn pictures() -> Asset {
    Asset::new(ContentType::SVG, include_str!("../static/pottery.svg"))
}
