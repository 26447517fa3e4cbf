//! A session type's options. The macro and the configuration both call [`Options::check`].

use std::panic::catch_unwind;
use std::time::Duration;

use humantime::{DurationError, format_duration};
use ubyte::ByteUnit;

use crate::expiry::Lifetime;
use crate::users::Limit;
pub use crate::users::WhenFull;

/// The options that only the configuration has.
pub const OF_CONFIGURATION: &[&str] = &[
    "capacity",
    "prefix",
    "timeout",
    "near",
    "on_start",
    "encryption_keys",
];

macro_rules! options {
    ($($(#[$docs:meta])* $name:ident: $type:ty),* $(,)?) => {
        /// The declared options; `None` is the default.
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        #[non_exhaustive]
        pub struct Options<'a> {
            $($(#[$docs])* pub $name: Option<$type>,)*
        }

        impl<'a> Options<'a> {
            /// The names of all options.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

            /// Every option at its default.
            #[must_use]
            pub const fn new() -> Self {
                Self { $($name: None),* }
            }

            $(
                #[doc = concat!("The same options with `", stringify!($name), "` declared.")]
                #[must_use]
                pub const fn $name(self, $name: $type) -> Self {
                    Self { $name: Some($name), ..self }
                }
            )*

            /// These options, with `others` where undeclared.
            #[must_use]
            pub fn or(self, others: Self) -> Self {
                Self { $($name: self.$name.or(others.$name)),* }
            }
        }
    };
}

options! {
    /// The cookie's name.
    cookie: &'a str,
    /// Default: 30 minutes.
    idle: Duration,
    /// Default: 12 hours.
    absolute: Duration,
    /// Default: a tenth of `idle`.
    touch: Duration,
    /// Default: 30 days.
    remember: Duration,
    /// In bytes. Default: 1 MiB.
    max_size: usize,
    /// Default: `Lax`.
    same_site: SameSite,
    /// Default: on, except in the debug profile without TLS.
    secure: bool,
    /// Default: `/`.
    path: &'a str,
    /// Default: only the host that sets it.
    domain: &'a str,
    /// Default: no.
    persistent: bool,
    /// Default: yes.
    indexed: bool,
    /// Default: no.
    devices: bool,
    /// Default: any number.
    max_sessions: usize,
    /// Default: the oldest session ends.
    when_full: WhenFull,
}

/// What is wrong with an option.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Fault {
    /// The option's name.
    pub option: &'static str,
    /// The undeclared option whose default it contradicts, if any.
    pub undeclared: Option<&'static str>,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl Fault {
    fn new(option: &'static str, message: impl Into<String>) -> Self {
        Self {
            option,
            undeclared: None,
            message: message.into(),
        }
    }

    fn beside(self, name: &'static str, other: Option<impl Copy>) -> Self {
        let undeclared = other.is_none().then_some(name);
        Self { undeclared, ..self }
    }
}

impl Options<'_> {
    /// The default of `remember`.
    pub const REMEMBER: Duration = Duration::from_secs(30 * 24 * 60 * 60);

    /// The default of `max_size`.
    pub const MAX_SIZE: usize = 1 << 20;

    /// What is wrong with these options. Undeclared ones have their defaults.
    #[must_use]
    pub fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        faults.extend(self.check_name());
        faults.extend(self.check_prefix());
        faults.extend(self.check_same_site());
        faults.extend(self.check_path());
        faults.extend(self.check_domain());
        faults.extend(self.check_lifetimes());
        faults.extend(self.check_users());
        faults.extend((self.max_size == Some(0)).then(|| {
            let message = "no session fits into nothing; write `max_size = \"1MiB\"`";
            Fault::new("max_size", message)
        }));
        faults
    }

    /// The limit per user, if any.
    #[must_use]
    pub fn limit(&self) -> Option<Limit> {
        let when_full = self.when_full.unwrap_or(WhenFull::EndOldest);
        let max = self.max_sessions?;
        Some(Limit::new(max, when_full))
    }

    /// The lifetime. Undeclared options have their defaults.
    #[must_use]
    pub fn lifetime(&self) -> Lifetime {
        let default = Lifetime::default();
        let mut lifetime = Lifetime::new(
            self.idle.unwrap_or(default.idle_timeout),
            self.absolute.unwrap_or(default.absolute_timeout),
        );
        lifetime.touch_interval = self.touch.unwrap_or(lifetime.touch_interval);
        lifetime.persistent = self.persistent.unwrap_or(default.persistent);
        lifetime
    }

    /// A token (RFC 6265, 4.1.1). Rocket percent-encodes other bytes, so the name would come back changed.
    fn check_name(&self) -> Option<Fault> {
        let survives = |byte: u8| byte.is_ascii_alphanumeric() || b"!$&'*+-._~".contains(&byte);
        let name = self.cookie?;
        let message = if Prefix::strip(name).is_empty() {
            "a cookie needs a name; write `cookie = \"id\"`".into()
        } else if !name.bytes().all(survives) {
            format!(
                "`{name}` cannot be a cookie's name, because it is percent-encoded on its way; \
                 write letters, digits, `-` and `_`"
            )
        } else {
            return None;
        };
        Some(Fault::new("cookie", message))
    }

    /// Browsers drop a cookie that breaks its prefix's promise (RFC 6265bis, 4.1.3).
    fn check_prefix(&self) -> Vec<Fault> {
        let name = self.cookie.unwrap_or_default();
        let prefix = Prefix::of(name);
        let is_host = prefix == Some(Prefix::Host);
        let broken = [
            (
                prefix.is_some() && self.secure == Some(false),
                "secure",
                "that is not secure; remove `secure = false`, or the prefix",
            ),
            (
                is_host && self.path.is_some_and(|path| path != "/"),
                "path",
                "with any path but \"/\"; remove `path`, or the prefix `__Host-`",
            ),
            (
                is_host && self.domain.is_some(),
                "domain",
                "with a domain; remove `domain`, or write `__Secure-` instead of `__Host-`",
            ),
        ];
        let broken = broken.into_iter().filter(|(is_broken, ..)| *is_broken);
        let fault = |(_, option, why)| {
            Fault::new(option, format!("browsers refuse a cookie `{name}` {why}"))
        };
        broken.map(fault).collect()
    }

    /// `secure` is off by default in the debug profile without TLS, where a browser would drop the cookie.
    fn check_same_site(&self) -> Option<Fault> {
        let is_refused = self.same_site == Some(SameSite::None) && self.secure != Some(true);
        let message = "browsers refuse `SameSite=None` without `Secure`, also while you develop; \
                       declare `secure = true` too";
        is_refused.then(|| Fault::new("same_site", message).beside("secure", self.secure))
    }

    /// Browsers ignore any other path (RFC 6265, 5.2.4).
    fn check_path(&self) -> Option<Fault> {
        let is_allowed = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b';';
        let path = self.path?;
        let fix = if !path.starts_with('/') {
            "begin it with `/`, like `path = \"/\"`"
        } else if !path.bytes().all(is_allowed) {
            "write `path = \"/\"`, or another in ASCII without `;` and control characters"
        } else {
            return None;
        };
        let message = format!("`{path}` is not a cookie path; {fix}");
        Some(Fault::new("path", message))
    }

    fn check_domain(&self) -> Option<Fault> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_allowed);
        let domain = self.domain?;
        let message = if domain.is_empty() {
            "an empty domain says nothing; remove `domain` to keep the cookie on this host".into()
        } else if !domain.split('.').all(is_label) {
            format!(
                "`{domain}` is not a domain; write the host alone, like \
                 `domain = \"example.com\"`, without scheme, port and path"
            )
        } else {
            return None;
        };
        Some(Fault::new("domain", message))
    }

    fn check_users(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.max_sessions == Some(0) {
            let message = "nobody could log in; write `max_sessions = 1` or more";
            faults.push(Fault::new("max_sessions", message));
        }
        if self.when_full.is_some() && self.max_sessions.is_none() {
            let message = "`when_full` requires a limit; declare `max_sessions` too";
            faults.push(Fault::new("when_full", message).beside("max_sessions", self.max_sessions));
        }
        let not_indexed = self.indexed == Some(false);
        for (option, is_declared) in [
            ("max_sessions", self.max_sessions.is_some()),
            ("devices", self.devices == Some(true)),
        ] {
            if not_indexed && is_declared {
                let message = format!(
                    "`{option}` requires the index of users; remove `indexed = false`, or `{option}`"
                );
                faults.push(Fault::new(option, message));
            }
        }
        faults
    }

    fn check_lifetimes(&self) -> Vec<Fault> {
        let declared = [
            ("idle", self.idle),
            ("absolute", self.absolute),
            ("touch", self.touch),
            ("remember", self.remember),
        ];
        let is_short = |lifetime: Duration| lifetime < Duration::from_millis(1);
        let short = declared
            .iter()
            .filter(|(_, lifetime)| lifetime.is_some_and(is_short));
        let short = short.map(|(option, _)| {
            let message = format!("`{option}` is too short; write `{option} = \"1ms\"` or more");
            Fault::new(option, message)
        });
        let mut faults: Vec<_> = short.collect();
        if !faults.is_empty() {
            return faults;
        }
        let lifetime = self.lifetime();
        let say = |applies: Duration, declared: Option<Duration>| {
            let by_default = if declared.is_none() {
                " by default"
            } else {
                ""
            };
            format!("{}{by_default}", format_duration(applies))
        };
        let idle = say(lifetime.idle_timeout, self.idle);
        let absolute = say(lifetime.absolute_timeout, self.absolute);
        if self.touch.is_some() && lifetime.touch_interval > lifetime.idle_timeout {
            let message = format!(
                "`touch` is longer than `idle` ({idle}), so reading never keeps a session alive; \
                 write a shorter `touch`"
            );
            faults.push(Fault::new("touch", message).beside("idle", self.idle));
        }
        if lifetime.idle_timeout > lifetime.absolute_timeout {
            faults.push(if self.idle.is_some() {
                let message = format!(
                    "`idle` is longer than `absolute` ({absolute}), so it never ends a session; \
                     write a shorter `idle` or a longer `absolute`"
                );
                Fault::new("idle", message).beside("absolute", self.absolute)
            } else {
                let message = format!(
                    "`absolute` is shorter than `idle` ({idle}); \
                     write a shorter `idle` too, or a longer `absolute`"
                );
                Fault::new("absolute", message).beside("idle", self.idle)
            });
        }
        faults
    }
}

