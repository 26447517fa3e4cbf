use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Keeps one cookie, and adopts each new one.
pub(crate) struct Client {
    stream: TcpStream,
    cookie: String,
    sent: Vec<u8>,
    read: Vec<u8>,
}

pub(crate) struct Answer<'c> {
    pub(crate) status: u16,
    pub(crate) body: &'c str,
}

impl Client {
    pub(crate) async fn connect(port: u16, cookie: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            cookie: cookie.into(),
            sent: Vec::new(),
            read: Vec::new(),
        })
    }

    /// `name=value`, or nothing.
    pub(crate) fn cookie(&self) -> &str {
        &self.cookie
    }

    pub(crate) fn show(&mut self, cookie: &str) {
        cookie.clone_into(&mut self.cookie);
    }

    pub(crate) async fn get(&mut self, path: &str) -> io::Result<Answer<'_>> {
        self.sent.clear();
        for part in ["GET ", path, " HTTP/1.1\r\nHost: localhost\r\n"] {
            self.sent.extend_from_slice(part.as_bytes());
        }
        if !self.cookie.is_empty() {
            for part in ["Cookie: ", &self.cookie, "\r\n"] {
                self.sent.extend_from_slice(part.as_bytes());
            }
        }
        self.sent.extend_from_slice(b"\r\n");
        self.stream.write_all(&self.sent).await?;

        self.read.clear();
        let body_at = loop {
            self.read_more().await?;
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = str::from_utf8(&self.read[..body_at]).map_err(io::Error::other)?;
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let mut length = None;
        for line in head.lines() {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse::<usize>().ok();
            } else if name.eq_ignore_ascii_case("set-cookie") {
                let pair = value.split(';').next().unwrap_or_default();
                self.cookie = pair.trim().into();
            }
        }
        let (Some(status), Some(length)) = (status, length) else {
            return Err(io::Error::other(format!("not an answer: {head}")));
        };
        while self.read.len() < body_at + length {
            self.read_more().await?;
        }
        let body = str::from_utf8(&self.read[body_at..]).map_err(io::Error::other)?;
        Ok(Answer { status, body })
    }

    /// Any status other than 200 is an error.
    pub(crate) async fn ok(&mut self, path: &str) -> io::Result<&str> {
        let answer = self.get(path).await?;
        if answer.status == 200 {
            Ok(answer.body)
        } else {
            Err(io::Error::other(format!("{path}: {}", answer.status)))
        }
    }

    async fn read_more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
