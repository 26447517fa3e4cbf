//! The cost of each part of a request:
//!
//! ```sh
//! cargo bench --manifest-path benches/Cargo.toml -p parts
//! ```
//!
//! Add a name to run only matching benches, or `-- --quick`. A private part is measured through the nearest
//! public function, and has its name.

mod cookies;
mod fields;
mod record;
mod request;
mod sessions;
mod token;

criterion::criterion_group!(
    parts,
    token::bench,
    fields::bench,
    record::bench,
    request::bench,
    cookies::bench
);
criterion::criterion_main!(parts);
