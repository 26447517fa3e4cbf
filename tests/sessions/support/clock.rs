//! A machine whose clock a test sets while its program runs.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use super::process::Folder;

/// A clock that is right at first. Only what it says can be wrong; time passes as ever.
#[derive(Debug)]
pub(crate) struct WallClock(Folder);

impl WallClock {
    pub(crate) fn new() -> Self {
        let clock = Self(Folder::new("clock"));
        clock.set("+0");
        clock
    }

    /// Sets it to the right time and this, like `+31m`.
    pub(crate) fn set(&self, offset: &str) {
        // By its name, so that nobody reads half of it.
        let (next, now) = (self.0.path().join("next"), self.0.path().join("now"));
        fs::write(&next, offset).unwrap();
        fs::rename(next, now).unwrap();
    }

    /// Makes a program read this clock.
    pub(crate) fn of(&self, command: &mut Command) {
        command
            .envs(LIBRARY.iter().map(|(name, value)| (name, value)))
            .env("FAKETIME_TIMESTAMP_FILE", self.0.path().join("now"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
}

/// How `faketime` gets into a program. It would start one as its child, whose process id nobody knows.
/// Without the system's own allocator beside it, it fails in a program that brings another one.
static LIBRARY: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let mut faketime = Command::new("faketime");
    let output = faketime.args(["-f", "+0", "env"]).stdin(Stdio::null());
    let output = output.output().expect("these tests need `faketime`");
    let variables = String::from_utf8(output.stdout).unwrap();
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let loads = |name: &str| name == "LD_PRELOAD" || name.starts_with("DYLD_");
    let variables = variables.filter(|(name, _)| loads(name));
    let variables = variables.map(|(name, library)| match name {
        "LD_PRELOAD" => (name.to_owned(), format!("{library} libc.so.6")),
        _ => (name.to_owned(), library.to_owned()),
    });
    variables.collect()
});
