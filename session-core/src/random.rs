//! The only source of randomness: the operating system's (OWASP ASVS 11.5.1).

use crate::error::Error;

/// Fills `bytes`. There is no weaker fallback.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes)
        .map_err(|error| Error::store("the operating system gave no randomness").with_source(error))
}
