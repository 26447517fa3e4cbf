use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a test waits before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a program in the background, prints its process id, and kills it when standard input closes. The
/// system closes it when the test process ends, even by SIGKILL, where no destructor runs. At its own end,
/// the guardian kills its process group, because the program's children would outlive it, and removes what
/// libfaketime left in shared memory.
const GUARDIAN: &str = r#"
    exec 3<&0
    "$@" >"$LOG" 2>&1 </dev/null 3<&- &
    program=$!
    (read -r _ <&3; kill -9 "$program") >/dev/null 2>&1 &
    echo "$program"
    wait "$program"
    for left in "/dev/shm/faketime_shm_$program" "/dev/shm/sem.faketime_sem_$program"; do
        [ -e "$left" ] && rm -f "$left"
    done
    kill -9 0
"#;

/// A program that runs until this is dropped or the test process ends.
#[derive(Debug)]
pub(crate) struct Process {
    guardian: Child,
    id: u32,
    log: PathBuf,
}

impl Process {
    /// Starts a program that writes its output to the file `log`. If it cannot start,
    /// [`exited`](Self::exited) and the log show that.
    pub(crate) fn start(command: &Command, log: impl Into<PathBuf>) -> Self {
        let log = log.into();
        let mut guardian = Command::new("sh");
        guardian.args(["-c", GUARDIAN, "guardian"]);
        guardian.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => guardian.env(name, value),
                None => guardian.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            guardian.current_dir(folder);
        }
        let mut guardian = guardian
            .env("LOG", &log)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut id = String::new();
        let mut answer = BufReader::new(guardian.stdout.take().unwrap());
        answer.read_line(&mut id).unwrap();
        let id = id.trim().parse().unwrap();
        Self { guardian, id, log }
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn exited(&mut self) -> bool {
        self.guardian.try_wait().unwrap().is_some()
    }

    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.id.to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status();
        assert!(status.unwrap().success(), "no SIG{name} for process {id}");
    }

    pub(crate) fn kill(&mut self) {
        drop(self.guardian.stdin.take());
        self.guardian.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A temporary folder, removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(purpose: &str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{purpose}-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Another process may take it first.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// `what` appears in the message for a timeout.
pub(crate) fn wait_for<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_running(id: u32) -> bool {
    let mut kill = Command::new("kill");
    kill.args(["-s", "0", &id.to_string()]);
    kill.stderr(Stdio::null()).status().unwrap().success()
}

#[test]
fn a_program_ends_with_its_handle() {
    let folder = Folder::new("process");
    let mut sleep = Command::new("sleep");
    sleep.arg("1000");
    let process = Process::start(&sleep, folder.path().join("log"));
    let id = process.id();
    assert!(is_running(id));
    drop(process);
    assert!(!is_running(id));
}

#[test]
fn a_program_ends_when_its_starter_is_killed() {
    let folder = Folder::new("process");
    let mut sleep = Command::new("sleep");
    sleep.arg("1000");
    let mut process = Process::start(&sleep, folder.path().join("log"));
    let id = process.id();
    // The system does this when the test process dies.
    drop(process.guardian.stdin.take());
    wait_for("the end of the program", || (!is_running(id)).then_some(()));
}

#[test]
fn a_program_that_ends_by_itself_is_noticed_and_its_words_are_kept() {
    let folder = Folder::new("process");
    let mut echo = Command::new("sh");
    echo.args(["-c", "echo \"$WORD\"; exit 3"])
        .env("WORD", "hello");
    let mut process = Process::start(&echo, folder.path().join("log"));
    wait_for("the end of the program", || process.exited().then_some(()));
    assert_eq!(process.log(), "hello\n");
}
