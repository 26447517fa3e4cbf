//! Stored names and their encoded values.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;

/// The stored name of a field.
pub type Name = Cow<'static, str>;

/// The prefix of the names that store deadlines. Apart from these and [`PARENT`], no field's name begins with
/// `@`, so a store may use such names.
pub const DEADLINE_PREFIX: &str = "@until:";

/// The name that stores which session this one ends with.
pub const PARENT: &str = "@parent";

/// Stored names and their encoded values, sorted by name.
///
/// One buffer holds all values, so many small ones cost little.
#[derive(Clone, Default)]
pub struct Fields {
    /// Names, and the positions of their values.
    spans: Vec<(Name, Range<usize>)>,
    /// In any order, without gaps.
    bytes: Vec<u8>,
}

impl Fields {
    /// No fields.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            spans: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// The encoded value of a field; `None` if it is absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let index = self.position(name).ok()?;
        Some(&self.bytes[self.spans[index].1.clone()])
    }

    /// Sets a field. The cost grows with the number of fields; for many, use `extend`.
    pub fn insert(&mut self, name: Name, value: &[u8]) {
        match self.position(&name) {
            Ok(index) => {
                let before = self.spans[index].1.clone();
                if before.len() == value.len() {
                    self.bytes[before].copy_from_slice(value);
                } else {
                    self.cut(before);
                    self.spans[index].1 = self.append(value);
                }
            }
            Err(index) => {
                let span = self.append(value);
                self.spans.insert(index, (name, span));
            }
        }
    }

    /// Makes a field absent.
    pub fn remove(&mut self, name: &str) {
        if let Ok(index) = self.position(name) {
            let (_, span) = self.spans.remove(index);
            self.cut(span);
        }
    }

    /// Whether every field is absent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// How many fields are present.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// How many bytes the names and values take together.
    #[must_use]
    pub fn size(&self) -> usize {
        let names = self.spans.iter().map(|(name, _)| name.len());
        names.sum::<usize>() + self.bytes.len()
    }

    /// In bytes of memory.
    #[cfg(feature = "redis")]
    pub(crate) fn footprint(&self) -> usize {
        let names = self.spans.iter().map(|(name, _)| name.len());
        let spans = self.spans.capacity() * size_of::<(Name, Range<usize>)>();
        spans + names.sum::<usize>() + self.bytes.capacity()
    }

    /// Many in one pass, because 50,000 entries must not cost seconds.
    pub(crate) fn edit(&mut self, mut removed: Vec<&str>, written: Vec<(&Name, Cow<'_, [u8]>)>) {
        const FEW: usize = 8;
        if removed.len() < FEW {
            removed.iter().for_each(|name| self.remove(name));
        } else {
            removed.sort_unstable();
            self.spans
                .retain(|(name, _)| removed.binary_search(&&**name).is_err());
            self.close_gaps();
        }
        let written = written.into_iter();
        if written.len() < FEW {
            written.for_each(|(name, value)| self.insert(name.clone(), &value));
        } else {
            self.extend(written.map(|(name, value)| (name.clone(), value)));
        }
    }

    /// All fields, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &[u8])> {
        self.spans.iter().map(|field| self.pair(field))
    }

    /// The fields whose names begin with `prefix`: the rest of each name, and the value.
    pub fn with_prefix<'f>(&'f self, prefix: &'f str) -> impl Iterator<Item = (&'f str, &'f [u8])> {
        let start = self.spans.partition_point(|(name, _)| **name < *prefix);
        self.spans[start..].iter().map_while(move |field| {
            let (name, value) = self.pair(field);
            Some((name.strip_prefix(prefix)?, value))
        })
    }

    fn pair<'f>(&'f self, (name, span): &'f (Name, Range<usize>)) -> (&'f Name, &'f [u8]) {
        (name, &self.bytes[span.clone()])
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.spans
            .binary_search_by(|(known, _)| (**known).cmp(name))
    }

    fn append(&mut self, value: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        start..self.bytes.len()
    }

    fn cut(&mut self, gone: Range<usize>) {
        for (_, span) in &mut self.spans {
            if span.start >= gone.end {
                *span = span.start - gone.len()..span.end - gone.len();
            }
        }
        self.bytes.drain(gone);
    }

    fn close_gaps(&mut self) {
        let old = std::mem::take(&mut self.bytes);
        for (_, span) in &mut self.spans {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(&old[span.clone()]);
            *span = start..self.bytes.len();
        }
    }
}

