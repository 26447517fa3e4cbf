//! Secrets that may appear only in a cookie, a form, or a configuration.

use std::collections::{BTreeMap, BTreeSet};

use super::http::Jar;
use super::log::Log;
use super::redis::RedisServer;

/// The letters of a session's token: 16 bytes of public id and two secret halves of 16.
const TOKEN_LEN: usize = 64;

/// The secrets that a test has seen, in each form in which they could leak.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    forms: BTreeMap<Vec<u8>, &'static str>,
    tokens: BTreeSet<String>,
}

impl Secrets {
    pub(crate) fn text(&mut self, text: &str) {
        self.forms.insert(text.into(), "a password");
    }

    pub(crate) fn jar(&mut self, jar: &Jar) {
        for token in jar.values().filter(|value| value.len() == TOKEN_LEN) {
            self.tokens.insert(token.to_owned());
            // A letter has 6 bits. A letter at the end of a half is left out: it also encodes other bits.
            for half in [&token[22..42], &token[43..]] {
                self.forms.insert(half.into(), "a token's half");
            }
            for half in decode(token)[16..].chunks(16) {
                self.bytes(half, "a token's half, as bytes");
            }
        }
    }

    /// A form's token, and the digest that it masks.
    pub(crate) fn csrf_token(&mut self, text: &str) {
        self.forms.insert(text.into(), "a form's token");
        let bytes = decode(text);
        let (mask, hidden) = bytes.split_at(16);
        let digest = mask.iter().zip(hidden).map(|(mask, byte)| mask ^ byte);
        let digest: Vec<u8> = digest.collect();
        self.bytes(&digest, "what a form's token hides");
    }

    /// Raw, in hexadecimal, and as `Debug` shows them.
    fn bytes(&mut self, bytes: &[u8], what: &'static str) {
        let hex = bytes.iter().map(|byte| format!("{byte:02x}"));
        let debug = format!("{bytes:?}");
        self.forms.insert(bytes.into(), what);
        self.forms.insert(hex.collect::<String>().into(), what);
        self.forms
            .insert(debug.trim_matches(['[', ']']).into(), what);
    }

    pub(crate) fn tokens(&self) -> usize {
        self.tokens.len()
    }

    pub(crate) fn assert_not_in_redis(&self, redis: &RedisServer) {
        for entry in redis.dump_all() {
            for (form, what) in &self.forms {
                assert!(!entry.contains(form), "{what} in {}", entry.key);
            }
        }
    }

    pub(crate) fn assert_not_in_log(&self, log: &Log) {
        for line in log.lines() {
            let text = format!("{} {}", line.target, line.text);
            for (form, what) in &self.forms {
                let is_in = text.as_bytes().windows(form.len()).any(|part| part == form);
                assert!(!is_in, "{what}: {line:?}");
            }
        }
    }
}

/// base64url, as in cookies and forms.
fn decode(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits = 0_u32;
    let mut count = 0;
    let mut bytes = Vec::new();
    for symbol in text.bytes() {
        let value = alphabet.iter().position(|known| *known == symbol).unwrap();
        bits = bits << 6 | u32::try_from(value).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    bytes
}
