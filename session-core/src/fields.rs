//! Stored names and their encoded values.

use std::borrow::Cow;
use std::fmt;

/// The name under which a field is stored.
pub type Name = Cow<'static, str>;

/// The prefix of the names under which the deadlines of fields are stored. No field has another
/// name that begins with `@` than these and [`PARENT`], so a store may use the others for itself.
pub const DEADLINE_PREFIX: &str = "@until:";

/// The name under which a session says with which other session it ends.
pub const PARENT: &str = "@parent";

/// Stored names and their encoded values, sorted by name.
#[derive(Clone, Default, Eq, Hash, PartialEq)]
pub struct Fields(Vec<(Name, Vec<u8>)>);

impl Fields {
    /// No fields.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The encoded value of a field; `None` if it is absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let index = self.position(name).ok()?;
        self.0.get(index).map(|(_, value)| value.as_slice())
    }

    /// Sets the encoded value of a field.
    pub fn insert(&mut self, name: Name, value: Vec<u8>) {
        match self.position(&name) {
            Ok(index) => self.0[index].1 = value,
            Err(index) => self.0.insert(index, (name, value)),
        }
    }

    /// Makes a field absent.
    pub fn remove(&mut self, name: &str) {
        if let Ok(index) = self.position(name) {
            self.0.remove(index);
        }
    }

    /// Whether every field is absent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many fields are present.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// How many bytes the names and values take together.
    #[must_use]
    pub fn size(&self) -> usize {
        let sizes = self.iter().map(|(name, value)| name.len() + value.len());
        sizes.sum()
    }

    /// Removes fields, then sets others: one by one if they are few, otherwise in one pass over
    /// all, so that 50,000 entries cost milliseconds.
    pub(crate) fn edit(&mut self, mut removed: Vec<&str>, written: Vec<(Name, Vec<u8>)>) {
        const FEW: usize = 8;
        if removed.len() < FEW {
            removed.iter().for_each(|name| self.remove(name));
        } else {
            removed.sort_unstable();
            self.0
                .retain(|(name, _)| removed.binary_search(&&**name).is_err());
        }
        if written.len() < FEW {
            written
                .into_iter()
                .for_each(|(name, value)| self.insert(name, value));
        } else {
            self.extend(written);
        }
    }

    /// All present fields, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &[u8])> {
        self.0.iter().map(|(name, value)| (name, value.as_slice()))
    }

    /// The fields whose names begin with `prefix`: the rest of each name, and the value.
    pub fn with_prefix<'f>(&'f self, prefix: &'f str) -> impl Iterator<Item = (&'f str, &'f [u8])> {
        let start = self.0.partition_point(|(name, _)| **name < *prefix);
        self.0[start..]
            .iter()
            .map_while(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_slice())))
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(name))
    }
}

impl Extend<(Name, Vec<u8>)> for Fields {
    fn extend<I: IntoIterator<Item = (Name, Vec<u8>)>>(&mut self, fields: I) {
        *self = std::mem::take(&mut self.0)
            .into_iter()
            .chain(fields)
            .collect();
    }
}

impl FromIterator<(Name, Vec<u8>)> for Fields {
    fn from_iter<I: IntoIterator<Item = (Name, Vec<u8>)>>(fields: I) -> Self {
        let mut fields: Vec<_> = fields.into_iter().collect();
        // Stable, so that of two of one name the last one stays.
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        fields.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        Self(fields)
    }
}

/// Names and sizes only: the values are somebody's data.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in &self.0 {
            map.entry(name, &format_args!("{} bytes", value.len()));
        }
        map.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_of_one_name_the_last_one_stays() {
        let pair = |name: &'static str, value: u8| (Name::from(name), vec![value]);
        let mut fields = Fields::from_iter([pair("b", 1), pair("a", 2), pair("b", 3)]);
        assert_eq!(fields, Fields::from_iter([pair("a", 2), pair("b", 3)]));
        fields.extend([pair("b", 4), pair("c", 5), pair("b", 6)]);
        assert_eq!(
            fields,
            Fields::from_iter([pair("a", 2), pair("b", 6), pair("c", 5)])
        );
    }

    #[test]
    fn debug_shows_no_values() {
        let fields = Fields::from_iter([("user".into(), b"\"alice\"".to_vec())]);
        assert_eq!(format!("{fields:?}"), r#"{"user": 7 bytes}"#);
    }
}