/// Fields in any order.
#[derive(Debug, Default)]
pub struct Unsorted(Fields);

impl Unsorted {
    pub(crate) fn with_capacity(fields: usize) -> Self {
        /// Most values fit into this.
        const VALUE: usize = 16;
        Self(Fields {
            spans: Vec::with_capacity(fields),
            bytes: Vec::with_capacity(fields * VALUE),
        })
    }

    /// If a name occurs twice, the later value counts.
    pub(crate) fn write<E>(
        &mut self,
        name: Name,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Fields { spans, bytes } = &mut self.0;
        let start = bytes.len();
        write(bytes)?;
        spans.push((name, start..bytes.len()));
        Ok(())
    }

    pub(crate) fn push(&mut self, name: Name, value: &[u8]) {
        let span = self.0.append(value);
        self.0.spans.push((name, span));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn values_from(&self, start: usize) -> impl Iterator<Item = &[u8]> {
        let fields = self.0.spans[start..].iter();
        fields.map(|field| self.0.pair(field).1)
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        if let Some((_, first)) = self.0.spans.get(len) {
            self.0.bytes.truncate(first.start);
            self.0.spans.truncate(len);
        }
    }

    pub(crate) fn sorted(mut self) -> Fields {
        let spans = &mut self.0.spans;
        // Most arrive sorted.
        if spans.is_sorted_by(|a, b| a.0 < b.0) {
            return self.0;
        }
        // Stable, so the last of two equal names stays.
        spans.sort_by(|a, b| a.0.cmp(&b.0));
        let came = spans.len();
        spans.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        if spans.len() < came {
            self.0.close_gaps();
        }
        self.0
    }
}

impl<V: AsRef<[u8]>> Extend<(Name, V)> for Fields {
    fn extend<I: IntoIterator<Item = (Name, V)>>(&mut self, fields: I) {
        let mut all = Unsorted(std::mem::take(self));
        for (name, value) in fields {
            all.push(name, value.as_ref());
        }
        *self = all.sorted();
    }
}

impl<V: AsRef<[u8]>> FromIterator<(Name, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (Name, V)>>(fields: I) -> Self {
        let mut all = Self::new();
        all.extend(fields);
        all
    }
}

impl Eq for Fields {}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Hash for Fields {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for field in self.iter() {
            field.hash(state);
        }
    }
}

/// The values are private.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in self.iter() {
            map.entry(name, &format_args!("{} bytes", value.len()));
        }
        map.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_two_of_one_name_the_last_one_stays() {
        let pair = |name: &'static str, value: u8| (Name::from(name), [value]);
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

    type Pairs = Vec<(String, Vec<u8>)>;

    fn pairs() -> impl Strategy<Value = Pairs> {
        let value = proptest::collection::vec(any::<u8>(), 0..4);
        proptest::collection::vec(("[a-e]{1,2}", value), 0..12)
    }

    proptest! {
        #[test]
        fn they_are_a_sorted_map(first in pairs(), set in pairs(), removed in pairs(), edited in pairs()) {
            let named = |pairs: &Pairs| -> Vec<(Name, Vec<u8>)> {
                let pairs = pairs.iter().cloned();
                pairs.map(|(name, value)| (name.into(), value)).collect()
            };
            let mut fields = Fields::from_iter(named(&first));
            let mut map: BTreeMap<_, _> = named(&first).into_iter().collect();
            for (name, value) in named(&set) {
                fields.insert(name.clone(), &value);
                map.insert(name, value);
            }
            for (name, _) in named(&removed).into_iter().take(3) {
                fields.remove(&name);
                map.remove(&name);
            }
            let gone = removed.iter().map(|(name, _)| name.as_str()).collect();
            let edited = named(&edited);
            let written = edited.iter().map(|(name, value)| (name, value.into())).collect();
            fields.edit(gone, written);
            removed.iter().for_each(|(name, _)| drop(map.remove(name.as_str())));
            map.extend(edited);
            prop_assert!(fields.iter().eq(map.iter().map(|(name, value)| (name, value.as_slice()))));
            prop_assert_eq!(fields.bytes.len(), map.values().map(Vec::len).sum::<usize>());
            prop_assert_eq!(fields, map.into_iter().collect());
        }
    }
}
