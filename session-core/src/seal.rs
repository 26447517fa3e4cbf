//! Encryption at rest.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key as CipherKey, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;

use crate::error::Error;
use crate::random;
use crate::store::Key;

/// The first byte of a sealed value. No JSON begins with it.
const VERSION: u8 = 1;

/// Long enough for random nonces.
const NONCE_LEN: usize = 24;

/// The first key seals, all of them open.
///
/// A sealed value is the version, a random nonce, and the XChaCha20-Poly1305 ciphertext. It opens only for
/// the same session type, id and field.
pub struct Keyring(Vec<XChaCha20Poly1305>);

impl Keyring {
    /// `None` without keys. Each key goes through HKDF-SHA256, so a secret may have other uses too.
    #[must_use]
    pub fn new<'m>(materials: impl IntoIterator<Item = &'m [u8]>) -> Option<Self> {
        let ciphers = materials.into_iter().map(|material| {
            let mut key = CipherKey::default();
            let derived = Hkdf::<Sha256>::new(None, material)
                .expand(b"rocket_typed_session encrypted fields 1", &mut key);
            derived.ok().map(|()| XChaCha20Poly1305::new(&key))
        });
        let ciphers: Vec<_> = ciphers.collect::<Option<_>>()?;
        (!ciphers.is_empty()).then_some(Self(ciphers))
    }

    /// A ring with one random key.
    pub fn random() -> Result<Option<Self>, Error> {
        let mut material = [0; 32];
        random::fill(&mut material)?;
        Ok(Self::new([&material[..]]))
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Seals a value for this place.
    pub fn seal(&self, key: Key, name: &str, value: &[u8]) -> Result<Vec<u8>, Error> {
        let mut nonce = XNonce::default();
        random::fill(&mut nonce)?;
        let (msg, aad) = (value, &place(key, name)[..]);
        let sealed = self.0.first();
        let sealed = sealed.and_then(|cipher| cipher.encrypt(&nonce, Payload { msg, aad }).ok());
        let sealed = sealed.ok_or_else(|| Error::usage("a value cannot be encrypted"))?;
        Ok([&[VERSION], &nonce[..], &sealed].concat())
    }

    /// Opens a value; `None` if it has another place or another key.
    #[must_use]
    pub fn open(&self, key: Key, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (&VERSION, rest) = sealed.split_first()? else {
            return None;
        };
        let (nonce, msg) = rest.split_first_chunk::<NONCE_LEN>()?;
        let (nonce, aad) = (XNonce::from(*nonce), &place(key, name)[..]);
        let mut ciphers = self.0.iter();
        ciphers.find_map(|cipher| cipher.decrypt(&nonce, Payload { msg, aad }).ok())
    }
}

/// Unambiguous: a session type has no colon, and all ids have the same length.
fn place(key: Key, name: &str) -> Vec<u8> {
    format!("{key}:{name}").into_bytes()
}

/// Reads 32 bytes or more, in base64 or hex. The error does not repeat the text, which may be a secret.
pub fn parse_key(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text
        .bytes()
        .filter_map(|digit| Some(char::from(digit).to_digit(16)? as u8))
        .collect();
    let bytes = match digits.len() == text.len() && digits.len().is_multiple_of(2) {
        true => Some(
            digits
                .chunks(2)
                .map(|pair| pair[0] << 4 | pair[1])
                .collect(),
        ),
        false => STANDARD.decode(text).ok(),
    };
    bytes.filter(|bytes: &Vec<u8>| bytes.len() >= 32).ok_or_else(|| {
        "a key is 32 random bytes or more, in base64 or hex; make one with `openssl rand -base64 32`"
            .into()
    })
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::SessionId;

    fn ring(materials: &[u8]) -> Keyring {
        let materials: Vec<_> = materials.iter().map(|byte| [*byte; 32]).collect();
        Keyring::new(materials.iter().map(|material| &material[..])).unwrap()
    }

    #[test]
    fn a_value_opens_where_it_was_sealed_and_nowhere_else() {
        let ring = ring(&[1]);
        let id = |letter: &str| SessionId::parse(&letter.repeat(22)).unwrap();
        let here = Key::new("visit", id("A"));
        let sealed = ring.seal(here, "token", b"\"secret\"").unwrap();
        assert_eq!(ring.open(here, "token", &sealed).unwrap(), b"\"secret\"");
        for (key, name) in [
            (Key::new("visit", id("Q")), "token"),
            (Key::new("visits", id("A")), "token"),
            (Key::new("visi", id("A")), "token"),
            (here, "tokens"),
            (here, "other"),
            (here, "token:a"),
        ] {
            assert_eq!(ring.open(key, name, &sealed), None, "{key} {name}");
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(ring.open(here, "token", &changed), None, "{at}");
            assert_eq!(ring.open(here, "token", &sealed[..at]), None, "{at}");
        }
        assert_eq!(ring.open(here, "token", b"\"secret\""), None);
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let key = Key::new("visit", SessionId::MIN);
        let old = ring(&[1]).seal(key, "a", b"1").unwrap();
        let both = ring(&[2, 1]);
        assert_eq!(both.open(key, "a", &old).unwrap(), b"1");
        let new = both.seal(key, "a", b"1").unwrap();
        assert_eq!(ring(&[2]).open(key, "a", &new).unwrap(), b"1");
        assert_eq!(ring(&[1]).open(key, "a", &new), None);
        assert_eq!(ring(&[2]).open(key, "a", &old), None);
    }

    /// A later version must open what this one sealed.
    #[test]
    fn the_sealed_form_is_pinned() {
        let sealed = "ASxbHXXOuiwwf0+V5sKnlS5ZeOfv5FKxr/cz0AqqlJ5mmYyc6DepsSbpFPfGzHdcNg==";
        let key = Key::new("visit", SessionId::MIN);
        let opened = ring(&[7]).open(key, "token", &STANDARD.decode(sealed).unwrap());
        assert_eq!(opened.unwrap(), b"\"secret\"");
    }

    #[test]
    fn the_same_value_is_never_sealed_alike() {
        let key = Key::new("visit", SessionId::MIN);
        let seal = || ring(&[1]).seal(key, "a", b"1").unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn a_key_is_base64_or_hex_and_long_enough() {
        assert_eq!(parse_key(&"0f".repeat(32)).unwrap(), [15; 32]);
        assert_eq!(parse_key(&STANDARD.encode([1; 32])).unwrap(), [1; 32]);
        assert_eq!(parse_key(&STANDARD.encode([1; 64])).unwrap(), [1; 64]);
        for text in [
            "",
            "secret",
            &"0f".repeat(31),
            &STANDARD.encode([1; 31]),
            &"é".repeat(40),
        ] {
            assert!(parse_key(text).unwrap_err().contains("openssl"), "{text}");
        }
    }
}
