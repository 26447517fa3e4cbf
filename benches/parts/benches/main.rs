//! What the parts of a request cost, each by itself:
//!
//! ```sh
//! cargo bench --manifest-path benches/Cargo.toml -p parts
//! ```
//!
//! A name at the end keeps only the benches with that name, `-- --quick` is shorter. What the crates
//! keep private is measured by the nearest public function, and bears that one's name.

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
