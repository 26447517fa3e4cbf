//! Declared options and `[default.sessions.<name>]` make one checked, immutable [`Settings`].

use std::panic::catch_unwind;
use std::time::Duration;

use rocket::Config;
use rocket::figment::Figment;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use session_core::expiry::Expiry;
use session_core::options::{Options, SameSite};

use crate::cookie::CookieSettings;

/// How the sessions of one type are kept, and how their cookie looks. Valid by construction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Settings {
    pub(crate) cookie: CookieSettings,
    pub(crate) expiry: Expiry,
    /// How many sessions the memory store holds; `None`: its default.
    pub(crate) capacity: Option<usize>,
    /// The prefix of all keys in Redis; `None`: the store's default.
    pub(crate) prefix: Option<String>,
    /// The deadline of an operation of the Redis store; `None`: the store's default.
    pub(crate) timeout: Option<Duration>,
}

/// The table `sessions.<name>` of the configuration: whatever is there wins over the declaration.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    cookie: Option<String>,
    #[serde(default, deserialize_with = "duration")]
    idle: Option<Duration>,
    #[serde(default, deserialize_with = "duration")]
    absolute: Option<Duration>,
    #[serde(default, deserialize_with = "duration")]
    touch: Option<Duration>,
    #[serde(default, deserialize_with = "same_site")]
    same_site: Option<SameSite>,
    secure: Option<bool>,
    path: Option<String>,
    domain: Option<String>,
    persistent: Option<bool>,
    capacity: Option<usize>,
    prefix: Option<String>,
    #[serde(default, deserialize_with = "duration")]
    timeout: Option<Duration>,
}

impl Settings {
    /// The settings of the session type `name`.
    ///
    /// # Errors
    ///
    /// What is wrong in words that name the key and the fix.
    pub(crate) fn read(figment: &Figment, name: &str, declared: &Options) -> Result<Self, String> {
        let key = format!("sessions.{name}");
        let table = match figment.contains(&key) {
            true => figment
                .extract_inner(&key)
                .map_err(|error| error.to_string())?,
            false => Table::default(),
        };
        // Browsers drop `Secure` cookies that come over plain HTTP, so while debugging without TLS
        // no session would be kept. Decided by configuration, never by a request's headers.
        let tls = Config::try_from(figment).is_ok_and(|config| config.tls_enabled());
        let debugging = figment.profile() == Config::DEBUG_PROFILE && !tls;
        Self::merge(table, declared, debugging).map_err(|Fault { option, fix }| {
            format!("`{key}.{option}`: {fix}; set it in `[default.{key}]` or on the struct")
        })
    }

    fn merge(table: Table, declared: &Options, debugging: bool) -> Result<Self, Fault> {
        let expiry = expiry(&table, declared)?;
        let cookie = cookie(&table, declared, debugging)?;
        let prefix = table.prefix;
        if table.capacity == Some(0) {
            return Err(Fault::new("capacity", "must be at least 1"));
        }
        at_least_a_millisecond("timeout", table.timeout)?;
        if table.timeout.is_some_and(|timeout| timeout > MAX_TIMEOUT) {
            return Err(Fault::new(
                "timeout",
                "must be an hour at most; 2s is the default",
            ));
        }
        Ok(Self {
            cookie,
            expiry,
            capacity: table.capacity,
            prefix,
            timeout: table.timeout,
        })
    }
}

/// Nobody waits longer for a page.
const MAX_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// What is wrong with an option.
#[derive(Debug)]
struct Fault {
    option: &'static str,
    fix: String,
}

impl Fault {
    fn new(option: &'static str, fix: impl Into<String>) -> Self {
        let fix = fix.into();
        Self { option, fix }
    }
}

fn expiry(table: &Table, declared: &Options) -> Result<Expiry, Fault> {
    let default = Expiry::default();
    let idle = table.idle.or(declared.idle).unwrap_or(default.idle_timeout);
    let absolute = table.absolute.or(declared.absolute);
    let absolute = absolute.unwrap_or(default.absolute_timeout);
    let mut expiry = Expiry::new(idle, absolute);
    if let Some(touch) = table.touch.or(declared.touch) {
        expiry.touch_interval = touch;
    }
    expiry.persistent = table.persistent.or(declared.persistent).unwrap_or(false);

    at_least_a_millisecond("idle", Some(idle))?;
    at_least_a_millisecond("absolute", Some(absolute))?;
    at_least_a_millisecond("touch", Some(expiry.touch_interval))?;
    let text = humantime::format_duration;
    if idle > absolute {
        return Err(Fault::new(
            "idle",
            format!(
                "{} is longer than the absolute lifetime of {}; make it shorter, or `absolute` longer",
                text(idle),
                text(absolute)
            ),
        ));
    }
    if expiry.touch_interval > idle {
        return Err(Fault::new(
            "touch",
            format!(
                "{} is longer than the idle time of {}, so a session in use would end; \
                 make it shorter",
                text(expiry.touch_interval),
                text(idle)
            ),
        ));
    }
    Ok(expiry)
}

