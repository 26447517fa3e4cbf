use proptest::prelude::*;

use super::*;
use crate::merge::Change;
use crate::store::{Update, Updated};

fn of_seconds(seconds: u32) -> Option<Timestamp> {
    (seconds != 0).then(|| Timestamp::from_millis(u64::from(seconds) * 1000))
}

proptest! {
    #[test]
    fn records_go_round(
        digests: [u8; 32],
        seconds: [u32; 2],
        times in proptest::array::uniform4(0_u64..1 << 48),
        idle in proptest::option::of(1_u64..1 << 30),
        persistent: Option<bool>,
        fields in proptest::collection::vec((".{0,9}", proptest::collection::vec(any::<u8>(), 0..99)), 0..9),
    ) {
        let metadata = Metadata {
            digests: Digests::from_bytes(digests),
            created_at: Timestamp::from_millis(times[0]),
            touched_at: Timestamp::from_millis(times[1]),
            absolute_deadline: Timestamp::from_millis(times[2]),
            authenticated_at: of_seconds(seconds[0]),
            rotated_at: of_seconds(seconds[1]),
            idle_timeout: idle.map(Duration::from_secs),
            persistent,
            ..Metadata::default()
        };
        prop_assert!(metadata.pack().len() <= 64);
        let fields = fields.into_iter().map(|(name, value)| (Name::from(name), value)).collect();
        let record = Record::new(metadata.clone(), fields, Timestamp::from_millis(times[3]));
        let again = Record::from_bytes(&record.to_bytes()).unwrap();
        prop_assert_eq!(&again.fields, &record.fields);
        prop_assert_eq!(again.remove_at, record.remove_at);
        let again = again.metadata;
        prop_assert_eq!(again.pack(), metadata.pack());
        prop_assert_eq!(again.created_at, metadata.created_at);
        prop_assert_eq!(again.touched_at, metadata.touched_at);
        prop_assert_eq!(again.absolute_deadline, metadata.absolute_deadline);
        prop_assert_eq!(again.authenticated_at, metadata.authenticated_at);
        prop_assert_eq!(again.rotated_at, metadata.rotated_at);
        prop_assert_eq!(again.idle_timeout, metadata.idle_timeout);
        prop_assert_eq!(again.persistent, metadata.persistent);
        prop_assert!(again.digests.matches(&metadata.digests));
    }

    #[test]
    fn junk_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Metadata::unpack(&bytes);
        let _ = Record::from_bytes(&bytes);
    }
}

#[test]
fn what_a_later_version_appended_is_kept() {
    let mut packed =
        Metadata::created_now(Timestamp::from_millis(5000), Duration::from_secs(9)).pack();
    packed[0] = 7;
    packed.extend(b"of version 7");
    let mut metadata = Metadata::unpack(&packed).unwrap();
    assert_eq!(metadata.created_at, Timestamp::from_millis(5000));
    assert_eq!(metadata.pack(), packed);
    metadata.touched_at = Timestamp::from_millis(6000);
    assert!(metadata.pack().ends_with(b"of version 7"));
    assert_eq!(metadata.pack()[0], 7);
}

#[test]
fn what_an_older_form_lacks_is_none() {
    let mut metadata = Metadata::created_now(Timestamp::from_millis(5000), Duration::from_secs(9));
    metadata.authenticated_at = Some(Timestamp::from_millis(7000));
    metadata.idle_timeout = Some(Duration::from_secs(3));
    let packed = metadata.pack();
    let older = Metadata::unpack(&packed[..Metadata::ROTATED]).unwrap();
    assert_eq!(older.authenticated_at, metadata.authenticated_at);
    assert_eq!(older.idle_timeout, None);
    assert!(Metadata::unpack(&packed[..Metadata::ABSOLUTE]).is_none());
    assert!(Metadata::unpack(&[0; 64]).is_none());
}

#[test]
fn a_create_writes_where_nothing_is_or_what_is_over() {
    let at = |millis| Timestamp::from_millis(millis);
    let record = |remove_at| Record::new(Metadata::default(), Fields::new(), at(remove_at));
    let mut bytes = None;
    assert_eq!(record(2000).create_in(&mut bytes, at(1000)), Created::Done);
    assert_eq!(bytes, Some(record(2000).to_bytes()));
    assert_eq!(
        record(3000).create_in(&mut bytes, at(1999)),
        Created::Refused
    );
    assert_eq!(bytes, Some(record(2000).to_bytes()));
    assert_eq!(record(3000).create_in(&mut bytes, at(2000)), Created::Done);
    assert_eq!(bytes, Some(record(3000).to_bytes()));
    let mut junk = Some(b"junk".to_vec());
    assert_eq!(
        record(3000).create_in(&mut junk, at(2000)),
        Created::Refused
    );
    assert_eq!(junk.as_deref(), Some(b"junk".as_slice()));
}

#[test]
fn an_update_of_bytes_writes_only_what_is_done() {
    let (now, later) = (Timestamp::from_millis(1000), Timestamp::from_millis(2000));
    let record = Record::new(Metadata::default(), Fields::new(), later);
    let mut update = Update::new(record.metadata.digests, now);
    let set = Change::Set(b"1".to_vec());
    update.changes.insert("a".into(), set);
    for (before, at, answer) in [
        (None, now, Updated::Gone),
        (Some(b"junk".to_vec()), now, Updated::Gone),
        (Some(record.to_bytes()), later, Updated::Late(later)),
    ] {
        let mut bytes = before.clone();
        assert_eq!(update.apply_to_bytes(&mut bytes, at), answer);
        assert_eq!(bytes, before);
    }
    let mut bytes = Some(record.to_bytes());
    let updated = update.apply_to_bytes(&mut bytes, now);
    assert_eq!(updated, Updated::Done(Fields::new()));
    let after = bytes.and_then(|bytes| Record::from_bytes(&bytes));
    assert_eq!(after.unwrap().fields.get("a"), Some(b"1".as_slice()));
}
