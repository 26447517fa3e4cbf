//! Merges configuration and declaration into checked [`Settings`].

use std::sync::Arc;
use std::time::Duration;

use rocket::Config;
use rocket::figment::Figment;
use rocket::figment::value::{Dict, Value};
use serde::de::DeserializeOwned;
use session_core::engine::Engine;
use session_core::expiry::Lifetime;
use session_core::nearest::{advice, nearest};
use session_core::options::{OF_CONFIGURATION, Options, Prefix, SameSite};
use session_core::options::{parse_duration, parse_same_site, parse_size, parse_when_full};
use session_core::schema::SessionData;
use session_core::seal::{Keyring, parse_key};
use session_core::store::Store;
#[cfg(feature = "redis")]
use session_core::store::redis::RedisStore;
use session_core::users::Limit;
use tracing::warn;

use crate::cookie::CookieSettings;
#[cfg(feature = "redis")]
use crate::database::config::RedisConfig;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Settings {
    pub(crate) cookie: CookieSettings,
    pub(crate) lifetime: Lifetime,
    pub(crate) remember: Duration,
    pub(crate) max_size: usize,
    pub(crate) indexed: bool,
    pub(crate) devices: bool,
    pub(crate) limit: Option<Limit>,
    pub(crate) capacity: Option<usize>,
    pub(crate) prefix: Option<String>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) fails_on_start: bool,
    pub(crate) near: Option<Duration>,
}

pub(crate) const DATABASE: &str = "databases.sessions";

const ENCRYPTION_KEYS: &str = "encryption_keys";

/// `cookie` is missing: no two types may share one.
const OF_ALL: &[&str] = &[
    "idle",
    "absolute",
    "touch",
    "remember",
    "persistent",
    "max_size",
    "capacity",
    "prefix",
    "timeout",
    "near",
    "on_start",
    ENCRYPTION_KEYS,
];

const MAX_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// Half of it must exceed a round trip.
const MIN_NEAR: Duration = Duration::from_millis(10);

/// A logout must not go unnoticed for longer.
const MAX_NEAR: Duration = Duration::from_secs(60);

impl Settings {
    pub(crate) fn engine<T: SessionData>(&self, store: Arc<dyn Store>) -> Engine<T> {
        let engine = Engine::new(store, self.lifetime)
            .remember(self.remember)
            .max_size(self.max_size)
            .limit(self.limit);
        match self.indexed {
            true => engine,
            false => engine.not_indexed(),
        }
    }

    #[cfg(feature = "redis")]
    pub(crate) fn redis_store(&self, config: &RedisConfig) -> Result<RedisStore, String> {
        let mut store = config.store()?;
        if let Some(prefix) = &self.prefix {
            store = store.prefix(prefix);
        }
        if let Some(timeout) = self.timeout {
            store = store.timeout(timeout);
        }
        if let Some(near) = self.near {
            store = store.near_cache(near);
        }
        Ok(store)
    }

