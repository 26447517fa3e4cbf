mod monitor;
mod setup;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use deadpool_redis::redis::{self, FromRedisValue, RedisResult, Value};
use session_core::store::redis::RedisStore;

pub(crate) use self::monitor::{Monitor, Received};
use self::setup::{LOG, Ports, SOCKET, ask};
pub(crate) use self::setup::{Role, Setup};
use super::clock::WallClock;
use super::process::{Folder, Process, wait_for};
use super::tls::Certificates;

const MISSING: &str = "these tests need the program `redis-server`: run `scripts/test`, which \
                       installs it, or `apt-get install redis-server` / `brew install redis`";

const PORT_ATTEMPTS: usize = 10;

/// A Redis server on its own port, empty at first. It ends when this is dropped or the test process ends.
///
/// The methods block briefly; async tests can call them.
#[derive(Debug)]
pub(crate) struct RedisServer {
    ports: Ports,
    folder: Folder,
    setup: Setup,
    process: Option<Process>,
    is_paused: AtomicBool,
    connection: Mutex<Option<TcpStream>>,
    /// The test's own addresses, which a monitor leaves out.
    own: Arc<Mutex<HashSet<SocketAddr>>>,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        Self::start_with(Setup::default())
    }

    pub(crate) fn start_with_clock() -> Self {
        Self::start_with(Setup::default().with_clock("+0"))
    }

    pub(crate) fn start_with(setup: Setup) -> Self {
        let found = Command::new("redis-server")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        assert!(found.is_ok_and(|status| status.success()), "{MISSING}");
        let folder = Folder::new("redis");
        for _ in 0..PORT_ATTEMPTS {
            let ports = Ports::free();
            if let Some(process) = setup.launch(ports, &folder, &[]) {
                return Self {
                    ports,
                    folder,
                    setup,
                    process: Some(process),
                    is_paused: AtomicBool::new(false),
                    connection: Mutex::default(),
                    own: Arc::default(),
                };
            }
        }
        panic!("no free port for redis-server in {PORT_ATTEMPTS} attempts");
    }

    pub(crate) fn start_all(setups: impl IntoIterator<Item = Setup>) -> Vec<Self> {
        thread::scope(|scope| {
            let start = |setup| scope.spawn(|| Self::start_with(setup));
            let started: Vec<_> = setups.into_iter().map(start).collect();
            let joined = started.into_iter().map(|server| server.join().unwrap());
            joined.collect()
        })
    }

    /// A one-node cluster with all slots. Like larger ones, it refuses a script with keys of two slots.
    pub(crate) fn start_cluster() -> Self {
        let server = Self::start_with(Setup::default().with_role(Role::ClusterNode));
        let _: String = server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
        wait_for("the cluster", || {
            let info: String = server.command(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok").then_some(())
        });
        server
    }

    /// A server with TLS on [`tls_port`](Self::tls_port). The test itself uses the plain port.
    pub(crate) fn start_tls(
        certificates: &Certificates,
        requires_client_certificate: bool,
    ) -> Self {
        Self::start_with(Setup::default().with_tls(certificates, requires_client_certificate))
    }

    pub(crate) fn port(&self) -> u16 {
        self.ports.plain
    }

    pub(crate) fn tls_port(&self) -> u16 {
        assert!(self.setup.has_tls(), "this server speaks no TLS");
        self.ports.tls
    }

    /// Other servers use this port, and sentinels announce it.
    pub(crate) fn peer_port(&self) -> u16 {
        if self.setup.has_tls() {
            self.ports.tls
        } else {
            self.ports.plain
        }
    }

    pub(crate) fn bus_port(&self) -> u16 {
        self.ports.bus
    }

    pub(crate) fn socket_path(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }

    pub(crate) fn url(&self) -> String {
        self.url_of("redis", self.port())
    }

    pub(crate) fn tls_url(&self) -> String {
        self.url_of("rediss", self.tls_port())
    }

    fn url_of(&self, scheme: &str, port: u16) -> String {
        let password = self.password();
        let user = password.map(|password| format!(":{password}@"));
        format!("{scheme}://{}127.0.0.1:{port}", user.unwrap_or_default())
    }

    pub(crate) fn password(&self) -> Option<&str> {
        self.setup.password()
    }

    pub(crate) fn store(&self) -> RedisStore {
        RedisStore::new(self.url()).unwrap()
    }

    /// With a near cache. The port can be a proxy's.
    pub(crate) fn near_store(&self, port: u16, within: Duration) -> RedisStore {
        let store = RedisStore::new(format!("redis://127.0.0.1:{port}")).unwrap();
        store.near_cache(within)
    }

    pub(crate) fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.ask(&words)
    }

    /// As [`command`](Self::command), with arguments that are not text.
    pub(crate) fn command_of_bytes<T: FromRedisValue>(&self, words: &[&[u8]]) -> T {
        self.ask(words)
    }

    /// As [`command`](Self::command), but the server may refuse.
    pub(crate) fn attempt<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        redis::from_redis_value(self.answer(&words)?).map_err(Into::into)
    }

    /// Sends a command on a new connection, without waiting for its answer.
    pub(crate) fn begin(&self, words: &[&str]) -> TcpStream {
        let mut stream = self.connect().unwrap();
        let mut command = redis::Cmd::new();
        command.arg(words);
        stream.write_all(&command.get_packed_command()).unwrap();
        stream
    }

    /// Keeps the test's own.
    pub(crate) fn end_connections(&self) {
        let _: i64 = self.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    }

    pub(crate) fn wait_for_info(&self, section: &str, part: &str) {
        wait_for(part, || {
            let info: String = self.command(&["INFO", section]);
            info.contains(part).then_some(())
        });
    }

    pub(crate) fn refusal(&self, words: &[&str]) -> String {
        self.attempt::<Value>(words).unwrap_err().to_string()
    }

    /// The sorted keys of all sessions.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys = self.all_keys();
        keys.retain(|key| !key.contains('@'));
        keys
    }

    /// Includes the user index.
    pub(crate) fn all_keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        let mut cursor = String::from("0");
        loop {
            let (next, found): (String, Vec<String>) =
                self.command(&["SCAN", &cursor, "COUNT", "1000"]);
            keys.extend(found);
            if next == "0" {
                break;
            }
            cursor = next;
        }
        keys.sort();
        keys.dedup();
        keys
    }

    /// In milliseconds; -1 means for ever.
    pub(crate) fn ttls(&self) -> BTreeMap<String, i64> {
        let ttl = |key: String| (self.command::<i64>(&["PTTL", &key]), key);
        let ttls = self.all_keys().into_iter().map(ttl);
        ttls.map(|(ttl, key)| (key, ttl)).collect()
    }

    pub(crate) fn dump_all(&self) -> Vec<Entry> {
        let entry = |key: String| {
            let kind: String = self.command(&["TYPE", &key]);
            let values = match &*kind {
                "hash" => self.command(&["HGETALL", &key]),
                "list" => self.command(&["LRANGE", &key, "0", "-1"]),
                "set" => self.command(&["SMEMBERS", &key]),
                "string" => vec![self.command(&["GET", &key])],
                "zset" => self.command(&["ZRANGE", &key, "0", "-1", "WITHSCORES"]),
                _ => panic!("a key of type {kind}"),
            };
            let dump = self.command(&["DUMP", &key]);
            Entry { key, dump, values }
        };
        self.all_keys().into_iter().map(entry).collect()
    }

    pub(crate) fn monitor(&self) -> Monitor<'_> {
        Monitor::start(self)
    }

    /// Freezes the server: it accepts connections and commands but does not answer, until
    /// [`resume`](Self::resume).
    pub(crate) fn pause(&self) {
        self.is_paused.store(true, Ordering::Relaxed);
        self.running().signal("STOP");
    }

    pub(crate) fn resume(&self) {
        self.running().signal("CONT");
        self.is_paused.store(false, Ordering::Relaxed);
    }

    /// Its connections break, and its port refuses new ones.
    pub(crate) fn stop(&mut self) {
        drop(self.process.take());
        *lock(&self.connection) = None;
        self.is_paused = AtomicBool::new(false);
    }

    /// Starts the server again on the same port, with the data of its last SAVE, if any. It still knows other
    /// servers.
    pub(crate) fn restart(&mut self) {
        self.restart_with(&[]);
    }

    /// The same with more options, like `--name value`.
    pub(crate) fn restart_with(&mut self, options: &[&str]) {
        self.stop();
        let (ports, folder, setup) = (self.ports, &self.folder, &self.setup);
        let launch = || setup.launch(ports, folder, options);
        self.process = Some(wait_for("the port of before", launch));
    }

    /// Makes saving fail: a folder that is not empty takes the place of the dump.
    pub(crate) fn block_dump(&self) {
        fs::create_dir_all(self.folder.path().join("dump.rdb").join("in the way")).unwrap();
    }

    pub(crate) fn clock(&self) -> &WallClock {
        self.setup.clock().expect("started with its own clock")
    }

    pub(crate) fn is_responsive(&self) -> bool {
        self.process.is_some() && !self.is_paused.load(Ordering::Relaxed)
    }

    pub(crate) fn is_master(&self) -> bool {
        self.replication().contains("role:master")
    }

    /// Whether it is a master, or a replica in sync with its master.
    pub(crate) fn follows_its_master(&self) -> bool {
        self.is_master() || self.replication().contains("master_link_status:up")
    }

    /// Empty if the server closes the connection, as it does when it becomes a replica.
    fn replication(&self) -> String {
        let answer = self.attempt(&["INFO", "replication"]);
        answer.unwrap_or_default()
    }

    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(self.folder.path().join(LOG)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("this server is stopped")
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let stream = self.setup.connect(self.ports)?;
        lock(&self.own).insert(stream.local_addr()?);
        Ok(stream)
    }

    fn ask<T: FromRedisValue>(&self, words: &[&[u8]]) -> T {
        redis::from_redis_value(self.answer(words).unwrap()).unwrap()
    }

    fn answer(&self, words: &[&[u8]]) -> RedisResult<Value> {
        let mut connection = lock(&self.connection);
        // A server that sentinels make a replica closes all connections.
        let mut stream = match connection.take().filter(is_open) {
            Some(stream) => stream,
            None => self.connect()?,
        };
        let answer = ask(&mut stream, words)?;
        *connection = Some(stream);
        answer.extract_error()
    }
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// The answer to DUMP.
    pub(crate) dump: Vec<u8>,
    /// The names and values of a hash in turn, the members of a set, …
    pub(crate) values: Vec<Vec<u8>>,
}

