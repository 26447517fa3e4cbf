//! A Rocket application that is a program of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::Value;

use super::clock::WallClock;
use super::http::Browser;
use super::process::{Folder, Process, wait_for};
use super::redis::RedisServer;

/// A program that serves on a free port, until this is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    address: SocketAddr,
    process: Process,
    _folder: Folder,
    /// Its machine's clock, if it has one of its own.
    _clock: Option<WallClock>,
}

impl Program {
    /// Starts a program, with its sessions in memory or on a server.
    pub(crate) fn start(path: &Path, redis: Option<&RedisServer>) -> Self {
        Self::run(Command::new(path), redis)
    }

    /// The same on a machine whose clock is off, like `+31m`.
    pub(crate) fn with_clock(offset: &str, path: &Path, redis: &RedisServer) -> Self {
        let clock = WallClock::new();
        clock.set(offset);
        let mut program = Self::with_wall_clock(&clock, path, Some(redis));
        program._clock = Some(clock);
        program
    }

    /// The same on a machine whose clock a test sets.
    pub(crate) fn with_wall_clock(
        clock: &WallClock,
        path: &Path,
        redis: Option<&RedisServer>,
    ) -> Self {
        let mut command = Command::new(path);
        clock.of(&mut command);
        Self::run(command, redis)
    }

    /// The same with a command of one's own.
    pub(crate) fn run(mut command: Command, redis: Option<&RedisServer>) -> Self {
        let folder = Folder::new("program");
        // A folder without a `Rocket.toml`, an environment without a Rocket.
        command.current_dir(folder.path());
        let variables = std::env::vars_os().map(|(name, _)| name);
        for name in variables.filter(|name| name.to_string_lossy().starts_with("ROCKET_")) {
            command.env_remove(name);
        }
        command
            .env("ROCKET_PORT", "0")
            .env("ROCKET_CLI_COLORS", "false");
        if let Some(redis) = redis {
            let databases = format!("{{sessions={{url=\"{}\"}}}}", redis.url());
            command.env("ROCKET_DATABASES", databases);
        }
        let mut process = Process::start(&command, folder.path().join("log"));
        let address = wait_for("the launch of a program", || {
            let log = process.log();
            assert!(!process.exited(), "the program ended:\n{log}");
            let (_, address) = log.split_once("Rocket has launched from http://")?;
            let (address, _) = address.split_once('\n')?;
            Some(address.trim().parse().unwrap())
        });
        Self {
            address,
            process,
            _folder: folder,
            _clock: None,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A browser on its own pages.
    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.address).on_site("same-origin")
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait_for_end(&mut self) {
        wait_for("the end of a program", || {
            self.process.exited().then_some(())
        });
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("What the program said:\n{}", self.process.log());
        }
    }
}

/// The program of an example, or of a test in the workspace.
pub(crate) fn built(name: &str) -> PathBuf {
    static PROGRAMS: LazyLock<Vec<PathBuf>> = LazyLock::new(build);
    let mut programs = PROGRAMS.iter();
    let program = programs.find(|path| path.file_stem().is_some_and(|stem| stem == name));
    program.unwrap().clone()
}

/// Builds the programs with the profile of this test, and with the features that
/// `cargo test --workspace --all-features` has: it has compiled the dependencies already then.
fn build() -> Vec<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--workspace", "--all-features"]);
    cargo.args(["--example", "counter", "--example", "session_admin"]);
    cargo.args(["--bin", "before", "--bin", "after"]);
    cargo.args(["--message-format", "json", "--manifest-path"]);
    cargo.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    cargo.arg("--target-dir");
    cargo.arg(Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap());
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let cargo = cargo.stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "the programs do not build");
    let messages = String::from_utf8(output.stdout).unwrap();
    let messages = messages.lines();
    let messages = messages.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let programs = messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    programs.collect()
}