/// The prefix of a cookie's name. Browsers ignore its case (RFC 6265bis, 5.7).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "RFC 6265bis defines exactly these")]
pub enum Prefix {
    /// `__Host-`: secure, for this host and all its paths.
    Host,
    /// `__Secure-`: secure.
    Secure,
}

impl Prefix {
    /// The prefix of this name, if any.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        [Self::Host, Self::Secure].into_iter().find(|prefix| {
            let start = name.get(..prefix.text().len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.text()))
        })
    }

    /// The name without its prefix.
    #[must_use]
    pub fn strip(name: &str) -> &str {
        &name[Self::of(name).map_or(0, |prefix| prefix.text().len())..]
    }

    /// Its text.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Host => "__Host-",
            Self::Secure => "__Secure-",
        }
    }
}

/// Which requests from other sites carry the cookie (RFC 6265bis, 5.6.7).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "RFC 6265bis defines exactly these")]
pub enum SameSite {
    /// Only when the visitor follows a link.
    Lax,
    /// All. Requires `Secure`.
    None,
    /// None.
    Strict,
}

/// Reads a `when_full`, or says what to write instead.
pub fn parse_when_full(text: &str) -> Result<WhenFull, String> {
    match text {
        "end_oldest" => Ok(WhenFull::EndOldest),
        "refuse" => Ok(WhenFull::Refuse),
        _ => Err(format!(
            "\"{text}\" is not a value of `when_full`; write \"end_oldest\" or \"refuse\""
        )),
    }
}

