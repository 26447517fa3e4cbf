use super::StoreUnderTest;
use super::fixture::{
    ANY, Session, add, add_with_old_names, add_within, max, min, of, readable, set,
};
use crate::changes::Expired;
use crate::fields::Name;
use crate::merge::{Change, CounterRange};
use crate::store::{Update, Updated};

const SUM: &str = "Add must add its delta to the stored value, or to its base if there is none: \
                   use Changes::apply in the same atomic step as the write";

const RANGE: &str = "an update that moves a counter out of its range, or adds to a value that is not an \
                     integer, must answer Overflow with the counter's name and write nothing: count \
                     in more than 64 bits, and check all changes before the first write";

const COMPARED: &str = "Extreme must keep the larger or smaller value, compared as integers of any \
                        length, and replace an absent value or a non-integer: use Changes::apply";

const BYTE: CounterRange = CounterRange::new(-128, 127);
const UNSIGNED: CounterRange = CounterRange::new(0, i64::MAX);

/// The difference is added to the stored value, not to the value that was read.
pub async fn a_counter_moves_what_is_stored(store: &StoreUnderTest) {
    let clause = store.advised(SUM);
    let session = clause.session(&[("n", "40")]).await;
    let mine = session.changing([("n", add_within(ANY, 5, 40))]);
    session.done(&session.changing([("n", set("100"))])).await;
    session.done(&mine).await;
    session.holds(&[("n", "105")]).await;
    session.done(&session.changing([("n", add(-205))])).await;
    session.holds(&[("n", "-100")]).await;
    session.done(&session.changing([("n", add(100))])).await;
    session.holds(&[("n", "0")]).await;
}

/// A field with a default is not stored until it changes.
pub async fn a_counter_that_is_absent_starts_at_its_base(store: &StoreUnderTest) {
    let clause = store.advised(SUM);
    let session = clause.session(&[]).await;
    session
        .done(&session.changing([("n", add_within(ANY, 2, 40))]))
        .await;
    session.holds(&[("n", "42")]).await;
    session
        .done(&session.changing([("n", add_within(ANY, 2, 40))]))
        .await;
    session.holds(&[("n", "44")]).await;
}

/// During a rollout, older builds still count under a counter's old name.
pub async fn a_counter_takes_along_its_old_names(store: &StoreUnderTest) {
    let clause = store.advised("Add must also count the values stored under its old names, and remove them: use Changes::apply");
    const OLD: &[&str] = &["old", "older", "oldest"];
    let session = clause
        .session(&[("n", "1"), ("older", "20"), ("oldest", "300")])
        .await;
    session
        .done(&session.changing([("n", add_with_old_names(OLD, 4000))]))
        .await;
    session.holds(&[("n", "4321")]).await;
    session.done(&session.changing([("old", add(5))])).await;
    session
        .done(&session.changing([("n", add_with_old_names(OLD, 1))]))
        .await;
    session.holds(&[("n", "4327")]).await;
    let session = clause.session(&[("old", "7")]).await;
    session
        .done(&session.changing([("n", add_with_old_names(OLD, 1))]))
        .await;
    session.holds(&[("n", "8")]).await;
}

/// An expired value does not count, unless somebody renewed it.
pub async fn a_counter_that_expired_starts_at_its_base(store: &StoreUnderTest) {
    let clause = store.advised(SUM);
    for (deadline, expected) in [("100", "1"), ("200", "6")] {
        let session = clause.session(&[("n", "5"), ("@until:n", deadline)]).await;
        let mut update = session.changing([("n", add(1)), ("@until:n", set("300"))]);
        let expired = Expired::new("n".into(), "@until:n".into(), b"100".to_vec());
        update.changes.expire(expired);
        session.done(&update).await;
        session.holds(&[("@until:n", "300"), ("n", expected)]).await;
    }
}

/// The update writes no other field, rotates no token and touches no time.
pub async fn an_overflow_writes_nothing_at_all(store: &StoreUnderTest) {
    let clause = store.advised(RANGE);
    let fields = [
        ("@until:x", "100"),
        ("a", "1"),
        ("b", "1"),
        ("n", "120"),
        ("x", "1"),
    ];
    let session = clause.session(&fields).await;
    let mut update = session.changing([
        ("a", set("2")),
        ("m", max("1")),
        ("n", add_within(BYTE, 8, 0)),
        ("b", Change::Unset),
        ("k", add(1)),
    ]);
    let expired = Expired::new("x".into(), "@until:x".into(), b"100".to_vec());
    update.changes.expire(expired);
    update.rotation = session.login().0.rotation;
    overflows(&session, &update, "n", "120 + 8 in an i8").await;
    session.holds(&fields).await;
    session.is_described_by(&session.created).await;
}

