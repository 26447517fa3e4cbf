/// A serialized origin: scheme, host and port (RFC 6454, 6.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Origin {
    scheme: String,
    authority: Authority,
}

/// A host, in lower case, and a port, if known.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Authority {
    host: String,
    port: Option<u16>,
}

impl Origin {
    /// Returns `None` for `null`, because every sandboxed page has that origin.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if scheme.is_empty() || !scheme.bytes().all(is_scheme) {
            return None;
        }
        let authority = Authority::parse(authority, default_port(&scheme))?;
        Some(Self { scheme, authority })
    }

    /// `Host` has no scheme, so a page of this host over plain HTTP counts like one over TLS.
    pub(crate) fn is_of(&self, host: &str) -> bool {
        let host = Authority::parse(host, default_port(&self.scheme));
        host.is_some_and(|host| host == self.authority)
    }
}

impl Authority {
    fn parse(text: &str, default_port: Option<u16>) -> Option<Self> {
        let end = match text.starts_with('[') {
            true => text.find(']')? + 1,
            false => text.find(':').unwrap_or(text.len()),
        };
        let (host, rest) = text.split_at_checked(end)?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(parse_port(port)?),
            None if rest.is_empty() => default_port,
            None => return None,
        };
        let is_host = match host.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')) {
            Some(ip) => ip
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte)),
            // Browsers send other letters as Punycode.
            None => host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
        };
        (is_host && !host.is_empty()).then(|| Self {
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

/// `u16::from_str` alone would accept `+80` too.
fn parse_port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_origin_is_a_scheme_and_an_authority_and_nothing_else() {
        for good in [
            "https://example.com",
            "http://localhost:8000",
            "http://127.0.0.1:8000",
            "https://[2001:db8::1]",
            "https://[::1]:8000",
            "capacitor://localhost",
            "chrome-extension://abcdefgh",
            "https://xn--bcher-kva.example",
        ] {
            assert!(Origin::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "null",
            "*",
            "example.com",
            "//example.com",
            "://example.com",
            "https:example.com",
            "https://",
            "https://:443",
            "https://example.com/",
            "https://example.com/path",
            "https://example.com?query",
            "https://example.com#fragment",
            "https://user@example.com",
            "https://example.com:",
            "https://example.com:+443",
            "https://example.com:65536",
            "https://example.com:443:443",
            "https://example.com,https://evil.example",
            "https://exam\\ple.com",
            "https://exam%70le.com",
            "https://exam ple.com",
            "https://bücher.example",
            "https://[::1",
            "https://[::1]8000",
            "https://[]x",
            "https://*.example.com/",
            "ht tp://example.com",
            " https://example.com",
        ] {
            assert!(Origin::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_host_is_compared_without_case_and_with_the_schemes_own_port() {
        let is_of = |origin: &str, host: &str| Origin::parse(origin).unwrap().is_of(host);
        for (origin, host) in [
            ("https://example.com", "example.com"),
            ("https://example.com", "EXAMPLE.com"),
            ("HTTPS://EXAMPLE.COM", "example.com"),
            ("https://example.com", "example.com:443"),
            ("https://example.com:443", "example.com"),
            ("http://example.com", "example.com:80"),
            ("http://example.com:8000", "example.com:8000"),
            ("https://[::1]:8000", "[::1]:8000"),
            ("app://localhost", "localhost"),
        ] {
            assert!(is_of(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("https://example.com", ""),
            ("https://example.com", "example.com:80"),
            ("https://example.com", "example.com:8443"),
            ("http://example.com", "example.com:443"),
            ("http://example.com:8001", "example.com:8000"),
            ("https://evil.example.com", "example.com"),
            ("https://example.com", "evil.example.com"),
            ("https://example.com.evil", "example.com"),
            ("https://evilexample.com", "example.com"),
            ("https://example.com", "example.com/"),
            ("https://example.com", "example.com@evil"),
            ("app://localhost", "localhost:80"),
        ] {
            assert!(!is_of(origin, host), "{origin} {host}");
        }
    }

    proptest! {
        #[test]
        fn junk_never_panics(origin: String, host: String) {
            if let Some(origin) = Origin::parse(&origin) {
                let _ = origin.is_of(&host);
            }
            let _ = Authority::parse(&host, None);
        }
    }
}
