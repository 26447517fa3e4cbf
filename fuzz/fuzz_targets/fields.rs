#![no_main]

use std::collections::BTreeMap;

use rocket_typed_session::{SessionData, session};
use session_core::clock::Timestamp;
use session_core::fields::Fields;

#[session]
struct Visit {
    #[session(counter)]
    views: i64,
    #[session(ttl = "5m")]
    notice: Option<String>,
    #[session(entries)]
    cart: BTreeMap<u32, Vec<f64>>,
}

libfuzzer_sys::fuzz_target!(|value: &[u8]| {
    let names = ["views", "notice", "@until:notice", "cart:1", "cart:x"];
    let fields = names.map(|name| (name.into(), value.to_vec()));
    let fields: Fields = fields.into_iter().collect();
    let _ = Visit::SCHEMA.decode(&fields, Timestamp::default());
});
