//! Which node has which slot. Pure.

use std::collections::HashMap;

use deadpool_redis::redis::{FromRedisValue as _, Value};

use crate::store::redis::dial::Address;

const SLOTS: u16 = 16_384;

/// First slot, last slot, node.
pub(super) type Range = (u16, u16, Address);

/// Hashed from the text in the key's first pair of braces, or from the whole key.
pub(super) fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| {
        let (tag, _) = rest.split_once('}')?;
        (!tag.is_empty()).then_some(tag)
    });
    crc16::State::<crc16::XMODEM>::calculate(tag.unwrap_or(key).as_bytes()) % SLOTS
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Map<N> {
    /// In order.
    ranges: Vec<(u16, u16, N)>,
    /// Slots that nodes have since redirected.
    moved: HashMap<u16, N>,
}

impl<N> Default for Map<N> {
    fn default() -> Self {
        Self {
            ranges: Vec::new(),
            moved: HashMap::new(),
        }
    }
}

impl<N: Clone> Map<N> {
    pub(crate) fn new(mut ranges: Vec<(u16, u16, N)>) -> Self {
        ranges.sort_by_key(|(first, _, _)| *first);
        Self {
            ranges,
            moved: HashMap::new(),
        }
    }

    pub(crate) fn owner(&self, slot: u16) -> Option<&N> {
        if let Some(owner) = self.moved.get(&slot) {
            return Some(owner);
        }
        let behind = self.ranges.partition_point(|(first, _, _)| *first <= slot);
        let (_, last, owner) = &self.ranges[behind.checked_sub(1)?];
        (slot <= *last).then_some(owner)
    }

    pub(crate) fn moved(&mut self, slot: u16, owner: N) {
        self.moved.insert(slot, owner);
    }

    pub(crate) fn doubt(&mut self, slot: u16, is_it: impl Fn(&N) -> bool) {
        if self.moved.get(&slot).is_some_and(is_it) {
            self.moved.remove(&slot);
        }
    }

    /// Some may repeat.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &N> {
        let ranges = self.ranges.iter().map(|(_, _, node)| node);
        ranges.chain(self.moved.values())
    }

    pub(super) fn slots_of(&self, is_it: impl Fn(&N) -> bool) -> Vec<(u16, u16)> {
        let its = self.ranges.iter().filter(|(_, _, node)| is_it(node));
        let ranges = its.map(|(first, last, _)| (*first, *last));
        let moved = self.moved.iter().filter(|(_, node)| is_it(node));
        let mut slots: Vec<_> = ranges
            .chain(moved.map(|(slot, _)| (*slot, *slot)))
            .collect();
        slots.sort_unstable();
        slots
    }
}

/// Reads the answer of CLUSTER SLOTS. A node without a name is the one asked, at `host`.
pub(super) fn read(reply: Value, host: &str) -> Option<Vec<Range>> {
    let mut ranges = Vec::new();
    for range in Vec::<Value>::from_redis_value(reply).ok()? {
        let mut words = Vec::<Value>::from_redis_value(range).ok()?.into_iter();
        let mut number = || u16::from_redis_value(words.next()?).ok();
        let (first, last) = (number()?, number()?);
        let mut master = Vec::<Value>::from_redis_value(words.next()?)
            .ok()?
            .into_iter();
        let name = Option::<String>::from_redis_value(master.next()?).ok()?;
        let port = u16::from_redis_value(master.next()?).ok()?;
        let name = match name.as_deref() {
            None | Some("" | "?") => host,
            Some(name) => name,
        };
        ranges.push((first, last, (name.to_owned(), port)));
    }
    Some(ranges)
}

/// Reads the `host:port` of a redirection. The host may be missing.
pub(super) fn address(text: &str, host: &str) -> Option<Address> {
    let (name, port) = text.rsplit_once(':')?;
    let name = match name {
        "" | "?" => host,
        name => name,
    };
    Some((name.to_owned(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from the specification of Redis Cluster and from `CLUSTER KEYSLOT`.
    #[test]
    fn slots_are_those_of_redis() {
        for (key, expected) in [
            ("123456789", 0x31C3),
            ("", 0),
            ("foo", 12182),
            ("{user1000}.following", 3443),
            ("{user1000}.followers", 3443),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
            ("foo{bar}{zap}", 5061),
        ] {
            assert_eq!(slot(key), expected, "{key}");
        }
    }

    #[test]
    fn a_map_knows_its_ranges_and_what_moved() {
        let mut map = Map::new(vec![(200, 299, 'b'), (0, 99, 'a'), (300, 300, 'a')]);
        let owners =
            |map: &Map<char>| [0, 99, 100, 200, 299, 300, 301].map(|slot| map.owner(slot).copied());
        let (a, b) = (Some('a'), Some('b'));
        assert_eq!(owners(&map), [a, a, None, b, b, a, None]);
        assert_eq!(map.slots_of(|node| *node == 'a'), [(0, 99), (300, 300)]);
        map.moved(99, 'c');
        assert_eq!(owners(&map), [a, Some('c'), None, b, b, a, None]);
        assert_eq!(map.slots_of(|node| *node == 'c'), [(99, 99)]);
        map.doubt(99, |node| *node == 'a');
        assert_eq!(map.owner(99), Some(&'c'));
        map.doubt(99, |node| *node == 'c');
        assert_eq!(owners(&map), [a, a, None, b, b, a, None]);
        assert!(Map::<char>::default().owner(7).is_none());
    }

    #[test]
    fn the_answer_of_cluster_slots_is_read() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let node = |name: Value, port| Value::Array(vec![name, Value::Int(port), text("id")]);
        let range =
            |first, last, node| Value::Array(vec![Value::Int(first), Value::Int(last), node]);
        let reply = Value::Array(vec![
            range(0, 9, node(text("one"), 6379)),
            range(10, 16383, node(Value::Nil, 6380)),
        ]);
        let expected = vec![
            (0, 9, ("one".to_owned(), 6379)),
            (10, 16383, ("asked".to_owned(), 6380)),
        ];
        assert_eq!(read(reply, "asked"), Some(expected));
        for odd in [
            Value::Nil,
            text("x"),
            range(0, 9, Value::Nil),
            Value::Array(vec![Value::Int(1)]),
        ] {
            assert!(
                read(odd.clone(), "asked").is_none_or(|ranges| ranges.is_empty()),
                "{odd:?}"
            );
        }
    }

    #[test]
    fn a_redirection_says_where_to() {
        assert_eq!(
            address("127.0.0.1:7000", "x"),
            Some(("127.0.0.1".into(), 7000))
        );
        assert_eq!(address("::1:7000", "x"), Some(("::1".into(), 7000)));
        assert_eq!(address(":7000", "x"), Some(("x".into(), 7000)));
        for odd in ["", "host", "host:", "host:70000", "host:x"] {
            assert_eq!(address(odd, "x"), None, "{odd}");
        }
    }
}
