//! A process has one logger, and the first rocket installs Rocket's. So each test of the log runs [`alone`],
//! in its own process.

use std::env;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Metadata, Record};

use super::process::PATIENCE;

const ALONE: &str = "ROCKET_TYPED_SESSION_TEST_ALONE";

/// Runs a test's body in its own process. Returns `None` there, and that process's standard output to the
/// caller.
///
/// # Panics
///
/// If the test fails there.
pub(crate) fn alone<F: AsyncFnOnce()>(body: F) -> Option<String> {
    if env::var_os(ALONE).is_some() {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(body());
        return None;
    }
    // The path of the closure: `sessions::module::test::{{closure}}`.
    let path = std::any::type_name::<F>();
    let name = path.trim_end_matches("::{{closure}}");
    let (_, name) = name.split_once("::").unwrap();
    let output = Command::new(env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(ALONE, "")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complaints}");
    assert!(said.contains("1 passed"), "no test {name}: {said}");
    Some(said)
}

#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) target: String,
    pub(crate) text: String,
}

/// Keeps lines of every level, except those of Rocket and hyper, which log request cookies at debug level.
#[derive(Debug)]
pub(crate) struct Log(Mutex<Vec<Line>>);

static LOG: Log = Log(Mutex::new(Vec::new()));

impl Log {
    /// Installs the logger. Call it before any rocket is built.
    pub(crate) fn keep() -> &'static Self {
        log::set_logger(&LOG).expect("call it before a rocket is built");
        log::set_max_level(LevelFilter::Trace);
        &LOG
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        self.lock().clone()
    }

    pub(crate) fn with(&self, part: &str) -> Vec<Line> {
        let mut lines = self.lines();
        lines.retain(|line| line.text.contains(part));
        lines
    }

    pub(crate) async fn wait_for(&self, part: &str) -> Line {
        let start = Instant::now();
        loop {
            if let Some(line) = self.with(part).pop() {
                return line;
            }
            let lines = self.lines();
            assert!(start.elapsed() < PATIENCE, "no \"{part}\" in {lines:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl log::Log for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let module = record.module_path().unwrap_or_default();
        let foreign = ["hyper", "rocket"];
        if foreign.contains(&module.split("::").next().unwrap_or_default()) {
            return;
        }
        self.lock().push(Line {
            level: record.level(),
            target: record.target().into(),
            text: record.args().to_string(),
        });
    }

    fn flush(&self) {}
}
