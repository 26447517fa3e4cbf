use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use crate::process::{Process, free_port};

pub(crate) struct Redis {
    pub(crate) process: Process,
    pub(crate) port: u16,
    connection: BufReader<TcpStream>,
}

/// What Redis did since the last `reset`.
#[derive(Clone, Default)]
pub(crate) struct Traffic {
    /// Includes those in scripts.
    pub(crate) commands: BTreeMap<String, u64>,
    pub(crate) bytes: u64,
}

/// Copies the session whose id begins with `ARGV[1]`. Each copy's id begins with its number.
const MULTIPLY: &str = "local key = redis.call('KEYS', '*:' .. ARGV[1] .. '*')[1] \
    local ttl, dump = redis.call('PTTL', key), redis.call('DUMP', key) \
    local head, tail = key:match('^(.*:).......(.*)$') \
    for number = 0, ARGV[2] - 1 do \
    redis.call('RESTORE', head .. ('%07d'):format(number) .. tail, ttl, dump) \
    end return 1";

impl Redis {
    /// Without persistence.
    pub(crate) fn start() -> io::Result<Self> {
        let port = free_port()?;
        let process = Process::start(Command::new("redis-server").args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]))?;
        for _ in 0..250 {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
                stream.set_nodelay(true)?;
                let connection = BufReader::new(stream);
                return Ok(Self {
                    process,
                    port,
                    connection,
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(io::Error::other("redis-server does not answer"))
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn reset(&mut self) -> io::Result<()> {
        self.ask("CONFIG RESETSTAT").map(drop)
    }

    pub(crate) fn traffic(&mut self) -> io::Result<Traffic> {
        let stats = self.ask("INFO stats")?;
        let of = |name| number_after(&stats, name).unwrap_or_default();
        let bytes = of("total_net_input_bytes:") + of("total_net_output_bytes:");
        let calls = self.ask("INFO commandstats")?;
        let commands = calls.lines().filter_map(|line| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(':')?;
            let is_ours = name == "info" || name.starts_with("config");
            (!is_ours).then_some((name.to_owned(), number_after(rest, "calls=")?))
        });
        let commands = commands.collect();
        Ok(Traffic { commands, bytes })
    }

    /// Of its data, in bytes.
    pub(crate) fn memory(&mut self) -> io::Result<u64> {
        let memory = self.ask("INFO memory")?;
        number_after(&memory, "used_memory:").ok_or_else(|| io::Error::other("no used_memory"))
    }

    /// Copies the session of this cookie to `count` other ids. The token's secrets open each copy; its cookie
    /// is [`numbered`].
    pub(crate) fn multiply(&mut self, cookie: &str, count: u64) -> io::Result<()> {
        // The id's last letter in the cookie may also encode what follows.
        let value = cookie.split_once('=').map_or(cookie, |(_, value)| value);
        let start = &value[..value.len().min(20)];
        let answer = self.ask(&format!("EVAL \"{MULTIPLY}\" 0 {start} {count}"))?;
        match answer.strip_prefix('-') {
            Some(error) => Err(io::Error::other(format!("copies: {error}"))),
            None => Ok(()),
        }
    }

    fn ask(&mut self, command: &str) -> io::Result<String> {
        // In one write: two would wait 40 ms for each other, and delay the load.
        let line = format!("{command}\r\n");
        self.connection.get_mut().write_all(line.as_bytes())?;
        let mut line = String::new();
        self.connection.read_line(&mut line)?;
        let Some(length) = line.strip_prefix('$') else {
            return Ok(line);
        };
        let length: usize = length.trim().parse().map_err(io::Error::other)?;
        let mut text = vec![0; length + 2];
        self.connection.read_exact(&mut text)?;
        String::from_utf8(text).map_err(io::Error::other)
    }
}

/// The cookie of a copy from [`Redis::multiply`].
pub(crate) fn numbered(cookie: &str, number: u64) -> String {
    let (name, value) = cookie.split_once('=').unwrap_or_default();
    format!("{name}={number:07}{}", value.get(7..).unwrap_or_default())
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    let (_, rest) = text.split_once(name)?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}