    /// A type's own table wins, then the table for all types, then the declaration.
    pub(crate) fn read(
        figment: &Figment,
        name: &str,
        declared: &Options<'static>,
    ) -> Result<Self, String> {
        let keys = Keys { figment, name };
        keys.check()?;
        let text = |option| keys.read(option, |text: String| Ok(text));
        let duration = |option| keys.read(option, |text: String| parse_duration(&text));
        let switch = |option| keys.read(option, |switch: bool| Ok(switch));
        let (cookie, path, domain) = (text("cookie")?, text("path")?, text("domain")?);
        let mut options = Options::new();
        options.cookie = cookie.as_deref();
        options.idle = duration("idle")?;
        options.absolute = duration("absolute")?;
        options.touch = duration("touch")?;
        options.remember = duration("remember")?;
        options.max_size = keys.read("max_size", |text: String| parse_size(&text))?;
        options.same_site = keys.read("same_site", |text: String| parse_same_site(&text))?;
        options.secure = switch("secure")?;
        options.path = path.as_deref();
        options.domain = domain.as_deref();
        options.persistent = switch("persistent")?;
        options.indexed = switch("indexed")?;
        options.devices = switch("devices")?;
        options.max_sessions = keys.read("max_sessions", |number: usize| Ok(number))?;
        options.when_full = keys.read("when_full", |text: String| parse_when_full(&text))?;
        let options = options.or(*declared);
        if let Some(fault) = options.check().first() {
            let (key, message) = (keys.own(fault.option), fault.message.as_str());
            return Err(format!(
                "`{key}`: {message}. Configure it, or declare it on the struct"
            ));
        }

        let capacity = keys.read("capacity", |capacity| match capacity {
            0 => Err("must be at least 1; 100000 is the default".into()),
            _ => Ok(capacity),
        })?;
        let timeout = keys.read("timeout", |text: String| {
            let timeout = parse_duration(&text)?;
            if timeout < Duration::from_millis(1) {
                return Err("is too short; write `timeout = \"1ms\"` or more".into());
            }
            if timeout > MAX_TIMEOUT {
                return Err("must be an hour at most; \"2s\" is the default".into());
            }
            Ok(timeout)
        })?;
        let near = keys.read("near", |text: String| {
            let near = parse_duration(&text)?;
            if near < MIN_NEAR || near > MAX_NEAR {
                return Err("must be between 10ms and 1min; write `near = \"1s\"`".into());
            }
            Ok(near)
        })?;
        let fails_on_start = keys.read("on_start", |text: String| match &*text {
            "fail" => Ok(true),
            "warn" => Ok(false),
            _ => Err("must be \"fail\" or \"warn\"; \"warn\" is the default".into()),
        })?;
        // Browsers drop `Secure` cookies that come over plain HTTP, so debugging without TLS would keep
        // no session. The configuration decides this, never a request's headers.
        let tls = Config::try_from(figment).is_ok_and(|config| config.tls_enabled());
        let debugging = figment.profile() == Config::DEBUG_PROFILE && !tls;
        Ok(Self {
            cookie: cookie_settings(&options, debugging),
            lifetime: options.lifetime(),
            remember: options.remember.unwrap_or(Options::REMEMBER),
            max_size: options.max_size.unwrap_or(Options::MAX_SIZE),
            indexed: options.indexed.unwrap_or(true),
            devices: options.devices.unwrap_or(false),
            limit: options.limit(),
            capacity,
            prefix: text("prefix")?,
            timeout,
            fails_on_start: fails_on_start.unwrap_or(false),
            near,
        })
    }
}

/// An error repeats no secret.
pub(crate) fn keyring(figment: &Figment, name: &str) -> Result<Option<Keyring>, String> {
    let keys = Keys { figment, name };
    let configured = keys.read(ENCRYPTION_KEYS, |texts: Vec<String>| {
        let keys = texts.iter().map(|text| parse_key(text));
        keys.collect::<Result<Vec<_>, _>>()
    })?;
    let materials = match configured {
        Some(materials) => materials,
        None => secret_key(figment)?.into_iter().collect(),
    };
    let keyring = Keyring::new(materials.iter().map(Vec::as_slice));
    if keyring.is_some() {
        return Ok(keyring);
    }
    let advice = format!(
        "there is no key to encrypt with; set `sessions.{ENCRYPTION_KEYS} = [\"…\"]`, or Rocket's \
         `secret_key`, to what `openssl rand -base64 32` prints"
    );
    if figment.profile() != Config::DEBUG_PROFILE {
        return Err(advice);
    }
    warn!("session type {name}: {advice}. Until then, what is encrypted is lost with each restart");
    Keyring::random().map_err(|error| error.to_string())
}

/// It may be text, or the bytes that Rocket made of it.
fn secret_key(figment: &Figment) -> Result<Option<Vec<u8>>, String> {
    let Ok(value) = figment.find_value(SECRET_KEY) else {
        return Ok(None);
    };
    let bytes = match value.as_str() {
        Some(text) => parse_key(text).map_err(|fault| format!("`{SECRET_KEY}`: {fault}"))?,
        None => {
            let bytes = value.deserialize::<Vec<u8>>();
            bytes.map_err(|_| format!("`{SECRET_KEY}` is not a key; write it in base64 or hex"))?
        }
    };
    // All zeros is how Rocket says that there is none.
    let is_none = bytes.iter().all(|byte| *byte == 0);
    Ok((!is_none).then_some(bytes))
}

/// Rocket has a constant for it only with its feature `secrets`.
const SECRET_KEY: &str = "secret_key";

