#![no_main]

use session_core::seal::Keyring;
use session_core::store::Key;
use session_core::token::SessionId;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let ring = Keyring::new([&[1; 32][..]]).unwrap();
    let id = SessionId::parse(&"A".repeat(22)).unwrap();
    assert!(ring.open(Key::new("visit", id), "token", bytes).is_none());
});
