//! Reads keys of the configuration.

use std::time::Duration;

use rocket::figment::Figment;
use rocket::figment::value::Value;
use rocket::figment::value::magic::RelativePathBuf;
use serde::de::DeserializeOwned;
use session_core::nearest::advice;
use session_core::options::parse_duration;

const MAX_TIMEOUT: Duration = Duration::from_secs(60 * 60);

const TEXT: &str = "must be a text, or `{ file = \"…\" }`, or `{ env = \"…\" }`";

pub(super) struct Keys<'f>(pub(super) &'f Figment);

impl Keys<'_> {
    pub(super) fn contains(&self, key: &str) -> bool {
        self.0.contains(key)
    }

    pub(super) fn check(&self, table: &str, known: &[&str]) -> Result<(), String> {
        let Ok(value) = (match table {
            "" => self.0.extract::<Value>(),
            table => self.0.find_value(table),
        }) else {
            return Ok(());
        };
        let keys = value
            .as_dict()
            .ok_or_else(|| format!("`{table}` must be a table"))?;
        match keys.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(format!(
                "`{key}` is not an option of it; {}",
                advice(key, known)
            )),
            None => Ok(()),
        }
    }

    /// A text may also be in a file or an environment variable.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, String> {
        let Ok(value) = self.0.find_value(key) else {
            return Ok(None);
        };
        let fault = |fault: &str| format!("`{key}`: {fault}");
        let Some(source) = value.as_dict() else {
            return match &value {
                Value::String(_, text) => Ok(Some(text.clone())),
                // Unquoted text in the environment may look like a number.
                Value::Num(_, number) => match (number.to_u128(), number.to_i128()) {
                    (Some(number), _) => Ok(Some(number.to_string())),
                    (_, Some(number)) => Ok(Some(number.to_string())),
                    _ => Err(fault(TEXT)),
                },
                _ => Err(fault(TEXT)),
            };
        };
        let words: Vec<_> = source.keys().map(String::as_str).collect();
        match words[..] {
            ["file"] => {
                let bytes = self.file(&format!("{key}.file"))?.unwrap_or_default();
                let text = String::from_utf8(bytes).map_err(|_| fault("the file is not text"))?;
                Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
            }
            ["env"] => {
                let name = source["env"].as_str().ok_or_else(|| fault(TEXT))?;
                let value = std::env::var(name);
                let value = value.map_err(|_| {
                    fault(&format!("the variable `{name}` is not in the environment"))
                })?;
                Ok(Some(value))
            }
            _ => Err(fault(TEXT)),
        }
    }

    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<String>>, String> {
        if !self.contains(key) {
            return Ok(None);
        }
        let texts: Vec<String> =
            self.inner(key, "must be a list of addresses: `[\"redis://…\"]`")?;
        match texts.is_empty() {
            true => Err(format!("`{key}` must name at least one")),
            false => Ok(Some(texts)),
        }
    }

    /// A relative path starts at the configuration file.
    pub(super) fn file(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        if !self.contains(key) {
            return Ok(None);
        }
        let path: RelativePathBuf = self.inner(key, "must be a path")?;
        let bytes = std::fs::read(path.relative());
        let bytes = bytes.map_err(|error| {
            let path = path.original().display();
            format!("`{key}`: the file `{path}` cannot be read: {error}")
        })?;
        Ok(Some(bytes))
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<usize>, String> {
        if !self.contains(key) {
            return Ok(None);
        }
        self.inner(key, "must be a number").map(Some)
    }

    pub(super) fn seconds(&self, key: &str) -> Result<Option<Duration>, String> {
        const WHAT: &str =
            "must be a time longer than zero and an hour at most: `5` (seconds), or \"500ms\"";
        let duration = match self.0.find_value(key) {
            Err(_) => return Ok(None),
            Ok(Value::String(_, text)) => parse_duration(&text).ok(),
            Ok(_) => Some(Duration::from_secs(self.inner(key, WHAT)?)),
        };
        let is_possible = |duration: &Duration| !duration.is_zero() && *duration <= MAX_TIMEOUT;
        let duration = duration.filter(is_possible);
        duration.map(Some).ok_or_else(|| format!("`{key}` {WHAT}"))
    }

    /// Figment's own error would show the value, which may be a secret.
    fn inner<V: DeserializeOwned>(&self, key: &str, what: &str) -> Result<V, String> {
        let value = self.0.extract_inner(key);
        value.map_err(|_| format!("`{key}` {what}"))
    }
}
