//! The CSRF token in forms: proof of having read a page of this session (OWASP, "Cross-Site Request Forgery
//! Prevention").

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::RequestSession;
use crate::error::Error;
use crate::random::fill;
use crate::schema::SessionData;
use crate::token::Token;

const LEN: usize = 16;

/// Separates this digest from those that a store keeps.
const DOMAIN: &[u8] = b"rocket_typed_session csrf 1\0";

/// Hides the token in a page. Each page gets another mask, so compression does not leak the token (BREACH).
#[derive(Clone)]
pub struct CsrfMask([u8; LEN]);

impl CsrfMask {
    /// The length of a masked token's text.
    pub const TEXT_LEN: usize = (2 * LEN * 8).div_ceil(6);

    /// A mask for one page. Fails without randomness.
    pub fn generate() -> Result<Self, Error> {
        let mut mask = [0; LEN];
        fill(&mut mask)?;
        Ok(Self(mask))
    }

    fn hide(&self, digest: [u8; LEN]) -> String {
        URL_SAFE_NO_PAD.encode([self.0, xor(self.0, digest)].as_flattened())
    }
}

impl fmt::Debug for CsrfMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CsrfMask(…)")
    }
}

impl<T: SessionData> RequestSession<T> {
    /// The masked token; `None` if nothing is stored.
    #[must_use]
    pub fn csrf_token(&self, mask: &CsrfMask) -> Option<String> {
        let live = self.live()?;
        Some(mask.hide(digest(&live.token, T::SCHEMA.name())))
    }

    /// Accepts the session's token under any mask.
    #[must_use]
    pub fn accepts_csrf(&self, text: &str) -> bool {
        let live = self.live();
        live.is_some_and(|live| matches(&live.token, T::SCHEMA.name(), text.as_bytes()))
    }
}

/// Changes with any part of the token, and needs no storage.
fn digest(token: &Token, name: &str) -> [u8; LEN] {
    let hash = Sha256::new()
        .chain_update(DOMAIN)
        .chain_update(name)
        // No name contains this byte.
        .chain_update(b"\0")
        .chain_update(token.expose())
        .finalize();
    let mut digest = [0; LEN];
    digest.copy_from_slice(&hash[..LEN]);
    digest
}

fn matches(token: &Token, name: &str, text: &[u8]) -> bool {
    unhide(text).is_some_and(|found| found.ct_eq(&digest(token, name)).into())
}

/// Strict, like the token: exact length, alphabet and last bits.
fn unhide(text: &[u8]) -> Option<[u8; LEN]> {
    if text.len() != CsrfMask::TEXT_LEN {
        return None;
    }
    let mut bytes = [0; 2 * LEN];
    let written = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
    let (mask, hidden) = bytes[..written].split_at_checked(LEN)?;
    Some(xor(mask.try_into().ok()?, hidden.try_into().ok()?))
}

fn xor(mut one: [u8; LEN], other: [u8; LEN]) -> [u8; LEN] {
    for (one, other) in one.iter_mut().zip(other) {
        *one ^= other;
    }
    one
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(token: &Token, name: &str) -> String {
        CsrfMask::generate().unwrap().hide(digest(token, name))
    }

    fn accepts(token: &Token, text: &str) -> bool {
        matches(token, "visit", text.as_bytes())
    }

    #[test]
    fn a_token_is_accepted_under_every_mask_and_shown_differently_each_time() {
        let token = Token::generate().unwrap();
        let (one, other) = (shown(&token, "visit"), shown(&token, "visit"));
        assert_ne!(one, other);
        assert_eq!(one.len(), CsrfMask::TEXT_LEN);
        assert!(accepts(&token, &one) && accepts(&token, &other));
    }

    #[test]
    fn it_is_of_one_session_one_type_and_one_token() {
        let token = Token::generate().unwrap();
        for other in [
            Token::generate().unwrap(),
            token.rotate().unwrap(),
            token.log_in().unwrap(),
        ] {
            assert!(!accepts(&other, &shown(&token, "visit")));
            assert!(!accepts(&token, &shown(&other, "visit")));
        }
        for name in ["visi", "visit0", "", "basket"] {
            assert!(!accepts(&token, &shown(&token, name)), "{name}");
        }
    }

    #[test]
    fn every_byte_counts() {
        let token = Token::generate().unwrap();
        let good = shown(&token, "visit");
        for index in 0..good.len() {
            for byte in (0..=u8::MAX).filter(|byte| *byte != good.as_bytes()[index]) {
                let mut text = good.clone().into_bytes();
                text[index] = byte;
                assert!(!matches(&token, "visit", &text), "{byte} at {index}");
            }
            assert!(!accepts(&token, &good[..index]));
            assert!(!accepts(&token, &good[index + 1..]));
        }
        for longer in [format!("{good}="), format!("{good}A"), format!(" {good}")] {
            assert!(!accepts(&token, &longer), "{longer}");
        }
    }

    #[test]
    fn it_is_not_a_digest_that_a_store_keeps() {
        let token = Token::generate().unwrap();
        let stored = token.digests().to_bytes();
        let digest = digest(&token, "visit");
        assert!(stored.windows(LEN).all(|part| part != digest));
        assert!(!matches(
            &token,
            "visit",
            URL_SAFE_NO_PAD.encode(stored).as_bytes()
        ));
    }

    proptest! {
        #[test]
        fn junk_is_refused_and_never_panics(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(!matches(&Token::generate().unwrap(), "visit", &text));
        }
    }
}
