use super::StoreUnderTest;
use super::fixture::{add, max, readable, set};
use crate::changes::Expired;
use crate::fields::Name;
use crate::merge::Change;
use crate::store::Wanted;

/// Otherwise, what another build or another request wrote is lost
/// ([laravel/framework#18187](https://github.com/laravel/framework/issues/18187),
/// [connect-redis#346](https://github.com/tj/connect-redis/issues/346)).
pub async fn only_named_fields_are_touched(store: &StoreUnderTest) {
    let clause = store.advised(
        "an update must leave the fields that it does not name as they are stored at that moment: \
         change the stored record, do not replace it",
    );
    let session = clause
        .session(&[("a", "1"), ("b", "1"), ("of another build", "{}")])
        .await;
    let mine = session.changing([("a", set("2"))]);
    session.done(&session.changing([("b", set("2"))])).await;
    session.done(&mine).await;
    session
        .holds(&[("a", "2"), ("b", "2"), ("of another build", "{}")])
        .await;
    session.done(&session.touch()).await;
    session
        .holds(&[("a", "2"), ("b", "2"), ("of another build", "{}")])
        .await;
}

/// A session whose fields were all unset is still a session.
pub async fn set_and_unset_do_what_they_say(store: &StoreUnderTest) {
    let clause = store.advised(
        "Set must write a field and Unset remove it, whether it was there or not; a session without \
         fields is still a session",
    );
    let session = clause.session(&[("a", "1"), ("b", "1")]).await;
    let changes = [
        ("a", set("2")),
        ("b", Change::Unset),
        ("c", set("1")),
        ("d", Change::Unset),
    ];
    session.done(&session.changing(changes)).await;
    session.holds(&[("a", "2"), ("c", "1")]).await;
    session
        .done(&session.changing([("a", Change::Unset), ("c", Change::Unset)]))
        .await;
    session.holds(&[]).await;
    session.done(&session.changing([("b", set("3"))])).await;
    session.holds(&[("b", "3")]).await;
}

/// A name may be an entry's key, which is whatever a user typed. In a store's language it is data: not a
/// pattern, a path or a command. Only names that begin with `@` are special: see the
/// [contract](crate::store::Store).
pub async fn any_name_is_kept(store: &StoreUnderTest) {
    let clause = store.advised(
        "a name is any text: keep it byte by byte, escape it where your store's language needs that, \
         and use no case folding, no normal form, no separator",
    );
    let long = "x".repeat(1000);
    let names = [
        " ",
        "a b",
        "A",
        "a",
        "ä",
        "a\u{308}",
        "日本語",
        "\0",
        "a\0b",
        "\r\n",
        "\u{1b}[1m",
        "*",
        "[a-c]?",
        "a:b",
        "a:",
        ":",
        "set",
        "meta",
        "add",
        "1",
        "-1",
        "%s",
        "$1",
        "'; DROP TABLE x",
        "\\",
        "\"",
        "{tag}",
        "../../etc",
        "a.b.c",
        "__proto__",
        "@until:a",
        "@parent",
        "a@",
        &long,
    ];
    let session = clause.session(&[]).await;
    let names = names.map(|name| Name::from(name.to_owned()));
    let sets = names.iter().map(|name| (name.clone(), set(name)));
    session.done(&session.changing_names(sets)).await;
    let some = session
        .load_some(&Wanted::Fields(names.clone().into()))
        .await;
    let some = some.map(|record| record.fields.clone());
    for stored in [session.fields().await, some.unwrap_or_default()] {
        for name in &names {
            session.require(
                stored.get(name) == Some(name.as_bytes()),
                format_args!("the field {name:?} is not stored as it was set"),
            );
        }
        session.require(stored.len() == names.len(), "two names became one");
    }
    let unsets = names.iter().map(|name| (name.clone(), Change::Unset));
    session.done(&session.changing_names(unsets)).await;
    session.holds(&[]).await;
}

/// A value may contain any byte, and is never a number to reformat.
pub async fn any_value_is_kept(store: &StoreUnderTest) {
    let clause =
        store.advised("a value is any bytes: keep it as a blob, not as a text or a number");
    let all: Vec<u8> = (0..=255).collect();
    let values: [&[u8]; 9] = [
        b"",
        b"\0",
        &all,
        b"\xff\xfe",
        b"\r\n",
        b"+1",
        b"01",
        b"1e3",
        b"99999999999999999999",
    ];
    let session = clause.session(&[]).await;
    let name = |number: usize| Name::from(format!("v{number}"));
    let sets = values.iter().enumerate();
    let sets = sets.map(|(number, value)| (name(number), Change::Set(value.to_vec())));
    session.done(&session.changing_names(sets)).await;
    let stored = session.fields().await;
    for (number, value) in values.iter().enumerate() {
        session.require(
            stored.get(&name(number)) == Some(*value),
            format_args!(
                "the value `{}` came back as another one",
                value.escape_ascii()
            ),
        );
    }
}

