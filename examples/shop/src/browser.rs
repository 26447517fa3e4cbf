//! A browser's name in the list of devices.

use std::convert::Infallible;

use rocket::Request;
use rocket::request::{FromRequest, Outcome};

/// A request guard: `Firefox on Linux`. Only a label, because anybody can claim it.
pub(crate) struct Browser(String);

/// The first match counts: Chrome also claims to be Safari.
const BROWSERS: [(&str, &str); 4] = [
    ("Edg/", "Edge"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];
const SYSTEMS: [(&str, &str); 6] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
];

impl Browser {
    fn parse(user_agent: &str) -> Self {
        let find = |names: &[(&str, &'static str)]| {
            let found = names.iter().find(|(part, _)| user_agent.contains(part));
            found.map(|(_, name)| *name)
        };
        let browser = find(&BROWSERS).unwrap_or("A browser");
        Self(match find(&SYSTEMS) {
            Some(system) => format!("{browser} on {system}"),
            None => browser.to_owned(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Browser {
    type Error = Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Infallible> {
        let user_agent = request.headers().get_one("User-Agent").unwrap_or_default();
        Outcome::Success(Self::parse(user_agent))
    }
}
