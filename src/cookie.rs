use std::time::Duration;

use rocket::http::{Cookie, SameSite as RocketSameSite};
use rocket::time::Duration as CookieDuration;
use session_core::options::{Prefix, SameSite};
use session_core::request::Candidates;
use session_core::token::Token;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzed;

/// Another path or subdomain may set a cookie of the same name.
const MAX_CANDIDATES: usize = 4;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CookieSettings {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) domain: Option<String>,
    pub(crate) same_site: SameSite,
    pub(crate) secure: bool,
}

impl CookieSettings {
    pub(crate) fn carrying(&self, token: &Token, max_age: Option<Duration>) -> Cookie<'static> {
        let mut cookie = self.cookie(token.expose());
        if let Some(max_age) = max_age {
            let max_age = CookieDuration::try_from(max_age).unwrap_or(CookieDuration::MAX);
            cookie.set_max_age(max_age);
        }
        cookie
    }

    /// A browser forgets the cookie only with the same attributes.
    pub(crate) fn removal(&self) -> Cookie<'static> {
        let mut cookie = self.cookie(String::new());
        cookie.make_removal();
        cookie
    }

    fn cookie(&self, value: String) -> Cookie<'static> {
        let same_site = match self.same_site {
            SameSite::Lax => RocketSameSite::Lax,
            SameSite::None => RocketSameSite::None,
            SameSite::Strict => RocketSameSite::Strict,
        };
        let mut cookie = Cookie::build((self.name.clone(), value))
            .http_only(true)
            .path(self.path.clone())
            .same_site(same_site)
            .secure(self.secure)
            .build();
        if let Some(domain) = &self.domain {
            cookie.set_domain(domain.clone());
        }
        cookie
    }

    /// Whether browsers send it wherever they send a cookie with this path (RFC 6265, 5.1.4).
    pub(crate) fn is_sent_below(&self, path: &str) -> bool {
        let rest = path.strip_prefix(&self.path);
        rest.is_some_and(|rest| {
            rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/')
        })
    }

    /// The tokens that a request's `Cookie` headers carry under this name, without duplicates.
    ///
    /// It reads the headers byte for byte: Rocket's jar decodes names, so `%5F%5FHost-id` would pass for
    /// `__Host-id`. A browser sends only one `__Host-` cookie, so two mean tampering, and it returns none. If
    /// there are too many, it returns none too, because the right one may be among the rest.
    pub(crate) fn candidates(&self, headers: &[impl AsRef<str>]) -> Candidates {
        let mut candidates = Candidates::default();
        let is_host = Prefix::of(&self.name) == Some(Prefix::Host);
        let mut first_value = None;
        for value in headers
            .iter()
            .flat_map(|header| values(header.as_ref(), &self.name))
        {
            let is_other = *first_value.get_or_insert(value) != value;
            candidates.tampered |= is_other && is_host;
            if candidates.tampered {
                break;
            }
            let tokens = &mut candidates.tokens;
            if tokens.iter().any(|token| token.expose() == value) {
                continue;
            }
            tokens.extend(Token::parse(value.as_bytes()));
            candidates.tampered = tokens.len() > MAX_CANDIDATES;
        }
        if candidates.tampered {
            candidates.tokens.clear();
        }
        candidates
    }

    pub(crate) fn is_in(&self, headers: &[impl AsRef<str>]) -> bool {
        let mut headers = headers.iter();
        headers.any(|header| values(header.as_ref(), &self.name).next().is_some())
    }
}