/// The store does not decide how much is too much.
pub async fn large_sessions_are_kept(store: &StoreUnderTest) {
    let clause = store.advised(
        "256 KiB in one field and 2,000 fields must be kept: cut nothing off, and send large updates \
         in as many parts of one atomic step as it takes",
    );
    let session = clause.session(&[]).await;
    let large = vec![0xa5; 256 * 1024];
    let many = || (0..2000).map(|number| Name::from(format!("f{number}")));
    let large_one = (Name::from("large"), Change::Set(large.clone()));
    let sets = many().map(|name| (name, set("1"))).chain([large_one]);
    session.done(&session.changing_names(sets)).await;
    let stored = session.fields().await;
    let count = stored.with_prefix("f").count();
    session.require(
        stored.get("large") == Some(&large[..]),
        "the value came back shorter",
    );
    session.require(
        count == 2000,
        format_args!("{count} of 2000 fields came back"),
    );
    let counts = many().map(|name| (name, add(1)));
    let answer = session.done(&session.changing_names(counts)).await;
    session.require(
        answer.len() == 2000,
        "an update of 2000 counters answers fewer",
    );
    let unsets = many().map(|name| (name, Change::Unset));
    session.done(&session.changing_names(unsets)).await;
    let left = session.fields().await.len();
    session.require(left == 1, format_args!("{left} fields are left of 1"));
}

/// A load may return more than the wanted fields, but nothing that is not stored.
pub async fn the_wanted_fields_are_loaded(store: &StoreUnderTest) {
    let clause = store.advised(
        "a load must answer every wanted field that is stored, and the metadata even if no field is \
         wanted",
    );
    let session = clause.session(&[("a", "1"), ("b", "2"), ("c", "3")]).await;
    let wanted = Wanted::Fields(["c".into(), "a".into(), "absent".into()].into());
    let fields = session
        .load_some(&wanted)
        .await
        .map(|record| record.fields.clone());
    let fields = fields.unwrap_or_default();
    for (name, value) in [("a", Some("1")), ("c", Some("3")), ("absent", None)] {
        session.require(
            fields.get(name) == value.map(str::as_bytes),
            format_args!(
                "the wanted fields are a, c and absent, and {:?} came",
                readable(&fields)
            ),
        );
    }
    let none = session.load_some(&Wanted::Fields([].into())).await;
    let metadata = none.map(|record| record.metadata.pack());
    session.require(
        metadata == Some(session.created.pack()),
        "a load of no fields is without the metadata",
    );
}

/// Otherwise, one of the store's own fields looks undeclared, and a value that was taken comes back.
pub async fn nothing_but_fields_is_loaded(store: &StoreUnderTest) {
    let clause = store.advised(
        "a load must answer the session's fields and nothing else: leave out the store's own names",
    );
    let session = clause.session(&[("a", "1"), ("code", "secret")]).await;
    let changes = [
        ("n", add(1)),
        ("m", max("1")),
        ("code", Change::Take { aliases: &[] }),
    ];
    session.done(&session.changing(changes)).await;
    let (login, renewed) = session.login();
    session.done(&login).await;
    renewed.holds(&[("a", "1"), ("m", "1"), ("n", "1")]).await;
}

/// Otherwise, an expired code comes back when somebody sets a new deadline.
pub async fn an_expired_field_is_removed(store: &StoreUnderTest) {
    let clause = store.advised(
        "Changes::expired says which fields to remove with their deadlines: use Changes::apply",
    );
    let session = clause
        .session(&[("code", "1"), ("@until:code", "100"), ("a", "1")])
        .await;
    let mut update = session.changing([("a", set("2"))]);
    update.changes.expire(expired());
    session.done(&update).await;
    session.holds(&[("a", "2")]).await;
}

/// If another request gave it a new deadline meanwhile, or this one does.
pub async fn an_expired_field_that_was_renewed_stays(store: &StoreUnderTest) {
    let clause = store.advised(
        "an expired field must be removed only if its stored deadline is the one that was found, and \
         before the changes are applied: use Changes::apply",
    );
    let session = clause
        .session(&[("code", "2"), ("@until:code", "200"), ("a", "1")])
        .await;
    let mut update = session.changing([("a", set("2"))]);
    update.changes.expire(expired());
    session.done(&update).await;
    session
        .holds(&[("@until:code", "200"), ("a", "2"), ("code", "2")])
        .await;
    session
        .done(&session.changing([("@until:code", set("100"))]))
        .await;
    let mut renewal = session.changing([("code", set("3")), ("@until:code", set("300"))]);
    renewal.changes.expire(expired());
    session.done(&renewal).await;
    session
        .holds(&[("@until:code", "300"), ("a", "2"), ("code", "3")])
        .await;
}

fn expired() -> Expired {
    Expired::new("code".into(), "@until:code".into(), b"100".to_vec())
}