/// Reads a `same_site`, or says what to write instead.
pub fn parse_same_site(text: &str) -> Result<SameSite, String> {
    match text {
        "Lax" => Ok(SameSite::Lax),
        "None" => Ok(SameSite::None),
        "Strict" => Ok(SameSite::Strict),
        _ => Err(format!(
            "\"{text}\" is not a value of `same_site`; write \"Lax\", \"Strict\" or \"None\""
        )),
    }
}

/// Reads a duration like `"1h 30m"`, or says what to write instead.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    // humantime 2.4 panics on "18446744073709551615s 1000ms".
    let reason = match catch_unwind(|| humantime::parse_duration(text)) {
        Ok(Ok(duration)) => return Ok(duration),
        Ok(Err(DurationError::NumberOverflow)) | Err(_) => "out of range".into(),
        Ok(Err(DurationError::UnknownUnit { unit, .. })) if !unit.is_empty() => {
            format!("unknown unit `{unit}`")
        }
        Ok(Err(error)) => error.to_string(),
    };
    Err(format!(
        "\"{text}\" is not a duration ({reason}); write one like \"90s\", \"30m\" or \"12h\""
    ))
}

/// Reads a number of bytes like `"64KiB"`, or says what to write instead.
pub fn parse_size(text: &str) -> Result<usize, String> {
    let size: Result<ByteUnit, _> = text.parse();
    let size = size.map_err(|error| error.to_string());
    let size = size
        .and_then(|size| usize::try_from(size.as_u64()).map_err(|_| String::from("out of range")));
    size.map_err(|reason| {
        format!("\"{text}\" is not a size ({reason}); write one like \"64KiB\" or \"1MiB\"")
    })
}

#[cfg(test)]
mod tests;
