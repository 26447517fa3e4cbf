use proptest::prelude::*;

use super::*;
use crate::merge::{Counter, CounterRange, Extreme};

const ANY: Counter = Counter::new(CounterRange::new(i64::MIN, i64::MAX));

fn rule(name: &str) -> Rule {
    match name.as_bytes()[0] {
        b'c' => Rule::Counter(ANY),
        b'm' => Rule::Extreme(Extreme::Max),
        _ => Rule::Last,
    }
}

/// Counters always have a value; the others may be absent.
fn fields() -> impl Strategy<Value = Fields> {
    let counters = proptest::array::uniform3(-1000_i64..1000);
    let others = proptest::array::uniform3(proptest::option::of("[a-c]{0,2}"));
    (counters, others).prop_map(|(counters, others)| {
        let counters = ["c0", "c1", "c2"]
            .into_iter()
            .zip(counters.map(|c| Some(c.to_string())));
        let others = ["o0", "o1", "o2"].into_iter().zip(others);
        let present = counters.chain(others);
        present
            .filter_map(|(name, value)| Some((name.into(), value?.into_bytes())))
            .collect()
    })
}

fn number(fields: &Fields, name: &str) -> i64 {
    str::from_utf8(fields.get(name).unwrap())
        .unwrap()
        .parse()
        .unwrap()
}

proptest! {
    #[test]
    fn a_difference_applied_makes_the_other(before in fields(), after in fields()) {
        let changes = Changes::diff(&before, &after, rule).unwrap();
        let mut applied = before.clone();
        changes.apply(&mut applied).unwrap();
        prop_assert_eq!(&applied, &after);
        prop_assert_eq!(changes.is_empty(), before == after);
    }

    #[test]
    fn merged_is_one_after_the_other(a in fields(), b in fields(), c in fields()) {
        let mut merged = Changes::diff(&a, &b, rule).unwrap();
        merged.merge(Changes::diff(&b, &c, rule).unwrap()).unwrap();
        let mut applied = a;
        merged.apply(&mut applied).unwrap();
        prop_assert_eq!(applied, c);
    }

    #[test]
    fn two_requests_lose_no_counter_and_no_other_field(
        base in fields(), mine in fields(), theirs in fields(),
    ) {
        let mut stored = base.clone();
        Changes::diff(&base, &mine, rule).unwrap().apply(&mut stored).unwrap();
        Changes::diff(&base, &theirs, rule).unwrap().apply(&mut stored).unwrap();
        for name in ["c0", "c1", "c2"] {
            let expected = number(&mine, name) + number(&theirs, name) - number(&base, name);
            prop_assert_eq!(number(&stored, name), expected);
        }
        for name in ["o0", "o1", "o2"] {
            let theirs_changed = theirs.get(name) != base.get(name);
            let last = if theirs_changed { &theirs } else { &mine };
            prop_assert_eq!(stored.get(name), last.get(name));
        }
    }
}

#[test]
fn an_overflow_applies_nothing() {
    let counter = Counter::new(CounterRange::new(0, 255));
    let mut changes = Changes::new();
    changes.insert("a".into(), Change::Set(b"1".to_vec()));
    changes.insert(
        "c".into(),
        Change::Add {
            delta: 2,
            base: 0,
            counter,
        },
    );
    let mut fields = Fields::from_iter([("c".into(), b"254".to_vec())]);
    let untouched = fields.clone();
    assert_eq!(changes.apply(&mut fields).unwrap_err(), "c");
    assert_eq!(fields, untouched);
}

#[test]
fn a_counter_that_is_not_stored_starts_at_its_base() {
    let mut fields = Fields::new();
    let mut changes = Changes::new();
    changes.insert(
        "c".into(),
        Change::Add {
            delta: 2,
            base: 40,
            counter: ANY,
        },
    );
    let counters = changes.apply(&mut fields).unwrap();
    assert_eq!(counters.get("c"), Some(b"42".as_slice()));
    assert_eq!(fields, counters);
}

#[test]
fn forth_and_back_is_no_change() {
    let add = |delta| {
        let mut changes = Changes::new();
        changes.insert(
            "c".into(),
            Change::Add {
                delta,
                base: 0,
                counter: ANY,
            },
        );
        changes
    };
    let mut changes = add(3);
    changes.merge(add(-3)).unwrap();
    assert!(changes.is_empty());
}

#[test]
fn the_largest_stays_and_a_reset_is_a_reset() {
    let field = |value: &str| Fields::from_iter([("m".into(), value.as_bytes().to_vec())]);
    let raised = Changes::diff(&field("5"), &field("9"), rule).unwrap();
    assert_eq!(
        raised.get("m"),
        Some(&Change::Extreme(Extreme::Max, b"9".to_vec()))
    );
    let mut stored = field("10");
    raised.apply(&mut stored).unwrap();
    assert_eq!(stored, field("10"));
    let reset = Changes::diff(&field("5"), &field("0"), rule).unwrap();
    reset.apply(&mut stored).unwrap();
    assert_eq!(stored, field("0"));
    let mut both = reset;
    both.merge(raised).unwrap();
    both.apply(&mut stored).unwrap();
    assert_eq!(stored, field("9"));
}

#[test]
fn an_expired_field_is_removed_unless_it_was_renewed() {
    let stored = |deadline: &str| {
        let deadline = ("@until:c".into(), deadline.as_bytes().to_vec());
        Fields::from_iter([("c".into(), b"5".to_vec()), deadline])
    };
    let mut changes = Changes::new();
    changes.expire(Expired::new("c".into(), "@until:c".into(), b"100".to_vec()));
    changes.insert(
        "c".into(),
        Change::Add {
            delta: 1,
            base: 0,
            counter: ANY,
        },
    );
    let mut fields = stored("100");
    changes.apply(&mut fields).unwrap();
    assert_eq!(fields, Fields::from_iter([("c".into(), b"1".to_vec())]));
    let mut renewed = stored("200");
    changes.apply(&mut renewed).unwrap();
    assert_eq!(renewed.get("c"), Some(b"6".as_slice()));
}

#[test]
fn a_take_answers_what_it_removes() {
    let mut changes = Changes::new();
    changes.insert("code".into(), Change::Take { aliases: &["old"] });
    let pair = |name: &'static str, value: &str| (name.into(), value.as_bytes().to_vec());
    let mut fields = Fields::from_iter([pair("code", "1"), pair("old", "2"), pair("a", "3")]);
    let answer = changes.apply(&mut fields).unwrap();
    assert_eq!(answer, Fields::from_iter([pair("code", "2")]));
    assert_eq!(fields, Fields::from_iter([pair("a", "3")]));
    assert!(changes.apply(&mut fields).unwrap().is_empty());
}

/// No clock measures it: a quadratic algorithm would take minutes in a debug build.
#[test]
fn many_entries_take_no_longer_than_there_are_of_them() {
    let entries = |from: u32, value: &str| {
        let names = (from..from + 50_000).map(|n| Name::from(format!("e:{}", n.reverse_bits())));
        names
            .map(|name| (name, value.as_bytes().to_vec()))
            .collect::<Fields>()
    };
    let (mut stored, after) = (entries(0, "1"), entries(25_000, "2"));
    let mut changes = Changes::diff(&stored, &after, rule).unwrap();
    changes.merge(changes.clone()).unwrap();
    changes.apply(&mut stored).unwrap();
    assert_eq!(stored, after);
}