impl Entry {
    pub(crate) fn contains(&self, bytes: &[u8]) -> bool {
        let texts = [self.key.as_bytes(), &self.dump];
        let values = self.values.iter().map(|value| &value[..]);
        let mut all = texts.into_iter().chain(values);
        all.any(|text| text.windows(bytes.len()).any(|part| part == bytes))
    }
}

fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_server_starts_empty_and_ends_with_its_handle() {
    let server = RedisServer::start();
    assert!(server.keys().is_empty());
    assert_eq!(server.command::<String>(&["PING"]), "PONG");
    let port = server.port();
    drop(server);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn two_servers_do_not_meet() {
    let (one, other) = (RedisServer::start(), RedisServer::start());
    one.command::<()>(&["SET", "key", "value"]);
    assert_eq!(one.keys(), ["key"]);
    assert!(other.keys().is_empty());
}

#[test]
fn keys_values_and_lifetimes_are_seen() {
    let server = RedisServer::start();
    server.command::<()>(&["HSET", "hash", "name", "value"]);
    server.command::<()>(&["PEXPIRE", "hash", "60000"]);
    server.command::<()>(&["SADD", "set", "member"]);
    assert_eq!(server.keys(), ["hash", "set"]);
    let ttls = server.ttls();
    assert!((1..=60_000).contains(&ttls["hash"]));
    assert_eq!(ttls["set"], -1);
    let entries = server.dump_all();
    assert_eq!(entries[0].values, [b"name".to_vec(), b"value".to_vec()]);
    assert!(entries[0].contains(b"value") && !entries[0].contains(b"member"));
    assert!(entries[1].contains(b"member") && entries[1].contains(b"set"));
}

#[test]
fn a_paused_server_is_silent_until_it_is_resumed() {
    use std::io::{Read as _, Write as _};

    use super::process::PATIENCE;

    let server = RedisServer::start();
    let mut client = server.setup.connect(server.ports).unwrap();
    let silence = std::time::Duration::from_millis(50);
    client.set_read_timeout(Some(silence)).unwrap();
    server.pause();
    client.write_all(b"PING\r\n").unwrap();
    assert!(client.read(&mut [0; 16]).is_err());
    server.resume();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = [0; 7];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
}

#[test]
fn a_paused_server_can_be_dropped() {
    let server = RedisServer::start();
    server.pause();
    let port = server.port();
    drop(server);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_stopped_server_comes_back_empty_on_the_same_port() {
    let mut server = RedisServer::start();
    server.command::<()>(&["SET", "key", "value"]);
    let url = server.url();
    server.stop();
    assert!(TcpStream::connect(("127.0.0.1", server.port())).is_err());
    server.restart();
    assert_eq!(server.url(), url);
    assert!(server.keys().is_empty());
}

#[test]
fn a_server_listens_on_a_socket_too() {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    let server = RedisServer::start();
    let mut client = UnixStream::connect(server.socket_path()).unwrap();
    client.write_all(b"PING\r\n").unwrap();
    let mut answer = [0; 7];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
}

#[test]
fn a_server_may_close_connections_and_is_asked_on_a_new_one() {
    let server = RedisServer::start();
    let kill = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no"];
    assert_eq!(server.command::<u8>(&kill), 1);
    assert_eq!(server.command::<String>(&["PING"]), "PONG");
}
