//! `once`: exactly one request gets the value.

/// The newest value stored under the field's names.
pub(super) fn taken<'s>(
    name: &str,
    aliases: &[&str],
    get: impl Fn(&str) -> Option<&'s [u8]>,
) -> Option<&'s [u8]> {
    let mut names = aliases.iter().copied().chain([name]);
    names.find_map(get)
}
