//! What is kept, exactly as it was written.

use std::time::Duration;

use super::StoreUnderTest;
use super::fixture::{LONG, START, add, commit, max, set};
use crate::changes::{Change, Expired};
use crate::expiry::Lifetime;
use crate::record::{Metadata, Name};
use crate::store::{Update, Wanted};

/// All other fields stay: another build's, and what another request wrote since this one read. Who
/// writes whole records loses it
/// ([laravel/framework#18187](https://github.com/laravel/framework/issues/18187),
/// [connect-redis#346](https://github.com/tj/connect-redis/issues/346)).
pub async fn only_named_fields_are_touched(store: &StoreUnderTest) {
    let session = store
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

/// A field that is set is there, one that is unset is not, whatever was there before; a session of
/// which every field was unset is still a session.
pub async fn set_and_unset_do_what_they_say(store: &StoreUnderTest) {
    let session = store.session(&[("a", "1"), ("b", "1")]).await;
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

/// A touch says when, and nothing else.
pub async fn a_touch_changes_one_time_only(store: &StoreUnderTest) {
    let session = store.session(&[("a", "1")]).await;
    let touched_at = START.plus(Duration::from_millis(123_456));
    session
        .done(&Update::touch(commit(), session.epoch, touched_at, LONG))
        .await;
    let expected = Metadata {
        touched_at,
        ..session.created
    };
    assert_eq!(session.record().await.metadata.pack(), expected.pack());
    session.holds(&[("a", "1")]).await;
}

/// "Remember me" gives a session other deadlines; an update that says nothing of them leaves them.
pub async fn deadline_and_lifetime_change_where_they_are_given(store: &StoreUnderTest) {
    let session = store.session(&[]).await;
    let deadline = START.plus(LONG * 1000);
    let lifetime = Lifetime {
        idle_timeout: Some(LONG * 24),
        persistent: Some(false),
    };
    let update = Update {
        absolute_deadline: Some(deadline),
        lifetime: Some(lifetime),
        ..session.touch()
    };
    session.done(&update).await;
    session.done(&session.changing([("a", set("1"))])).await;
    let stored = session.record().await.metadata;
    assert_eq!(
        (stored.absolute_deadline, stored.lifetime),
        (deadline, lifetime)
    );
    let update = Update {
        lifetime: Some(Lifetime::default()),
        ..session.touch()
    };
    session.done(&update).await;
    let stored = session.record().await.metadata;
    assert_eq!(
        (stored.absolute_deadline, stored.lifetime),
        (deadline, Lifetime::default())
    );
}

/// A name may be an entry's key, which is whatever a user typed: in a store's language, a name is
/// data, not a pattern, not a path and not a command. Only names that begin with `@` are special:
/// `@until:` ones hold deadlines, all others belong to the store.
pub async fn any_name_is_kept(store: &StoreUnderTest) {
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
        "a@",
        &long,
    ];
    let session = store.session(&[]).await;
    let names = names.map(|name| Name::from(name.to_owned()));
    let sets = names.iter().map(|name| (name.clone(), set(name)));
    session.done(&session.changing_names(sets)).await;
    let stored = session.fields().await;
    for name in &names {
        assert_eq!(stored.get(name), Some(name.as_bytes()), "{name:?}");
    }
    assert_eq!(stored.iter().count(), names.len());
    let wanted = session
        .store
        .load(session.key, &Wanted::Fields(names.to_vec()))
        .await;
    let wanted = wanted.expect("load").expect("the session is stored");
    assert_eq!(wanted.fields, stored);
    let unsets = names.iter().map(|name| (name.clone(), Change::Unset));
    session.done(&session.changing_names(unsets)).await;
    session.holds(&[]).await;
}

/// A value is bytes: no text, no end mark, no number that could be written more nicely.
pub async fn any_value_is_kept(store: &StoreUnderTest) {
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
    let session = store.session(&[]).await;
    let name = |number: usize| Name::from(format!("v{number}"));
    let sets = values.iter().enumerate();
    let sets = sets.map(|(number, value)| (name(number), Change::Set(value.to_vec())));
    session.done(&session.changing_names(sets)).await;
    let stored = session.fields().await;
    for (number, value) in values.iter().enumerate() {
        assert_eq!(
            stored.get(&name(number)),
            Some(*value),
            "{}",
            value.escape_ascii()
        );
    }
}

/// Neither a large value nor many fields are cut off. How much is too much is not a store's to say.
pub async fn large_sessions_are_kept(store: &StoreUnderTest) {
    let session = store.session(&[]).await;
    let large = vec![0xa5; 256 * 1024];
    let many = (0..2000).map(|number| (Name::from(format!("f{number}")), set("1")));
    let large_one = (Name::from("large"), Change::Set(large.clone()));
    session
        .done(&session.changing_names(many.chain([large_one])))
        .await;
    let stored = session.fields().await;
    assert_eq!(stored.get("large"), Some(&large[..]));
    assert_eq!(stored.with_prefix("f").count(), 2000);
}

/// A store may hand out more than is wanted, but not less, and nothing that is not stored.
pub async fn the_wanted_fields_are_loaded(store: &StoreUnderTest) {
    let session = store.session(&[("a", "1"), ("b", "2"), ("c", "3")]).await;
    let wanted = Wanted::Fields(vec!["c".into(), "a".into(), "absent".into()]);
    let record = session.store.load(session.key, &wanted).await;
    let record = record.expect("load").expect("the session is stored");
    assert_eq!(record.fields.get("a"), Some(b"1".as_slice()));
    assert_eq!(record.fields.get("c"), Some(b"3".as_slice()));
    assert_eq!(record.fields.get("absent"), None);
    let none = session
        .store
        .load(session.key, &Wanted::Fields(Vec::new()))
        .await;
    let record = none
        .expect("load")
        .expect("a session without fields is one");
    assert_eq!(record.metadata.pack(), session.created.pack());
}

/// What a store keeps for itself stays its own: it is not a field that nobody declared, and not a
/// value that was taken away.
pub async fn nothing_but_fields_is_loaded(store: &StoreUnderTest) {
    let session = store.session(&[("a", "1"), ("code", "secret")]).await;
    session
        .done(&session.changing([("n", add(1)), ("m", max("1"))]))
        .await;
    session.take(&session.taking("code")).await;
    session.done(&session.rotation().0).await;
    session.holds(&[("a", "1"), ("m", "1"), ("n", "1")]).await;
}

/// A record that was handed out is a request's own picture of the session, from which it works out
/// what it changed.
pub async fn a_loaded_record_never_changes(store: &StoreUnderTest) {
    let session = store.session(&[("a", "1"), ("code", "secret")]).await;
    let before = session.record().await;
    session.done(&session.changing([("a", set("2"))])).await;
    session.take(&session.taking("code")).await;
    session.done(&session.rotation().0).await;
    session.delete().await;
    assert_eq!(
        before.fields,
        super::fixture::of(&[("a", "1"), ("code", "secret")])
    );
    assert_eq!(before.metadata.pack(), session.created.pack());
}

/// A field past its own deadline goes with its deadline, together with the changes.
pub async fn an_expired_field_is_removed(store: &StoreUnderTest) {
    let session = store
        .session(&[("code", "1"), ("@until:code", "100"), ("a", "1")])
        .await;
    let mut update = session.changing([("a", set("2"))]);
    update.changes.expire(expired());
    session.done(&update).await;
    session.holds(&[("a", "2")]).await;
}

/// Unless another request gave it a new deadline in the meantime, or this one does.
pub async fn an_expired_field_that_was_renewed_stays(store: &StoreUnderTest) {
    let session = store
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
