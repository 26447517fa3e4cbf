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
    _clock: Option<WallClock>,
}

impl Program {
    pub(crate) fn start(path: &Path, redis: Option<&RedisServer>) -> Self {
        Self::run(Command::new(path), redis)
    }

    /// With its clock off, like `+31m`.
    pub(crate) fn with_clock(offset: &str, path: &Path, redis: &RedisServer) -> Self {
        let clock = WallClock::new();
        clock.set(offset);
        let mut program = Self::with_wall_clock(&clock, path, Some(redis));
        program._clock = Some(clock);
        program
    }

    pub(crate) fn with_wall_clock(
        clock: &WallClock,
        path: &Path,
        redis: Option<&RedisServer>,
    ) -> Self {
        let mut command = Command::new(path);
        clock.of(&mut command);
        Self::run(command, redis)
    }

    pub(crate) fn run(mut command: Command, redis: Option<&RedisServer>) -> Self {
        let folder = Folder::new("program");
        // Without a `Rocket.toml` and without `ROCKET_` variables.
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

    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.address).on_site("same-origin")
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    pub(crate) fn wait_for_end(&mut self) {
        wait_for("the end of a program", || {
            self.process.exited().then_some(())
        });
    }

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

/// An example, or a test's program in the workspace.
pub(crate) fn built(name: &str) -> PathBuf {
    static PROGRAMS: LazyLock<Vec<PathBuf>> = LazyLock::new(build);
    let mut programs = PROGRAMS.iter();
    let program = programs.find(|path| path.file_stem().is_some_and(|stem| stem == name));
    program.unwrap().clone()
}

/// Builds the programs with this test's profile and the features of `cargo test --workspace --all-features`,
/// which has already compiled the dependencies.
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
