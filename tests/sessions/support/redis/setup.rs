use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;

use deadpool_redis::redis::{self, Parser, Value};

use super::super::clock::WallClock;
use super::super::process::{Folder, PATIENCE, Process, free_port, wait_for};
use super::super::tls::Certificates;

pub(super) const LOG: &str = "log";

/// The Unix socket in the server's folder. The server gets this relative path, because the system limits a
/// socket's path to about a hundred characters.
pub(super) const SOCKET: &str = "socket";

/// How to start a server. By default: alone, no password, no TLS, this machine's clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    role: Role,
    clock: Option<Arc<WallClock>>,
    password: Option<String>,
    tls: Option<Tls>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Role {
    #[default]
    Alone,
    ClusterNode,
    Sentinel,
}

#[derive(Clone, Debug)]
struct Tls {
    certificates: Certificates,
    requires_client_certificate: bool,
}

/// A server's ports. A restart keeps them, because others know them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) plain: u16,
    pub(super) tls: u16,
    /// The cluster bus. The default would be the port plus 10000.
    pub(super) bus: u16,
}

impl Setup {
    /// With an offset for its clock, like `+31m`. A test can change it later. Needs glibc.
    pub(crate) fn with_clock(mut self, offset: &str) -> Self {
        let clock = WallClock::new();
        clock.set(offset);
        self.clock = Some(Arc::new(clock));
        self
    }

    pub(super) fn clock(&self) -> Option<&WallClock> {
        self.clock.as_deref()
    }

    /// With a password, which it also sends to its own master.
    pub(crate) fn with_password(mut self, password: &str) -> Self {
        self.password = Some(password.into());
        self
    }

    /// With TLS on a second port. Servers speak only TLS with each other.
    pub(crate) fn with_tls(
        mut self,
        certificates: &Certificates,
        requires_client_certificate: bool,
    ) -> Self {
        self.tls = Some(Tls {
            certificates: certificates.clone(),
            requires_client_certificate,
        });
        self
    }

    pub(crate) fn with_role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    pub(crate) fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    pub(crate) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Starts a server and waits until it answers. `None`: a port is taken.
    pub(super) fn launch(
        &self,
        ports: Ports,
        folder: &Folder,
        options: &[&str],
    ) -> Option<Process> {
        let mut command = self.command(ports, folder);
        command.args(options);
        let mut process = Process::start(&command, folder.path().join(LOG));
        let is_ready = wait_for("redis-server", || {
            if process.exited() {
                return Some(false);
            }
            // Another server may answer on this port.
            let id = format!("process_id:{}\r\n", process.id());
            let info = self.connect(ports).and_then(|mut stream| {
                let info = ask(&mut stream, &[b"INFO", b"server"])?;
                redis::from_redis_value::<String>(info).map_err(io::Error::other)
            });
            info.is_ok_and(|info| info.contains(&id)).then_some(true)
        });
        let log = process.log();
        assert!(
            is_ready || log.contains("Address already in use"),
            "redis-server ended:\n{log}"
        );
        is_ready.then_some(process)
    }

    pub(super) fn connect(&self, ports: Ports) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", ports.plain))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        if let Some(password) = &self.password {
            ask(&mut stream, &[b"AUTH", password.as_bytes()])?;
        }
        Ok(stream)
    }

    fn command(&self, ports: Ports, folder: &Folder) -> Command {
        // Empty at first. Redis writes to it what sentinels and the servers that they manage must remember.
        // The arguments below override it.
        let config = folder.path().join("redis.conf");
        File::options()
            .append(true)
            .create(true)
            .open(&config)
            .unwrap();
        let mut command = Command::new("redis-server");
        if let Some(clock) = &self.clock {
            clock.of(&mut command);
        }
        command.arg(config);
        if let Role::Sentinel = self.role {
            command.arg("--sentinel");
        }
        command
            .args(["--port", &ports.plain.to_string(), "--bind", "127.0.0.1"])
            .args(["--unixsocket", SOCKET, "--daemonize", "no", "--dir"])
            .arg(folder.path());
        if let Role::Alone | Role::ClusterNode = self.role {
            // A replica need not wait for others before it copies the master.
            command.args(["--save", "", "--appendonly", "no"]);
            command.args(["--repl-diskless-sync-delay", "0"]);
        }
        if let Role::ClusterNode = self.role {
            command.args(["--cluster-enabled", "yes"]);
            command.args(["--cluster-port", &ports.bus.to_string()]);
            // Failures are noticed soon, and the other shards keep serving.
            command.args(["--cluster-node-timeout", "1000"]);
            command.args(["--cluster-require-full-coverage", "no"]);
            // A replica takes over however long it was without its master, and never changes its master.
            command.args(["--cluster-replica-validity-factor", "0"]);
            command.args(["--cluster-allow-replica-migration", "no"]);
        }
        if let Some(password) = &self.password {
            command.args(["--requirepass", password]);
            if let Role::Alone | Role::ClusterNode = self.role {
                command.args(["--masterauth", password]);
            }
        }
        if let Some(tls) = &self.tls {
            tls.add_to(&mut command, ports);
        }
        command
    }
}

impl Tls {
    fn add_to(&self, command: &mut Command, ports: Ports) {
        let certificates = &self.certificates;
        let auth = if self.requires_client_certificate {
            "yes"
        } else {
            "no"
        };
        command
            .args(["--tls-port", &ports.tls.to_string()])
            .args(["--tls-auth-clients", auth])
            .args(["--tls-replication", "yes", "--tls-cluster", "yes"])
            .arg("--tls-ca-cert-file")
            .arg(certificates.ca())
            .arg("--tls-cert-file")
            .arg(certificates.server())
            .arg("--tls-key-file")
            .arg(certificates.server_key());
    }
}

impl Ports {
    pub(super) fn free() -> Self {
        Self {
            plain: free_port(),
            tls: free_port(),
            bus: free_port(),
        }
    }
}

/// redis-rs' own connection would send extra commands when it connects.
pub(super) fn ask(stream: &mut TcpStream, words: &[&[u8]]) -> io::Result<Value> {
    let mut command = redis::Cmd::new();
    command.arg(words);
    stream.write_all(&command.get_packed_command())?;
    Parser::new()
        .parse_value(stream)
        .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}
