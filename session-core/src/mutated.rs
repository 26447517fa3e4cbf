//! Parsers of inputs from browsers and stores neither panic nor take long.
//!
//! `INPUTS=10000000 cargo test --release -p session-core mutated -- --nocapture` tries that many.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::expiry::Lifetime;
use crate::fields::Fields;
use crate::options::{parse_duration, parse_size};
use crate::record::{Metadata, Record};
use crate::seal::{Keyring, parse_key};
use crate::store::Key;
use crate::testing::mutations::Mutations;
use crate::token::{SessionId, Token};
use crate::users::{Roster, UserKey};

/// A name, an accepted input, and the parser.
type Parser = (&'static str, Vec<u8>, fn(&[u8]));

fn ring() -> Keyring {
    Keyring::new([&[1; 32][..]]).unwrap()
}

fn parsers() -> Vec<Parser> {
    let token = Token::generate().unwrap();
    let mut metadata = Metadata::created_now(Timestamp::from_millis(1 << 40), Duration::MAX);
    metadata.set_lifetime(&Lifetime::default());
    let fields = [("a".into(), b"[1,{\"b\":null}]".to_vec())].into_iter();
    let fields: Fields = fields.collect();
    let record = Record::new(metadata.clone(), fields, Timestamp::from_millis(1 << 41));
    let id = token.id();
    let roster = format!(
        r#"{{"members":{{"{id}":{{"entered_at":1,"remove_at":2,"is_doomed":false,"label":"x"}}}},"ended_at":3,"ended_until":4}}"#
    );

    // Sealed for another field, so no mutation may open.
    let sealed = ring().seal(Key::new("visit", id), "b", b"1").unwrap();

    vec![
        ("token", token.expose().into_bytes(), |bytes| {
            let _ = Token::parse(bytes).map(|token| token.digests());
        }),
        ("id", id.to_string().into_bytes(), |bytes| {
            let _ = SessionId::parse(&String::from_utf8_lossy(bytes));
        }),
        ("metadata", metadata.pack(), |bytes| {
            // Packing writes back what it read.
            if let Some(metadata) = Metadata::unpack(bytes) {
                assert!(metadata.pack().starts_with(&bytes[..bytes.len().min(51)]));
            }
        }),
        ("sealed value", sealed, |bytes| {
            assert!(
                ring()
                    .open(Key::new("visit", SessionId::MIN), "a", bytes)
                    .is_none()
            );
        }),
        ("key", b"0123456789abcdef".repeat(4), |bytes| {
            let _ = parse_key(&String::from_utf8_lossy(bytes));
        }),
        ("record", record.to_bytes(), |bytes| {
            if let Some(record) = Record::from_bytes(bytes) {
                assert!(Record::from_bytes(&record.to_bytes()).is_some());
            }
        }),
        ("roster", roster.into_bytes(), |bytes| {
            if let Ok(roster) = serde_json::from_slice::<Roster>(bytes) {
                let _ = roster.remove_at();
            }
        }),
        ("identity", b"{\"a\":[1,\"x\",null]}".to_vec(), |bytes| {
            let _ = UserKey::new("visit", bytes);
        }),
        ("duration", b"1h 30m 5s".to_vec(), |bytes| {
            let _ = parse_duration(&String::from_utf8_lossy(bytes));
        }),
        ("size", b"64KiB".to_vec(), |bytes| {
            let _ = parse_size(&String::from_utf8_lossy(bytes));
        }),
    ]
}

#[test]
fn mutated_inputs_make_no_parser_panic() {
    let parsers = parsers();
    let inputs = Mutations::wanted() / parsers.len();
    let mut mutations = Mutations::new();
    for (name, seed, parse) in &parsers {
        let longest = mutations.feed(seed, inputs, parse);
        println!("{name}: {inputs} inputs, the longest took {longest:?}");
    }
}