/// Reads a `Cookie` header byte for byte (RFC 6265, 5.4).
fn values<'h>(header: &'h str, name: &str) -> impl Iterator<Item = &'h str> {
    header.split(';').filter_map(move |pair| {
        let pair = pair.trim_matches([' ', '\t']);
        let value = pair.strip_prefix(name)?.strip_prefix('=')?;
        Some(value)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rocket::http::Header;
    use session_core::options::Options;

    use super::*;

    fn settings(name: &str) -> CookieSettings {
        CookieSettings {
            name: name.into(),
            path: "/".into(),
            domain: None,
            same_site: SameSite::Lax,
            secure: name.starts_with("__"),
        }
    }

    fn token() -> (Token, String) {
        let token = Token::generate().unwrap();
        let text = token.expose();
        (token, text)
    }

    fn ids(settings: &CookieSettings, headers: &[&str]) -> Vec<String> {
        let candidates = settings.candidates(headers);
        candidates.tokens.iter().map(Token::expose).collect()
    }

    #[test]
    fn attributes_are_exact() {
        let (token, text) = token();
        let host = settings("__Host-id");
        assert_eq!(
            host.carrying(&token, None).to_string(),
            format!("__Host-id={text}; HttpOnly; SameSite=Lax; Secure; Path=/")
        );
        let max_age = Some(Duration::from_secs(90));
        let everywhere = CookieSettings {
            path: "/app".into(),
            domain: Some("example.com".into()),
            same_site: SameSite::None,
            ..settings("__Secure-id")
        };
        assert_eq!(
            everywhere.carrying(&token, max_age).to_string(),
            format!(
                "__Secure-id={text}; HttpOnly; SameSite=None; Secure; Path=/app; \
                 Domain=example.com; Max-Age=90"
            )
        );
        let removal = everywhere.removal().to_string();
        assert!(
            removal.starts_with(
                "__Secure-id=; HttpOnly; SameSite=None; Secure; Path=/app; Domain=example.com; \
                 Max-Age=0; Expires="
            ),
            "{removal}"
        );
        let plain = CookieSettings {
            same_site: SameSite::Strict,
            ..settings("id")
        };
        assert_eq!(
            plain.carrying(&token, None).to_string(),
            format!("id={text}; HttpOnly; SameSite=Strict; Path=/")
        );
    }

    /// Rocket percent-encodes a cookie's name, and a byte for byte reader sees another name then.
    #[test]
    fn a_name_is_allowed_if_it_is_written_as_it_is() {
        for letter in (0..=u8::MAX).map(char::from) {
            let name = format!("a{letter}b");
            let header = Header::from(Cookie::new(name.clone(), "value"));
            let is_written_so = header.value() == format!("{name}=value");
            let is_allowed = Options::new().cookie(&name).check().is_empty();
            assert_eq!(is_allowed, is_written_so, "{letter:?}: {header}");
        }
    }

    #[test]
    fn the_longest_max_age_is_written() {
        let cookie = settings("id").carrying(&token().0, Some(Duration::MAX));
        assert!(cookie.to_string().contains("Max-Age="));
    }

    #[test]
    fn a_cookie_fits_what_browsers_keep() {
        let cookie = settings("__Host-id").carrying(&token().0, Some(Duration::MAX));
        assert!(cookie.to_string().len() < 4096);
    }

    #[test]
    fn only_the_very_name_counts() {
        let (_, good) = token();
        let (_, evil) = token();
        let host = settings("__Host-id");
        for other in [
            "%5F%5FHost-id",
            "__host-id",
            "\u{2000}__Host-id",
            "\u{85}__Host-id",
            "\u{a0}__Host-id",
            "=__Host-id",
            "\"__Host-id\"",
            "$Version=1, __Host-id",
            "x__Host-id",
            "__Host-id2",
            "__Host-id ",
            "\u{b}__Host-id",
        ] {
            for headers in [
                vec![format!("__Host-id={good}; {other}={evil}")],
                vec![format!("{other}={evil}; __Host-id={good}")],
                vec![format!("{other}={evil}"), format!("a=b;\t__Host-id={good}")],
                vec![format!("__Host-id={good}"), format!("{other}={evil}")],
            ] {
                let headers: Vec<_> = headers.iter().map(String::as_str).collect();
                let found = ids(&host, &headers);
                assert_eq!(found, std::slice::from_ref(&good), "{headers:?}");
            }
            assert!(
                ids(&host, &[&format!("{other}={evil}")]).is_empty(),
                "{other:?}"
            );
        }
    }

    #[test]
    fn two_values_of_a_host_cookie_are_tampering() {
        let (_, good) = token();
        let (_, evil) = token();
        for name in ["__Host-id", "__HOST-id"] {
            let host = settings(name);
            for header in [
                format!("{name}={good}; {name}={evil}"),
                format!("{name}=junk; {name}={good}"),
            ] {
                let found = host.candidates(&[&header]);
                assert!(found.tampered && found.tokens.is_empty(), "{header}");
            }
            let twice = format!("{name}={good}; {name}={good}");
            assert_eq!(ids(&host, &[&twice]), std::slice::from_ref(&good));
        }
    }

    #[test]
    fn candidates_of_a_plain_name_are_few_and_distinct() {
        let texts: Vec<_> = (0..=MAX_CANDIDATES).map(|_| token().1).collect();
        let header = |texts: &[String]| {
            let cookies: Vec<_> = texts.iter().map(|text| format!("id={text}")).collect();
            format!("id=junk; id={}; {}", texts[0], cookies.join(";"))
        };
        let few = header(&texts[1..]);
        assert_eq!(ids(&settings("id"), &[&few]), texts[1..]);
        let many = settings("id").candidates(&[header(&texts)]);
        assert!(many.tampered && many.tokens.is_empty());
    }

    proptest! {
        #[test]
        fn junk_never_panics(header: String) {
            let _ = settings("id").candidates(&[header]);
        }

        #[test]
        fn what_is_set_is_read(before in "[a-z=; ]{0,20}", after in "[a-z=; ]{0,20}") {
            let (token, text) = token();
            let settings = settings("__Host-id");
            let cookie = settings.carrying(&token, None).to_string();
            let pair = cookie.split(';').next().unwrap();
            let header = format!("{before};{pair};{after}");
            prop_assert_eq!(ids(&settings, &[&header]), [text]);
        }
    }
}
