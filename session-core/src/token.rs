//! The token in a cookie: a public id and two secret halves.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::error::Error;
use crate::random::fill;

const ID_LEN: usize = 16;
const HALF_LEN: usize = 16;
const TOKEN_LEN: usize = ID_LEN + 2 * HALF_LEN;

/// The cookie's value: base64url of `id ‖ login half ‖ verifier`, 16 bytes each, all from the operating
/// system's random source (OWASP ASVS 7.2.3, 11.5.1).
///
/// The id finds the record and may be shown. The halves are secret: a store keeps 16 bytes of the SHA-256 of
/// each, and both must match. A login replaces both halves, a rotation only the verifier. So a token whose
/// login half matches belongs to the same login, and may end it.
///
/// Only [`Token::expose`] shows the text: `Debug` is redacted.
#[derive(Clone)]
pub struct Token {
    id: SessionId,
    login: [u8; HALF_LEN],
    verifier: [u8; HALF_LEN],
}

impl Token {
    /// The length of a token's text.
    pub const TEXT_LEN: usize = (TOKEN_LEN * 8).div_ceil(6);

    /// A token of a new session.
    ///
    /// # Errors
    ///
    /// If the operating system gives no randomness. There is no weaker fallback.
    pub fn generate() -> Result<Self, Error> {
        Self {
            id: SessionId(random()?),
            login: [0; HALF_LEN],
            verifier: [0; HALF_LEN],
        }
        .log_in()
    }

    /// A token of the same session for a new login: both halves are new.
    ///
    /// # Errors
    ///
    /// Like [`Token::generate`].
    pub fn log_in(&self) -> Result<Self, Error> {
        Self {
            login: random()?,
            ..*self
        }
        .rotate()
    }

    /// Another token of the same login: only the verifier is new.
    ///
    /// # Errors
    ///
    /// Like [`Token::generate`].
    pub fn rotate(&self) -> Result<Self, Error> {
        let verifier = random()?;
        Ok(Self { verifier, ..*self })
    }

    /// Reads a token's text: exact length and base64url alphabet. `None` for anything else, so junk costs no
    /// store call.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != Self::TEXT_LEN {
            return None;
        }
        let mut bytes = [0; TOKEN_LEN];
        let written = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let (id, halves) = bytes[..written].split_at_checked(ID_LEN)?;
        let (login, verifier) = halves.split_at_checked(HALF_LEN)?;
        Some(Self {
            id: SessionId(id.try_into().ok()?),
            login: login.try_into().ok()?,
            verifier: verifier.try_into().ok()?,
        })
    }

    /// The text for the cookie. Never log it.
    #[must_use]
    pub fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode([self.id.0, self.login, self.verifier].as_flattened())
    }

    /// The public id.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The digests that a store keeps of the secret halves.
    #[must_use]
    pub fn digests(&self) -> Digests {
        let mut digests = Digests::default();
        for (digest, half) in [
            (&mut digests.login, self.login),
            (&mut digests.verifier, self.verifier),
        ] {
            digest.copy_from_slice(&Sha256::digest(half)[..DIGEST_LEN]);
        }
        digests
    }
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, …)", self.id)
    }
}

/// The public handle of a session, for logs and lists: it opens nothing.
///
/// It stays the same when the token changes. When the user changes, another session begins, with another id.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId([u8; ID_LEN]);

impl SessionId {
    /// The length of an id's text.
    pub const TEXT_LEN: usize = (ID_LEN * 8).div_ceil(6);

    pub(crate) const MIN: Self = Self([0; ID_LEN]);

    /// Reads the output of [`Display`](fmt::Display); `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != Self::TEXT_LEN {
            return None;
        }
        let mut bytes = [0; ID_LEN];
        let written = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (written == ID_LEN).then_some(Self(bytes))
    }

    /// Ids are random, so these numbers are too.
    #[cfg(feature = "redis")]
    pub(crate) fn spread(self) -> usize {
        let (bytes, _) = self.0.split_first_chunk().unwrap_or((&[0; 4], &[]));
        u32::from_le_bytes(*bytes) as usize
    }
}

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(text: &str) -> Result<Self, InvalidSessionId> {
        Self::parse(text).ok_or(InvalidSessionId)
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// The error for a text that is not a [`SessionId`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "there is nothing to say about it"
)]
pub struct InvalidSessionId;

impl fmt::Display for InvalidSessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is not a session id, which has 22 letters, digits, `-` or `_`")
    }
}

impl std::error::Error for InvalidSessionId {}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; Self::TEXT_LEN];
        let written = URL_SAFE_NO_PAD.encode_slice(self.0, &mut text);
        let text = written.ok().and_then(|len| text.get(..len));
        f.write_str(
            text.and_then(|text| str::from_utf8(text).ok())
                .unwrap_or("?"),
        )
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

const DIGEST_LEN: usize = 16;

/// The first 16 bytes of the SHA-256 of each of a token's secret halves. They open no session.
///
/// There is no `PartialEq`: digests are compared in constant time (OWASP ASVS 11.2.4).
#[derive(Clone, Copy, Default)]
pub struct Digests {
    login: [u8; DIGEST_LEN],
    verifier: [u8; DIGEST_LEN],
}

