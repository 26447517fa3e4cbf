//! The compiler's messages for wrong uses of `#[session]`. The files beside this one are right uses.
//!
//! `TRYBUILD=overwrite cargo test -p ui-test --test mistakes` rewrites the `.stderr` files; read them.

use std::env;
use std::process::Command;

/// The compiler that wrote the `.stderr` files in `types`.
const COMPILER: &str = "rustc 1.95.";

/// These messages are ours, the same under every compiler.
#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("fail/*.rs");
}

/// These messages begin with ours, from `#[diagnostic::on_unimplemented]`, and go on in the compiler's words.
/// So they are only compared under [`COMPILER`].
#[test]
fn wrong_types_are_explained() {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output();
    let version = version.expect("the compiler that compiled this test runs");
    let version = String::from_utf8_lossy(&version.stdout);
    if version.starts_with(COMPILER) {
        trybuild::TestCases::new().compile_fail("types/*.rs");
    } else {
        eprintln!("not compared: written with {COMPILER}x, compiled with {version}");
    }
}
