//! A real Redis server of one's own.

mod monitor;

use std::collections::{BTreeMap, HashSet};
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::{self, FromRedisValue, Parser, RedisResult, Value};
use session_core::store::redis::RedisStore;

pub(crate) use self::monitor::{Monitor, Received};
use super::process::{Folder, PATIENCE, Process, free_port, wait_for};

const MISSING: &str = "these tests need the program `redis-server`: run `scripts/test`, which \
                       installs it, or `apt-get install redis-server` / `brew install redis`";

/// How often another port is tried when somebody else was faster.
const PORT_ATTEMPTS: usize = 10;

/// A Redis server on a port of its own, empty at first. It ends when this is dropped, and with the
/// test process however that ends.
///
/// Its methods block for the moment that a local server takes; they can be called in async tests.
#[derive(Debug)]
pub(crate) struct RedisServer {
    port: u16,
    folder: Folder,
    mode: Mode,
    process: Option<Process>,
    connection: Mutex<Option<TcpStream>>,
    /// Our own addresses, so that a monitor can leave out what the test itself asks.
    own: Arc<Mutex<HashSet<SocketAddr>>>,
}

/// How a server runs.
#[derive(Clone, Copy, Debug)]
enum Mode {
    Alone,
    /// As a node of a cluster.
    Cluster,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        Self::start_in(Mode::Alone)
    }

    /// A cluster of one node, which has all slots. It refuses a script with keys of two slots, as larger
    /// ones do.
    pub(crate) fn start_cluster() -> Self {
        let server = Self::start_in(Mode::Cluster);
        let _: String = server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
        wait_for("the cluster", || {
            let info: String = server.command(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok").then_some(())
        });
        server
    }

    fn start_in(mode: Mode) -> Self {
        let found = Command::new("redis-server")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        assert!(found.is_ok_and(|status| status.success()), "{MISSING}");
        let folder = Folder::new("redis");
        for _ in 0..PORT_ATTEMPTS {
            let port = free_port();
            if let Some(process) = launch(port, &folder, mode) {
                return Self {
                    port,
                    folder,
                    mode,
                    process: Some(process),
                    connection: Mutex::default(),
                    own: Arc::default(),
                };
            }
        }
        panic!("no free port for redis-server in {PORT_ATTEMPTS} attempts");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:…`.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A store of its sessions, on a connection of its own.
    pub(crate) fn store(&self) -> RedisStore {
        RedisStore::new(self.url()).unwrap()
    }

    /// The same with a near cache, over this port: the server's own, or that of a proxy before it.
    pub(crate) fn near_store(&self, port: u16, within: Duration) -> RedisStore {
        let store = RedisStore::new(format!("redis://127.0.0.1:{port}")).unwrap();
        store.near_cache(within)
    }

    /// Sends a command and gives its answer as a type of one's choice, [`Value`] for instance.
    pub(crate) fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.ask(&words)
    }

    /// The same with words that are no text.
    pub(crate) fn command_of_bytes<T: FromRedisValue>(&self, words: &[&[u8]]) -> T {
        self.ask(words)
    }

    /// Sends a command that the server refuses, and gives its reason.
    pub(crate) fn refusal(&self, words: &[&str]) -> String {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.answer(&words).unwrap_err().to_string()
    }

    /// The keys of all sessions, in order.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys = self.all_keys();
        keys.retain(|key| !key.contains('@'));
        keys
    }

    /// All keys, those of users too.
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

    /// How long each key has to live, in milliseconds; -1 is for ever.
    pub(crate) fn ttls(&self) -> BTreeMap<String, i64> {
        let ttl = |key: String| (self.command::<i64>(&["PTTL", &key]), key);
        let ttls = self.all_keys().into_iter().map(ttl);
        ttls.map(|(ttl, key)| (key, ttl)).collect()
    }

    /// Everything that the server holds.
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

    /// Records the commands that the server receives from now on.
    pub(crate) fn monitor(&self) -> Monitor<'_> {
        Monitor::start(self)
    }

    /// Stops the server in its tracks: it accepts connections and commands and answers nothing,
    /// until [`resume`](Self::resume).
    pub(crate) fn pause(&self) {
        self.running().signal("STOP");
    }

    pub(crate) fn resume(&self) {
        self.running().signal("CONT");
    }

    /// Ends the server at once: its connections break and its port refuses new ones.
    pub(crate) fn stop(&mut self) {
        drop(self.process.take());
        *lock(&self.connection) = None;
    }

    /// Starts the server again, empty, on the same port.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let (port, folder, mode) = (self.port, &self.folder, self.mode);
        let process = wait_for("the port of before", || launch(port, folder, mode));
        self.process = Some(process);
    }

    /// What the server said, for when a test fails.
    pub(crate) fn log(&self) -> String {
        self.running().log()
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("this server is stopped")
    }

    fn connect(&self) -> TcpStream {
        let stream = connect(self.port).unwrap();
        lock(&self.own).insert(stream.local_addr().unwrap());
        stream
    }

    fn ask<T: FromRedisValue>(&self, words: &[&[u8]]) -> T {
        redis::from_redis_value(self.answer(words).unwrap()).unwrap()
    }

    fn answer(&self, words: &[&[u8]]) -> RedisResult<Value> {
        let mut connection = lock(&self.connection);
        let stream = connection.get_or_insert_with(|| self.connect());
        ask(stream, words).unwrap().extract_error()
    }
}

/// What the server holds under one key.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// As Redis would write it to disk.
    pub(crate) dump: Vec<u8>,
    /// The names and values of a hash, one after the other; the members of a set; …
    pub(crate) values: Vec<Vec<u8>>,
}

impl Entry {
    /// Whether these bytes stand anywhere in it: in the key, the values or the dump.
    pub(crate) fn contains(&self, bytes: &[u8]) -> bool {
        let texts = [self.key.as_bytes(), &self.dump];
        let values = self.values.iter().map(|value| &value[..]);
        let mut all = texts.into_iter().chain(values);
        all.any(|text| text.windows(bytes.len()).any(|part| part == bytes))
    }
}

/// Starts a server and waits until it answers. `None`: the port is taken.
fn launch(port: u16, folder: &Folder, mode: Mode) -> Option<Process> {
    let mut command = Command::new("redis-server");
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
        .arg("--dir")
        .arg(folder.path());
    if let Mode::Cluster = mode {
        // Where it would hear of other nodes; by itself, it takes its port and 10000.
        let bus = free_port().to_string();
        command.args(["--cluster-enabled", "yes", "--cluster-port", &bus]);
    }
    let mut process = Process::start(&command, folder.path().join("log"));
    let ready = wait_for("redis-server", || {
        // Whoever answers on this port may be a stranger.
        let id = format!("process_id:{}\r\n", process.id());
        if process.exited() {
            return Some(false);
        }
        let info = connect(port).and_then(|mut stream| ask(&mut stream, &[b"INFO", b"server"]));
        let info = info
            .ok()
            .and_then(|info| redis::from_redis_value::<String>(info).ok());
        info.filter(|info| info.contains(&id)).map(|_| true)
    });
    let log = process.log();
    assert!(
        ready || log.contains("Address already in use"),
        "redis-server ended:\n{log}"
    );
    ready.then_some(process)
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Not redis-rs' connection: that says something to the server by itself when it connects.
fn ask(stream: &mut TcpStream, words: &[&[u8]]) -> io::Result<Value> {
    let mut command = redis::Cmd::new();
    command.arg(words);
    stream.write_all(&command.get_packed_command())?;
    Parser::new()
        .parse_value(stream)
        .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
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
    assert!(connect(port).is_err());
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
    use std::io::Read as _;

    let server = RedisServer::start();
    let mut client = connect(server.port()).unwrap();
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
    assert!(connect(port).is_err());
}

#[test]
fn a_stopped_server_comes_back_empty_on_the_same_port() {
    let mut server = RedisServer::start();
    server.command::<()>(&["SET", "key", "value"]);
    let url = server.url();
    server.stop();
    assert!(connect(server.port()).is_err());
    server.restart();
    assert_eq!(server.url(), url);
    assert!(server.keys().is_empty());
}
