//! The decision whether a request may act with its session: one pure function.

use session_core::error::Error as EngineError;

use crate::csrf::origin::Origin;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Intent {
    /// Its method is not safe (RFC 9110, 9.2.1).
    Change,
    Read,
    /// A `GET` that allows anything afterwards, and that pages of other sites may send.
    WebSocket,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Values<'r> {
    None,
    One(&'r str),
    Several,
}

impl<'r> Values<'r> {
    pub(crate) fn of(mut values: impl Iterator<Item = &'r str>) -> Self {
        match values.next() {
            None => Self::None,
            Some(first) if values.all(|value| value == first) => Self::One(first),
            Some(_) => Self::Several,
        }
    }

    fn at_most_one(self) -> Result<Option<&'r str>, Refusal> {
        match self {
            Self::None => Ok(None),
            Self::One(value) => Ok(Some(value)),
            Self::Several => Err(Refusal::Tampered),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'r> {
    pub(crate) intent: Intent,
    pub(crate) site: Values<'r>,
    pub(crate) origin: Values<'r>,
    pub(crate) host: Values<'r>,
    pub(crate) has_cookie: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Decision {
    /// A token must prove that it has read a page of its session.
    NeedsToken,
    Pass,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    NoToken,
    OtherOrigin,
    OtherSite,
    Tampered,
    WrongToken,
}

/// Fixed texts: nothing from a request gets into the log.
impl From<Refusal> for EngineError {
    fn from(refusal: Refusal) -> Self {
        Self::csrf(match refusal {
            Refusal::NoToken => {
                "refused a request with the session's cookie, but with neither `Sec-Fetch-Site` nor \
                 `Origin` nor a CSRF token"
            }
            Refusal::OtherOrigin => {
                "refused a request whose `Origin` is neither that of its `Host` nor trusted"
            }
            Refusal::OtherSite => {
                "refused a cross-site request: its `Sec-Fetch-Site` says so, and its `Origin` is \
                 not trusted"
            }
            Refusal::Tampered => {
                "refused a request with two different values of `Sec-Fetch-Site`, `Origin` or `Host`"
            }
            Refusal::WrongToken => {
                "refused a request whose CSRF token is not that of a living session"
            }
        })
    }
}

/// By headers that browsers set and pages cannot change: fetch metadata first, because it says most. They
/// count without a cookie too, because another site's login request carries none.
pub(crate) fn decide(facts: &Facts<'_>, trusted: &[Origin]) -> Result<Decision, Refusal> {
    if facts.intent == Intent::Read {
        return Ok(Decision::Pass);
    }
    let (site, origin, host) = (
        facts.site.at_most_one()?,
        facts.origin.at_most_one()?,
        facts.host.at_most_one()?,
    );
    // Not every browser treats `wss` as the same origin as the page's `https`, but every browser sends
    // the page's `Origin` (RFC 6455, 4.1).
    let compares_host = site.is_none() || facts.intent == Intent::WebSocket;
    let is_own = |origin: &Origin| compares_host && host.is_some_and(|host| origin.is_of(host));
    match (site, origin) {
        (Some("none" | "same-origin"), _) => Ok(Decision::Pass),
        (_, Some(origin)) => match Origin::parse(origin) {
            Some(origin) if is_own(&origin) || trusted.contains(&origin) => Ok(Decision::Pass),
            _ if compares_host => Err(Refusal::OtherOrigin),
            _ => Err(Refusal::OtherSite),
        },
        (Some(_), None) => Err(Refusal::OtherSite),
        (None, None) if facts.has_cookie => Ok(Decision::NeedsToken),
        // A script, or a webhook's caller: it has nobody's session.
        (None, None) => Ok(Decision::Pass),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTENTS: [Intent; 3] = [Intent::Change, Intent::Read, Intent::WebSocket];
    const HOSTS: [Values<'_>; 4] = [
        Values::None,
        Values::One("example.com"),
        Values::One("other.example"),
        Values::Several,
    ];
    const SITES: [Values<'_>; 9] = [
        Values::None,
        Values::One("same-origin"),
        Values::One("none"),
        Values::One("same-site"),
        Values::One("cross-site"),
        Values::One("Same-Origin"),
        Values::One("same-origin, cross-site"),
        Values::One(""),
        Values::Several,
    ];
    const ORIGINS: [Values<'_>; 7] = [
        Values::None,
        Values::One("https://example.com"),
        Values::One("https://app.example.com"),
        Values::One("https://evil.example"),
        Values::One("null"),
        Values::One(""),
        Values::Several,
    ];

    fn trusted() -> Vec<Origin> {
        vec![Origin::parse("https://app.example.com").unwrap()]
    }

    #[test]
    fn each_rule_holds_for_all_inputs() {
        let trusted = trusted();
        let mut count = 0;
        for (intent, site, origin, host, has_cookie) in INTENTS.into_iter().flat_map(|intent| {
            SITES.into_iter().flat_map(move |site| {
                ORIGINS.into_iter().flat_map(move |origin| {
                    HOSTS.into_iter().flat_map(move |host| {
                        [false, true].map(|cookie| (intent, site, origin, host, cookie))
                    })
                })
            })
        }) {
            let facts = Facts {
                intent,
                site,
                origin,
                host,
                has_cookie,
            };
            let decision = decide(&facts, &trusted);
            let is_same_origin = [Values::One("same-origin"), Values::One("none")].contains(&site);
            let is_trusted = origin == Values::One("https://app.example.com");
            let is_own = origin == Values::One("https://example.com")
                && host == Values::One("example.com")
                && (site == Values::None || intent == Intent::WebSocket);
            let is_silent = site == Values::None && origin == Values::None;
            let is_tampered = [site, origin, host].contains(&Values::Several);
            let expected = if intent == Intent::Read {
                Ok(Decision::Pass)
            } else if is_tampered {
                Err(Refusal::Tampered)
            } else if is_same_origin || is_trusted || is_own {
                Ok(Decision::Pass)
            } else if is_silent {
                Ok(match has_cookie {
                    true => Decision::NeedsToken,
                    false => Decision::Pass,
                })
            } else if site == Values::None || intent == Intent::WebSocket && origin != Values::None
            {
                Err(Refusal::OtherOrigin)
            } else {
                Err(Refusal::OtherSite)
            };
            assert_eq!(decision, expected, "{facts:?}");
            count += 1;
        }
        assert_eq!(count, 3 * 9 * 7 * 4 * 2);
    }

    #[test]
    fn nothing_of_an_untrusted_site_passes() {
        for site in [
            Values::One("cross-site"),
            Values::One("same-site"),
            Values::None,
        ] {
            for origin in ["https://evil.example", "https://sub.example.com", "null"] {
                for (intent, has_cookie) in [
                    (Intent::Change, false),
                    (Intent::Change, true),
                    (Intent::WebSocket, false),
                    (Intent::WebSocket, true),
                ] {
                    let facts = Facts {
                        intent,
                        site,
                        origin: Values::One(origin),
                        host: Values::One("example.com"),
                        has_cookie,
                    };
                    assert!(decide(&facts, &trusted()).is_err(), "{facts:?}");
                }
            }
        }
    }

    #[test]
    fn equal_values_count_as_one_and_different_ones_as_tampering() {
        assert_eq!(Values::of([].into_iter()), Values::None);
        assert_eq!(Values::of(["a"].into_iter()), Values::One("a"));
        assert_eq!(Values::of(["a", "a", "a"].into_iter()), Values::One("a"));
        assert_eq!(Values::of(["a", "a", "b"].into_iter()), Values::Several);
        assert_eq!(Values::of(["", "a"].into_iter()), Values::Several);
    }

    proptest! {
        #[test]
        fn junk_never_panics_and_passes_only_by_being_right(
            site: String, origin: String, host: String, has_cookie: bool,
        ) {
            let facts = Facts {
                intent: Intent::Change,
                site: Values::One(&site),
                origin: Values::One(&origin),
                host: Values::One(&host),
                has_cookie,
            };
            let is_right = ["none", "same-origin"].contains(&&*site);
            prop_assert_eq!(decide(&facts, &trusted()).is_ok(), is_right);
            let facts = Facts { site: Values::None, ..facts };
            let is_right = Origin::parse(&origin).is_some_and(|origin| origin.is_of(&host));
            prop_assert_eq!(decide(&facts, &trusted()).is_ok(), is_right);
        }
    }
}
