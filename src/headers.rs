//! What a response that depends on a session says to caches, and how it sets the cookie.

use std::sync::Once;

use rocket::Response;
use rocket::http::{Cookie, Header};
use tracing::warn;

const CACHE_CONTROL: &str = "Cache-Control";

/// A copy of this response in a cache would hand somebody else's session out. So no cache may keep
/// it, whatever the application said, in headers for single caches too (RFC 9213).
pub(crate) fn set_cookie(response: &mut Response<'_>, cookie: &Cookie<'static>) {
    response.adjoin_header(Header::from(cookie));
    let says_so = |value: &str| value.to_ascii_lowercase().contains("no-store");
    if !response.headers().get(CACHE_CONTROL).any(says_so) {
        if response.headers().contains(CACHE_CONTROL) {
            static SAID: Once = Once::new();
            SAID.call_once(|| {
                warn!(
                    "a response that sets a session's cookie has a `Cache-Control` that lets it be \
                     cached; it is replaced by `no-store`. This is said once"
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

/// A response that only read the session is the application's to cache; without its word, no cache that
/// others share keeps it.
pub(crate) fn keep_private(response: &mut Response<'_>) {
    if !response.headers().contains(CACHE_CONTROL) {
        response.set_raw_header(CACHE_CONTROL, "private, no-cache");
    }
}
