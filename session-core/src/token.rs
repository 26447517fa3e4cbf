//! The token that a cookie carries: a public handle and a secret verifier.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::error::Error;
use crate::random::fill;

const ID_LEN: usize = 16;
const VERIFIER_LEN: usize = 24;
const TOKEN_LEN: usize = ID_LEN + VERIFIER_LEN;

/// What a cookie carries: base64url, without padding, of `selector (16 bytes) ‖ verifier (24
/// bytes)`, both from the operating system's random source (OWASP ASVS 7.2.3, 11.5.1).
///
/// The selector is the [`SessionId`]; the verifier is the secret, of which a store only ever sees
/// the SHA-256. Its `Debug` is redacted, and it has no `Display`: [`Token::expose`] is the one way
/// to the secret text.
#[derive(Clone)]
pub struct Token {
    id: SessionId,
    verifier: [u8; VERIFIER_LEN],
}

impl Token {
    /// The length of every token's text.
    pub const TEXT_LEN: usize = (TOKEN_LEN * 8).div_ceil(6);

    /// A new token, for a new session.
    ///
    /// # Errors
    ///
    /// If the operating system has no randomness to give. There is no weaker fallback.
    pub fn generate() -> Result<Self, Error> {
        let mut id = [0; ID_LEN];
        fill(&mut id)?;
        Self::with_id(SessionId(id))
    }

    /// A new token for the same session: the id stays, the secret is new.
    ///
    /// # Errors
    ///
    /// As [`Token::generate`].
    pub fn rotate(&self) -> Result<Self, Error> {
        Self::with_id(self.id)
    }

    fn with_id(id: SessionId) -> Result<Self, Error> {
        let mut verifier = [0; VERIFIER_LEN];
        fill(&mut verifier)?;
        Ok(Self { id, verifier })
    }

    /// Reads a token's text. Strict: exact length, base64url alphabet, canonical last bits;
    /// anything else is `None`, so that junk never costs a store call.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != Self::TEXT_LEN {
            return None;
        }
        let mut bytes = [0; TOKEN_LEN];
        let written = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        if written != TOKEN_LEN {
            return None;
        }
        let (id, verifier) = bytes.split_at(ID_LEN);
        Some(Self {
            id: SessionId(id.try_into().ok()?),
            verifier: verifier.try_into().ok()?,
        })
    }

    /// The text for the cookie: the credential itself. Never log it.
    #[must_use]
    pub fn expose(&self) -> String {
        let mut bytes = [0; TOKEN_LEN];
        bytes[..ID_LEN].copy_from_slice(&self.id.0);
        bytes[ID_LEN..].copy_from_slice(&self.verifier);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The public half.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// What a store keeps of the secret half.
    #[must_use]
    pub fn digest(&self) -> VerifierDigest {
        VerifierDigest(Sha256::digest(self.verifier).into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, …)", self.id)
    }
}

/// The public handle of a session: good for logs, lists and revoking; alone it opens nothing.
///
/// It stays the same for the whole life of a session, through every rotation of its token.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId([u8; ID_LEN]);

impl SessionId {
    /// The length of every id's text.
    pub const TEXT_LEN: usize = (ID_LEN * 8).div_ceil(6);

    /// The first id in order.
    pub(crate) const MIN: Self = Self([0; ID_LEN]);

    /// Reads what [`Display`](fmt::Display) wrote; `None` where it is anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != Self::TEXT_LEN {
            return None;
        }
        let mut bytes = [0; ID_LEN];
        let written = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (written == ID_LEN).then_some(Self(bytes))
    }
}

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

/// SHA-256 of a verifier. A store that leaks it gives nobody a session.
///
/// There is no `PartialEq`: [`VerifierDigest::matches`] compares in constant time.
#[derive(Clone, Copy)]
pub struct VerifierDigest([u8; Self::LEN]);

impl VerifierDigest {
    pub(crate) const LEN: usize = 32;

    pub(crate) const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Whether both are of one verifier, compared in constant time (OWASP ASVS 11.2.4).
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for VerifierDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifierDigest(…)")
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
        assert!(again.digest().matches(&token.digest()));
        assert_eq!(SessionId::parse(&token.id().to_string()), Some(token.id()));
    }

    #[test]
    fn rotation_keeps_the_id_and_changes_the_secret() {
        let token = Token::generate().unwrap();
        let rotated = token.rotate().unwrap();
        assert_eq!(rotated.id(), token.id());
        assert!(!rotated.digest().matches(&token.digest()));
    }

    #[test]
    fn debug_reveals_no_secret() {
        let token = Token::generate().unwrap();
        let secret = &token.expose()[SessionId::TEXT_LEN..];
        assert!(!format!("{token:?} {:?}", token.digest()).contains(secret));
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
            // Not canonical: the four bits beyond the last byte are not zero.
            format!("{}B", "A".repeat(Token::TEXT_LEN - 1)),
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
            let bytes = token.id.0.iter().chain(&token.verifier);
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
        fn parse_accepts_only_what_expose_writes(text in "[A-Za-z0-9_-]{54}") {
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
