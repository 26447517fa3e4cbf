//! Headers that keep responses with a session out of caches.

use std::sync::Once;

use rocket::Response;
use rocket::http::{Cookie, Header};
use tracing::warn;

const CACHE_CONTROL: &str = "Cache-Control";

/// A cached copy would hand out somebody else's session, so no cache may keep it, whatever the application
/// said, also in headers for particular caches (RFC 9213).
pub(crate) fn set_cookie(response: &mut Response<'_>, cookie: &Cookie<'static>) {
    response.adjoin_header(Header::from(cookie));
    let says_so = |value: &str| value.to_ascii_lowercase().contains("no-store");
    if !response.headers().get(CACHE_CONTROL).any(says_so) {
        if response.headers().contains(CACHE_CONTROL) {
            static SAID: Once = Once::new();
            SAID.call_once(|| {
                warn!(
                    "a response that sets a session's cookie has a `Cache-Control` that allows \
                     caching; replaced it with `no-store`. This warning appears once"
                );
            });
        }
        response.set_raw_header(CACHE_CONTROL, "no-store");
    }
    let targeted: Vec<String> = response
        .headers()
        .iter()
        .map(|header| header.name().as_str().to_ascii_lowercase())
        .filter(|name| name.ends_with("-cache-control") || name == "surrogate-control")
        .collect();
    for name in targeted {
        response.remove_header(&name);
    }
}

/// A response that depends on the session differs by cookie (CVE-2023-30861).
pub(crate) fn vary_by_cookie(response: &mut Response<'_>) {
    let varies = response.headers().get("Vary").any(|value| {
        let mut names = value.split(',').map(str::trim);
        names.any(|name| name == "*" || name.eq_ignore_ascii_case("cookie"))
    });
    if !varies {
        response.adjoin_raw_header("Vary", "Cookie");
    }
}

/// The application decides about a response that only read the session.
pub(crate) fn keep_private(response: &mut Response<'_>) {
    if !response.headers().contains(CACHE_CONTROL) {
        response.set_raw_header(CACHE_CONTROL, "private, no-cache");
    }
}
