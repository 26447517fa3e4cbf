//! Between HTTP headers and tokens. All pure.

use std::time::Duration;

use rocket::http::{Cookie, SameSite as RocketSameSite};
use rocket::time::Duration as CookieDuration;
use session_core::options::SameSite;
use session_core::token::Token;

/// How many different tokens of one request are looked up, at most. More than one appear when a
/// cookie of the same name was also set for another path or by another subdomain.
const MAX_CANDIDATES: usize = 4;

/// The session's cookie, without its value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CookieSettings {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) domain: Option<String>,
    pub(crate) same_site: SameSite,
    pub(crate) secure: bool,
}

impl CookieSettings {
    /// The cookie that carries a token.
    pub(crate) fn carrying(&self, token: &Token, max_age: Option<Duration>) -> Cookie<'static> {
        let mut cookie = self.cookie(token.expose());
        if let Some(max_age) = max_age {
            let max_age = CookieDuration::try_from(max_age).unwrap_or(CookieDuration::MAX);
            cookie.set_max_age(max_age);
        }
        cookie
    }

    /// The cookie that makes a browser forget it: with the same attributes, or it would not.
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

    /// The tokens that a request's `Cookie` headers carry under this name, no two alike.
    ///
    /// The headers are read byte for byte: Rocket's jar decodes names, so that `%5F%5FHost-id`
    /// would pass for `__Host-id`. A browser sends just one cookie with a `__Host-` name, so if
    /// there are two, somebody tampers, and none is believed.
    pub(crate) fn tokens<'h>(&self, headers: impl IntoIterator<Item = &'h str>) -> Tokens {
        let mut tokens = Tokens::default();
        let mut first_value = None;
        for value in headers
            .into_iter()
            .flat_map(|header| values(header, &self.name))
        {
            if *first_value.get_or_insert(value) != value && self.name.starts_with("__Host-") {
                return Tokens {
                    tampered: true,
                    ..Tokens::default()
                };
            }
            let known = |token: &Token| token.expose() == value;
            if tokens.candidates.len() == MAX_CANDIDATES || tokens.candidates.iter().any(known) {
                continue;
            }
            tokens.candidates.extend(Token::parse(value.as_bytes()));
        }
        tokens
    }
}

/// What the cookies of a request bring.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    /// Well-formed tokens, no two alike.
    pub(crate) candidates: Vec<Token>,
    /// Whether there were several cookies where a browser sends one.
    pub(crate) tampered: bool,
}

/// The values of all cookies of this very name in a `Cookie` header (RFC 6265, 5.4).
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
        let tokens = settings.tokens(headers.iter().copied());
        tokens.candidates.iter().map(Token::expose).collect()
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
        let host = settings("__Host-id");
        for header in [
            format!("__Host-id={good}; __Host-id={evil}"),
            format!("__Host-id=junk; __Host-id={good}"),
        ] {
            let tokens = host.tokens([header.as_str()]);
            assert!(tokens.tampered && tokens.candidates.is_empty(), "{header}");
        }
        let twice = format!("__Host-id={good}; __Host-id={good}");
        assert_eq!(ids(&host, &[&twice]), [good]);
    }

    #[test]
    fn candidates_of_a_plain_name_are_few_and_distinct() {
        let texts: Vec<_> = (0..9).map(|_| token().1).collect();
        let header: Vec<_> = texts.iter().map(|text| format!("id={text}")).collect();
        let header = format!("id=junk; id={}; {}", texts[0], header.join(";"));
        assert_eq!(ids(&settings("id"), &[&header]), texts[..MAX_CANDIDATES]);
    }

    proptest! {
        #[test]
        fn junk_never_panics(header: String) {
            let _ = settings("id").tokens([header.as_str()]);
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