fn cookie_settings(options: &Options<'_>, debugging: bool) -> CookieSettings {
    let path = options.path.unwrap_or("/");
    let secure = options.secure.unwrap_or(!debugging);
    let name = match options.cookie {
        // Not declared insecure, just debugging: browsers would refuse the prefix.
        Some(name) if !secure => Prefix::strip(name).to_owned(),
        Some(name) => name.to_owned(),
        None if !secure => "id".to_owned(),
        None if path == "/" && options.domain.is_none() => format!("{}id", Prefix::Host.text()),
        None => format!("{}id", Prefix::Secure.text()),
    };
    CookieSettings {
        name,
        path: path.to_owned(),
        domain: options.domain.map(str::to_owned),
        same_site: options.same_site.unwrap_or(SameSite::Lax),
        secure,
    }
}

struct Keys<'a> {
    figment: &'a Figment,
    name: &'a str,
}

impl Keys<'_> {
    fn check(&self) -> Result<(), String> {
        let table = format!("sessions.{}", self.name);
        let Ok(value) = self.figment.find_value(&table) else {
            return Ok(());
        };
        let Some(keys) = value.as_dict() else {
            return Err(format!(
                "`{table}` must be a table; write `[default.{table}]`"
            ));
        };
        let known = [Options::NAMES, OF_CONFIGURATION].concat();
        match keys.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(format!(
                "`{table}.{key}` is not an option; {}",
                advice(key, &known)
            )),
            None => Ok(()),
        }
    }

    /// This type's own value, or that for all types.
    fn read<V: DeserializeOwned, R>(
        &self,
        option: &str,
        parse: impl Fn(V) -> Result<R, String>,
    ) -> Result<Option<R>, String> {
        let own = self.own(option);
        let of_all = format!("sessions.{option}");
        // A table of this name belongs to the session type of this name.
        let is_value = |key: &String| {
            let value = self.figment.find_value(key);
            value.is_ok_and(|value| value.as_dict().is_none())
        };
        let key = if self.figment.contains(&own) {
            own
        } else if OF_ALL.contains(&option) && is_value(&of_all) {
            of_all
        } else {
            return Ok(None);
        };
        let value = self.figment.extract_inner(&key);
        // The error would show the value.
        let value = value.map_err(|error| match option {
            ENCRYPTION_KEYS => format!("`{key}` must be a list of keys: `[\"…\"]`"),
            _ => error.to_string(),
        })?;
        let parsed = parse(value).map_err(|fault| format!("`{key}`: {fault}"))?;
        Ok(Some(parsed))
    }

    fn own(&self, option: &str) -> String {
        format!("sessions.{}.{option}", self.name)
    }
}

/// Entries that configure none of these session types.
pub(crate) fn unknown_tables(figment: &Figment, names: &[&str]) -> Vec<String> {
    let tables = dict(figment, "sessions");
    let tables = tables.iter();
    let unknown = tables.filter_map(|(key, value)| {
        let is_table = value.as_dict().is_some();
        if is_table && !names.contains(&key.as_str()) {
            Some(format!(
                "`sessions.{key}` configures no session type; {}",
                advice(key, names)
            ))
        } else if !is_table && !OF_ALL.contains(&key.as_str()) {
            let known = [names, OF_ALL].concat();
            Some(format!(
                "`sessions.{key}` is neither a table of a session type nor an option for all types; {}",
                advice(key, &known)
            ))
        } else {
            None
        }
    });
    unknown.collect()
}

/// A database whose name is almost `sessions`.
pub(crate) fn misnamed_database(figment: &Figment) -> Option<String> {
    let databases = dict(figment, "databases");
    if databases.contains_key("sessions") {
        return None;
    }
    let mut keys = databases.keys();
    let key = keys.find(|key| nearest(key, &["sessions"]).is_some())?;
    Some(format!(
        "`databases.{key}` is not where sessions are stored; name it `databases.sessions`, or choose \
         with `.store(MemoryStore::new())` or `.database::<Db>()`"
    ))
}

fn dict(figment: &Figment, key: &str) -> Dict {
    let value = figment.find_value(key).ok();
    value.and_then(Value::into_dict).unwrap_or_default()
}

#[cfg(test)]
mod tests;