/// Both ends of a range belong to it, for every type. A 64-bit sum that wraps around is not in range.
pub async fn a_counter_reaches_its_limits_and_no_further(store: &StoreUnderTest) {
    let clause = store.advised(RANGE);
    let (top, bottom) = (i64::MAX.to_string(), i64::MIN.to_string());
    let below_top = (i64::MAX - 1).to_string();
    for (range, stored, delta, expected) in [
        (BYTE, "126", 1, Some("127")),
        (BYTE, "126", 2, None),
        (BYTE, "-127", -1, Some("-128")),
        (BYTE, "-127", -2, None),
        (BYTE, "0", i64::MAX, None),
        (UNSIGNED, "1", -1, Some("0")),
        (UNSIGNED, "1", -2, None),
        (UNSIGNED, &below_top, 1, Some(&top)),
        (UNSIGNED, &below_top, 2, None),
        (UNSIGNED, &top, i64::MIN, None),
        (ANY, &below_top, 1, Some(&top)),
        (ANY, &below_top, 2, None),
        (ANY, &top, i64::MAX, None),
        (ANY, &bottom, -1, None),
        (ANY, &bottom, i64::MIN, None),
        (ANY, &top, i64::MIN, Some("-1")),
        (ANY, "-1", i64::MIN + 1, Some(&bottom)),
    ] {
        let what = format!("{stored} + {delta} in {range:?}");
        let session = clause.session(&[("n", stored)]).await;
        let update = session.changing([("n", add_within(range, delta, 0))]);
        match expected {
            Some(_) => drop(session.done(&update).await),
            None => overflows(&session, &update, "n", &what).await,
        }
        let now = session.fields().await;
        let wanted = expected.unwrap_or(stored);
        session.require(
            readable(&now) == [("n", wanted.to_owned())],
            format_args!("{what} should be {wanted}, and is {:?}", readable(&now)),
        );
    }
}

/// No float equals 2⁵³ + 1.
pub async fn large_numbers_are_exact(store: &StoreUnderTest) {
    let clause = store.advised("64-bit integers must be exact: a float has only 53 bits");
    let session = clause
        .session(&[("n", "9007199254740992"), ("m", "9007199254740993")])
        .await;
    let changes = [("n", add(1)), ("m", max("9007199254740992"))];
    session.done(&session.changing(changes)).await;
    session
        .holds(&[("m", "9007199254740993"), ("n", "9007199254740993")])
        .await;
    let changes = [
        ("n", add(9_000_000_000_000_000_000)),
        ("m", max("18446744073709551615")),
    ];
    session.done(&session.changing(changes)).await;
    session
        .holds(&[("m", "18446744073709551615"), ("n", "9009007199254740993")])
        .await;
    let changes = [
        ("n", add(-9_009_007_199_254_740_992)),
        ("m", min("18446744073709551614")),
    ];
    session.done(&session.changing(changes)).await;
    session
        .holds(&[("m", "18446744073709551614"), ("n", "1")])
        .await;
    // Where scripts begin to write numbers with an exponent.
    for digits in 9..19 {
        let nines = "9".repeat(digits);
        let session = clause
            .session(&[("n", &nines), ("m", &format!("-{nines}"))])
            .await;
        let changes = [("n", add(1)), ("m", add(-1))];
        session.done(&session.changing(changes)).await;
        let power = format!("1{}", "0".repeat(digits));
        let negative = format!("-{power}");
        session.holds(&[("m", &negative), ("n", &power)]).await;
    }
}

/// Two old builds may each have counted far.
pub async fn only_the_sum_must_be_in_range(store: &StoreUnderTest) {
    const OLD: &[&str] = &["old", "older"];
    let clause = store.advised(RANGE);
    let top = i64::MAX.to_string();
    let session = clause
        .session(&[("n", &top), ("old", "7"), ("older", "-9")])
        .await;
    session
        .done(&session.changing([("n", add_with_old_names(OLD, 2))]))
        .await;
    session.holds(&[("n", &top)]).await;
    let session = clause.session(&[("n", &top), ("old", "7")]).await;
    let update = session.changing([("n", add_with_old_names(OLD, -6))]);
    overflows(&session, &update, "n", "the largest + 7 - 6").await;
    session
        .done(&session.changing([("n", add_with_old_names(OLD, -7))]))
        .await;
    session.holds(&[("n", &top)]).await;
}

