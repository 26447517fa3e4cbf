use std::io;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::time::ClockId;
use nix::unistd::Pid;

/// A program that ends with this value.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
        match quiet.spawn() {
            Ok(child) => Ok(Self(child)),
            Err(error) => Err(io::Error::other(format!("{command:?}: {error}"))),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }

    /// The CPU time of all threads, to the nanosecond.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let clock = ClockId::pid_cpu_clock_id(pid(&self.0))?;
        Ok(clock.now()?.into())
    }

    /// Returns when the process has stopped.
    pub(crate) fn pause(&self) -> io::Result<()> {
        kill(pid(&self.0), Signal::SIGSTOP)?;
        while !self.stands_still()? {
            std::thread::yield_now();
        }
        Ok(())
    }

    pub(crate) fn resume(&self) -> io::Result<()> {
        Ok(kill(pid(&self.0), Signal::SIGCONT)?)
    }

    fn stands_still(&self) -> io::Result<bool> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // `12 (name) T`: the name may hold anything.
        let state = stat.rsplit_once(')').map(|(_, state)| state.trim_start());
        Ok(state.is_some_and(|state| state.starts_with('T')))
    }

    /// In bytes.
    pub(crate) fn memory(&self) -> io::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.map(|kib| kib * 1024)
            .ok_or_else(|| io::Error::other("no VmRSS"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGTERM first: valgrind writes its counts only then.
        let _ = kill(pid(&self.0), Signal::SIGTERM);
        for _ in 0..50 {
            if self.has_ended() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

pub(crate) fn free_port() -> io::Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
}