impl Digests {
    pub(crate) const LEN: usize = 2 * DIGEST_LEN;

    pub(crate) fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        let (login, verifier) = bytes.split_at(DIGEST_LEN);
        let half = |bytes: &[u8]| bytes.try_into().unwrap_or_default();
        Self {
            login: half(login),
            verifier: half(verifier),
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes.copy_from_slice([self.login, self.verifier].as_flattened());
        bytes
    }

    #[cfg(feature = "redis")]
    pub(crate) fn login_bytes(&self) -> &[u8] {
        &self.login
    }

    /// Whether both belong to one token.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        (self.login.ct_eq(&other.login) & self.verifier.ct_eq(&other.verifier)).into()
    }

    /// Whether both belong to one login, even after a rotation.
    #[must_use]
    pub fn login_matches(&self, other: &Self) -> bool {
        self.login.ct_eq(&other.login).into()
    }
}

impl fmt::Debug for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digests(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_goes_round() {
        let token = Token::generate().unwrap();
        let text = token.expose();
        assert_eq!(text.len(), Token::TEXT_LEN);
        let again = Token::parse(text.as_bytes()).unwrap();
        assert_eq!(again.id(), token.id());
        assert!(again.digests().matches(&token.digests()));
        assert_eq!(token.id().to_string().parse(), Ok(token.id()));
        let json = serde_json::to_string(&token.id()).unwrap();
        assert_eq!(
            serde_json::from_str::<SessionId>(&json).unwrap(),
            token.id()
        );
        assert!(serde_json::from_str::<SessionId>("\"x\"").is_err());
    }

    #[test]
    fn a_rotation_keeps_id_and_login_and_a_login_only_the_id() {
        let token = Token::generate().unwrap();
        let rotated = token.rotate().unwrap();
        assert_eq!(rotated.id(), token.id());
        assert!(rotated.digests().login_matches(&token.digests()));
        assert!(!rotated.digests().matches(&token.digests()));
        let again = token.log_in().unwrap();
        assert_eq!(again.id(), token.id());
        assert!(!again.digests().login_matches(&token.digests()));
        assert_ne!(again.verifier, token.verifier);
    }

    #[test]
    fn both_halves_must_match() {
        let token = Token::generate().unwrap();
        let other_login = Token {
            login: [7; HALF_LEN],
            ..token
        };
        assert!(!other_login.digests().matches(&token.digests()));
        let digests = token.digests();
        assert!(Digests::from_bytes(digests.to_bytes()).matches(&digests));
    }

    #[test]
    fn debug_reveals_no_secret() {
        let token = Token::generate().unwrap();
        let secret = &token.expose()[SessionId::TEXT_LEN..];
        assert!(!format!("{token:?} {:?}", token.digests()).contains(secret));
    }

    #[test]
    fn junk_is_refused() {
        let good = "A".repeat(Token::TEXT_LEN);
        assert!(Token::parse(good.as_bytes()).is_some());
        for junk in [
            String::new(),
            "A".repeat(Token::TEXT_LEN - 1),
            "A".repeat(Token::TEXT_LEN + 1),
            "A".repeat(400_000),
            format!("{}=", "A".repeat(Token::TEXT_LEN - 1)),
            format!("{}+", "A".repeat(Token::TEXT_LEN - 1)),
            format!("{}/", "A".repeat(Token::TEXT_LEN - 1)),
            format!("../{}", "A".repeat(Token::TEXT_LEN - 3)),
            format!("{}\r\n", "A".repeat(Token::TEXT_LEN - 2)),
            format!("{}\0", "A".repeat(Token::TEXT_LEN - 1)),
            format!("%41{}", "A".repeat(Token::TEXT_LEN - 3)),
            format!("{}é", "A".repeat(Token::TEXT_LEN - 2)),
            format!("\"{}\"", "A".repeat(Token::TEXT_LEN - 2)),
        ] {
            assert!(Token::parse(junk.as_bytes()).is_none(), "{junk:?}");
        }
    }

    #[test]
    fn tokens_are_distinct_and_use_every_bit() {
        let mut ones = [0_u32; TOKEN_LEN * 8];
        let mut seen = std::collections::HashSet::new();
        let count = 20_000;
        for _ in 0..count {
            let token = Token::generate().unwrap();
            assert!(seen.insert(token.id()));
            let bytes = token.id.0.iter().chain(&token.login).chain(&token.verifier);
            for (index, byte) in bytes.enumerate() {
                for bit in 0..8 {
                    ones[index * 8 + bit] += u32::from(byte >> bit & 1);
                }
            }
        }
        // Eight standard deviations around one half.
        let (low, high) = (count * 47 / 100, count * 53 / 100);
        assert!(ones.iter().all(|ones| (low..high).contains(ones)));
    }

    proptest! {
        #[test]
        fn parse_accepts_only_what_expose_writes(text in "[A-Za-z0-9_-]{64}") {
            if let Some(token) = Token::parse(text.as_bytes()) {
                prop_assert_eq!(token.expose(), text);
            }
        }

        #[test]
        fn parse_never_panics(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Token::parse(&text);
        }
    }
}
