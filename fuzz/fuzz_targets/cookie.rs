#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rocket_typed_session::__private::read_cookies(bytes));
