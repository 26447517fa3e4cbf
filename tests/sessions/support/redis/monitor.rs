use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use super::super::process::PATIENCE;
use super::setup::ask;
use super::{RedisServer, lock};

#[derive(Debug)]
pub(crate) struct Monitor<'r> {
    server: &'r RedisServer,
    stream: TcpStream,
    received: Receiver<Received>,
}

impl<'r> Monitor<'r> {
    pub(super) fn start(server: &'r RedisServer) -> Self {
        let mut stream = server.connect().unwrap();
        stream.write_all(b"MONITOR\r\n").unwrap();
        // A monitor may wait for long.
        stream.set_read_timeout(None).unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap());
        let mut answer = String::new();
        lines.read_line(&mut answer).unwrap();
        assert_eq!(answer, "+OK\r\n");
        let (sender, received) = mpsc::channel();
        thread::spawn(move || {
            let parsed = lines.lines().map_while(Result::ok);
            for command in parsed.filter_map(|line| Received::parse(&line)) {
                if sender.send(command).is_err() {
                    break;
                }
            }
        });
        Self {
            server,
            stream,
            received,
        }
    }

    /// The clients' commands since the last call, in order, without the test's own. A script counts once,
    /// whatever it calls.
    pub(crate) fn take(&self) -> Vec<Received> {
        let mut commands = self.take_all();
        commands.retain(|command| !command.is_in_script());
        commands
    }

    /// The same, with the calls of each script after it.
    pub(crate) fn take_all(&self) -> Vec<Received> {
        let marker = format!("marker {:?}", Instant::now());
        let _: String = self.server.command(&["ECHO", &marker]);
        let mut commands = Vec::new();
        loop {
            let command = self.received.recv_timeout(PATIENCE).unwrap();
            if command.words == ["ECHO", &*marker] {
                return commands;
            }
            if !self.is_own(&command) {
                commands.push(command);
            }
        }
    }

    fn is_own(&self, command: &Received) -> bool {
        let address = command.client.parse().ok();
        address.is_some_and(|address| lock(&self.server.own).contains(&address))
    }
}

impl Drop for Monitor<'_> {
    fn drop(&mut self) {
        // Ends the reading thread.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Received {
    /// The address of the client, or `lua`.
    pub(crate) client: String,
    /// The name in upper case, and the arguments. Bytes that are not UTF-8 are replaced.
    pub(crate) words: Vec<String>,
}

impl Received {
    pub(crate) fn name(&self) -> &str {
        &self.words[0]
    }

    /// Whether clients send this to set up a connection, or a pool to test one.
    pub(crate) fn is_about_the_connection(&self) -> bool {
        ["AUTH", "CLIENT", "HELLO", "PING", "SELECT", "UNWATCH"].contains(&self.name())
    }

    pub(crate) fn is_in_script(&self) -> bool {
        self.client == "lua"
    }

    /// Reads `+1700000000.123456 [0 127.0.0.1:50000] "HMGET" "key" "field"`.
    fn parse(line: &str) -> Option<Self> {
        let (_, line) = line.split_once('[')?;
        let (origin, line) = line.split_once("] ")?;
        let (_, client) = origin.split_once(' ')?;
        let mut words = Vec::new();
        let mut rest = line.bytes();
        while rest.find(|byte| *byte == b'"').is_some() {
            words.push(parse_word(&mut rest)?);
        }
        words.first_mut()?.make_ascii_uppercase();
        let client = client.into();
        Some(Self { client, words })
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words.join(" "))
    }
}

fn parse_word(rest: &mut impl Iterator<Item = u8>) -> Option<String> {
    let mut word = Vec::new();
    loop {
        let byte = match rest.next()? {
            b'"' => return Some(String::from_utf8_lossy(&word).into_owned()),
            b'\\' => match rest.next()? {
                b'a' => 0x07,
                b'b' => 0x08,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'x' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                other => other,
            },
            byte => byte,
        };
        word.push(byte);
    }
}

#[test]
fn a_monitor_records_clients_and_counts_a_script_once() {
    let server = RedisServer::start();
    server.command::<()>(&["SET", "before", "1"]);
    let monitor = server.monitor();
    server.command::<()>(&["SET", "by the test itself", "1"]);
    let mut client = server.setup.connect(server.ports).unwrap();
    let script = "redis.call('SET', KEYS[1], 'x'); return redis.call('GET', KEYS[1])";
    ask(
        &mut client,
        &[b"eval", script.as_bytes(), b"1", b"odd \"\\\n\x01\xff"],
    )
    .unwrap();
    ask(&mut client, &[b"HMGET", b"key", b"@", b"views"]).unwrap();
    let commands = monitor.take();
    assert_eq!(commands.len(), 2, "{commands:?}");
    assert_eq!(commands[0].name(), "EVAL");
    assert_eq!(commands[0].words[3], "odd \"\\\n\x01\u{fffd}");
    assert_eq!(commands[1].to_string(), "HMGET key @ views");
    assert!(monitor.take().is_empty());
    drop(monitor);
    assert_eq!(server.command::<String>(&["PING"]), "PONG");
}
