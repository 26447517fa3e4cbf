use std::fs;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use super::process::Folder;

/// A wall clock that a test sets while a program runs. Monotonic time is not affected.
#[derive(Debug)]
pub(crate) struct WallClock(Folder);

impl WallClock {
    pub(crate) fn new() -> Self {
        let clock = Self(Folder::new("clock"));
        clock.set("+0");
        clock
    }

    /// Sets the offset from the right time, like `+31m`.
    pub(crate) fn set(&self, offset: &str) {
        // Renamed into place: a reader never sees half a file.
        let (next, now) = (self.0.path().join("next"), self.0.path().join("now"));
        fs::write(&next, offset).unwrap();
        fs::rename(next, now).unwrap();
    }

    /// Makes the program read this clock.
    pub(crate) fn of(&self, command: &mut Command) {
        command
            .envs(LIBRARY.iter().map(|(name, value)| (name, value)))
            .env("FAKETIME_TIMESTAMP_FILE", self.0.path().join("now"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
}

/// What loads libfaketime into a program. The `faketime` command would hide the program's process id. Without
/// libc beside it, libfaketime fails in a program with its own allocator.
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