fn at_least_a_millisecond(option: &'static str, duration: Option<Duration>) -> Result<(), Fault> {
    match duration {
        Some(duration) if duration < Duration::from_millis(1) => {
            Err(Fault::new(option, "must be a millisecond at least"))
        }
        Some(_) | None => Ok(()),
    }
}

const HOST: &str = "__Host-";
const SECURE: &str = "__Secure-";

fn cookie(table: &Table, declared: &Options, debugging: bool) -> Result<CookieSettings, Fault> {
    let path = table.path.as_deref().or(declared.path).unwrap_or("/");
    let domain = table.domain.as_deref().or(declared.domain);
    let same_site = table
        .same_site
        .or(declared.same_site)
        .unwrap_or(SameSite::Lax);
    let asked_secure = table.secure.or(declared.secure);
    let secure = asked_secure.unwrap_or(!debugging);
    let asked_name = table.cookie.as_deref().or(declared.cookie);
    let name = match asked_name {
        // Not asked to be insecure, just debugging: such a name would be refused by browsers.
        Some(name) if asked_secure.is_none() && debugging => {
            let prefix = [HOST, SECURE]
                .into_iter()
                .find(|prefix| has_prefix(name, prefix));
            name[prefix.map_or(0, str::len)..].to_owned()
        }
        Some(name) => name.to_owned(),
        None if !secure => "id".to_owned(),
        None if path == "/" && domain.is_none() => format!("{HOST}id"),
        None => format!("{SECURE}id"),
    };

    if !is_token(&name) {
        return Err(Fault::new(
            "cookie",
            "a cookie's name has letters, digits and !#$%&'*+-.^_`|~ only (RFC 6265, 4.1.1)",
        ));
    }
    if !path.starts_with('/') || !is_attribute(path) {
        return Err(Fault::new(
            "path",
            "must begin with `/`, without `;` and control characters; \"/\" is the whole site",
        ));
    }
    if domain.is_some_and(|domain| !is_domain(domain)) {
        return Err(Fault::new(
            "domain",
            "must be a host name like \"example.com\", without scheme, port and path",
        ));
    }
    if has_prefix(&name, HOST) && (path != "/" || domain.is_some() || !secure) {
        return Err(Fault::new(
            "cookie",
            "browsers refuse a `__Host-` cookie with a path other than \"/\", with a domain, or \
             without `secure`; remove those, or the prefix",
        ));
    }
    if has_prefix(&name, SECURE) && !secure {
        return Err(Fault::new(
            "cookie",
            "browsers refuse a `__Secure-` cookie without `secure`; set it, or remove the prefix",
        ));
    }
    if same_site == SameSite::None && !secure {
        return Err(Fault::new(
            "same_site",
            "browsers refuse `SameSite=None` without `secure`; set `secure = true` and use TLS, or \
             choose \"Lax\"",
        ));
    }
    Ok(CookieSettings {
        name,
        path: path.to_owned(),
        domain: domain.map(str::to_owned),
        same_site,
        secure,
    })
}

/// RFC 9110, 5.6.2.
fn is_token(name: &str) -> bool {
    let special = |byte| b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || special(byte))
}

fn is_attribute(value: &str) -> bool {
    value
        .bytes()
        .all(|byte| (b' '..=b'~').contains(&byte) && byte != b';')
}

fn is_domain(domain: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let mut labels = domain.split('.');
    labels.all(|label| !label.is_empty() && label.bytes().all(plain))
}

/// Browsers compare these prefixes in any case (RFC 6265bis, 5.7).
fn has_prefix(name: &str, prefix: &str) -> bool {
    let start = name.get(..prefix.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn duration<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(value)?;
    // Some sums overflow inside of it, which is a panic there.
    let parsed = catch_unwind(|| humantime::parse_duration(&text).ok());
    let duration = parsed.ok().flatten().ok_or_else(|| {
        D::Error::custom(format!(
            "\"{text}\" is no duration; write one like \"90s\", \"30m\" or \"12h\""
        ))
    })?;
    Ok(Some(duration))
}

fn same_site<'de, D: Deserializer<'de>>(value: D) -> Result<Option<SameSite>, D::Error> {
    match String::deserialize(value)?.as_str() {
        "Lax" => Ok(Some(SameSite::Lax)),
        "None" => Ok(Some(SameSite::None)),
        "Strict" => Ok(Some(SameSite::Strict)),
        other => Err(D::Error::custom(format!(
            "\"{other}\" is no SameSite; write \"Lax\", \"Strict\" or \"None\""
        ))),
    }
}

#[cfg(test)]
mod tests;
