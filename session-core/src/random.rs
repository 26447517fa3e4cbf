//! The only source of randomness: the operating system (OWASP ASVS 11.5.1).

use crate::error::Error;

/// A random number below `bound`, uniform enough for a back-off.
pub fn random_below(bound: u64) -> Result<u64, Error> {
    let mut bytes = [0; 8];
    fill(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes) % bound.max(1))
}

/// There is no weaker fallback.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes)
        .map_err(|error| Error::store("the operating system gave no randomness").with_source(error))
}