/// Another build may have stored something else under the counter's name. That is the field's problem, not an
/// outage of the store.
pub async fn what_is_no_number_is_an_overflow(store: &StoreUnderTest) {
    let clause = store.advised(RANGE);
    for stored in [
        "",
        "\"1\"",
        "1.5",
        "1e3",
        "+1",
        "01",
        "-0",
        " 1",
        "null",
        "9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999999",
    ] {
        let session = clause.session(&[("n", stored), ("a", "1")]).await;
        let update = session.changing([("n", add(1)), ("a", set("2"))]);
        overflows(&session, &update, "n", stored).await;
        session.holds(&[("a", "1"), ("n", stored)]).await;
    }
    let session = clause
        .session(&[("n", "1"), ("old", "9223372036854775808")])
        .await;
    let update = session.changing([("n", add_with_old_names(&["old"], 1))]);
    overflows(&session, &update, "n", "an old name").await;
}

/// The values are compared as numbers.
pub async fn the_largest_and_the_smallest_stay(store: &StoreUnderTest) {
    let clause = store.advised(COMPARED);
    for (stored, set, largest, smallest) in [
        ("9", "10", "10", "9"),
        ("10", "9", "10", "9"),
        ("-9", "-10", "-9", "-10"),
        ("-10", "-9", "-9", "-10"),
        ("-1", "1", "1", "-1"),
        ("0", "-1", "0", "-1"),
        ("7", "7", "7", "7"),
        ("18446744073709551615", "1", "18446744073709551615", "1"),
        (
            "340282366920938463463374607431768211455",
            "340282366920938463463374607431768211454",
            "340282366920938463463374607431768211455",
            "340282366920938463463374607431768211454",
        ),
        (
            "-9223372036854775808",
            "9223372036854775807",
            "9223372036854775807",
            "-9223372036854775808",
        ),
    ] {
        let session = clause
            .session(&[("large", stored), ("small", stored)])
            .await;
        session
            .done(&session.changing([("large", max(set)), ("small", min(set))]))
            .await;
        session
            .holds(&[("large", largest), ("small", smallest)])
            .await;
    }
}

/// With nothing to compare with, the new value is stored.
pub async fn max_and_min_replace_what_is_absent_or_no_number(store: &StoreUnderTest) {
    let clause = store.advised(COMPARED);
    let session = clause.session(&[("b", "null"), ("d", "1.5")]).await;
    let changes = [
        ("a", max("-5")),
        ("b", max("-5")),
        ("c", min("5")),
        ("d", min("5")),
    ];
    session.done(&session.changing(changes)).await;
    session
        .holds(&[("a", "-5"), ("b", "-5"), ("c", "5"), ("d", "5")])
        .await;
}

/// A request learns its counters' new values without another read.
pub async fn merged_values_are_answered(store: &StoreUnderTest) {
    let clause = store.advised("Updated::Done must have the values of the merged fields right after the update, and no others: answer what Changes::apply answers");
    let session = clause
        .session(&[("large", "9"), ("n", "40"), ("small", "9")])
        .await;
    let answer = session
        .done(&session.changing([
            ("set", set("1")),
            ("n", add(2)),
            ("new", add_within(ANY, 1, 6)),
            ("large", max("5")),
            ("unset", Change::Unset),
            ("small", min("5")),
        ]))
        .await;
    let expected = of(&[("large", "9"), ("n", "42"), ("new", "7"), ("small", "5")]);
    let (answer, expected) = (readable(&answer), readable(&expected));
    session.require(
        answer == expected,
        format_args!("the answer should be {expected:?}, and is {answer:?}"),
    );
    let answer = session.done(&session.touch()).await;
    session.require(answer.is_empty(), "a touch answers values");
}

async fn overflows(session: &Session, update: &Update, name: &'static str, what: &str) {
    let updated = session.update(update).await;
    session.require(
        updated == Updated::Overflow(Name::from(name)),
        format_args!("{what:?}: the answer is {updated:?}, not Overflow({name:?})"),
    );
}
