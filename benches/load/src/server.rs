use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::http::Client;
use crate::process::{Process, free_port};
use crate::redis::Redis;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) program: &'static str,
    pub(crate) has_redis: bool,
    pub(crate) has_sessions: bool,
    pub(crate) is_rust: bool,
    pub(crate) has_mimalloc: bool,
    /// Only for this program.
    environment: &'static [(&'static str, &'static str)],
}

impl Kind {
    pub(crate) const fn with_mimalloc(self) -> Self {
        Self {
            has_mimalloc: true,
            ..self
        }
    }

    pub(crate) fn path(self, programs: &Path) -> PathBuf {
        let allocator = if self.has_mimalloc { "mimalloc" } else { "" };
        programs.join(allocator).join(self.program)
    }
}

const fn on_redis(name: &'static str, program: &'static str) -> Kind {
    Kind {
        name,
        program,
        has_redis: true,
        has_sessions: true,
        is_rust: true,
        has_mimalloc: false,
        environment: &[],
    }
}

pub(crate) const BARE: Kind = Kind {
    has_redis: false,
    has_sessions: false,
    ..on_redis("bare Rocket", "bare")
};
pub(crate) const HAND_WRITTEN: Kind = on_redis("hand-written", "hand-written");
pub(crate) const FLEX: Kind = on_redis("rocket_flex_session", "flex");
pub(crate) const OURS: Kind = on_redis("ours, on Redis", "ours");
pub(crate) const OURS_NEAR: Kind = Kind {
    // In the type's own table: there, a build refuses an unknown key and is not measured.
    environment: &[("ROCKET_SESSIONS", "{visit={near=\"1s\"}}")],
    ..on_redis("ours, near cache", "ours")
};
pub(crate) const OURS_IN_MEMORY: Kind = Kind {
    has_redis: false,
    ..on_redis("ours, in memory", "ours")
};

pub(crate) const ALL: [Kind; 9] = [
    BARE,
    HAND_WRITTEN,
    FLEX,
    on_redis("tower-sessions", "tower"),
    on_redis("actix-session", "actix"),
    Kind {
        is_rust: false,
        ..on_redis("express-session", "express")
    },
    OURS,
    OURS_NEAR,
    OURS_IN_MEMORY,
];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Route {
    Bare,
    Read,
    Count,
    CountUnguarded,
    Set,
}

impl Route {
    pub(crate) const ALL: [Self; 5] = [
        Self::Bare,
        Self::Read,
        Self::Count,
        Self::CountUnguarded,
        Self::Set,
    ];

    pub(crate) fn is_of(self, kind: Kind) -> bool {
        match self {
            Self::Bare => true,
            Self::Read | Self::Count | Self::Set => kind.has_sessions,
            Self::CountUnguarded => kind.program == HAND_WRITTEN.program,
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Bare => "/bare",
            Self::Read => "/read",
            Self::Count => "/count",
            Self::CountUnguarded => "/count-unguarded",
            Self::Set => "/set",
        }
    }

    /// `Set` gets a query that differs by `number`.
    pub(crate) fn write_path(self, path: &mut String, number: u64) {
        path.clear();
        path.push_str(self.path());
        if self == Self::Set {
            let _ = write!(path, "?to=page-{number}");
        }
    }
}

pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) process: Process,
    pub(crate) redis: Option<Redis>,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) async fn start(kind: Kind, programs: &Path) -> io::Result<Self> {
        Self::start_with(kind, programs, &[], &[]).await
    }

    /// Runs the program under `wrapper`, if there is one.
    pub(crate) async fn start_with(
        kind: Kind,
        programs: &Path,
        wrapper: &[&str],
        environment: &[(&str, String)],
    ) -> io::Result<Self> {
        let redis = kind.has_redis.then(Redis::start).transpose()?;
        let url = redis.as_ref().map(Redis::url);
        let server = Self::start_on(url, kind, programs, wrapper, environment).await?;
        Ok(Self { redis, ..server })
    }

    /// The same with a running Redis server.
    pub(crate) async fn start_on(
        redis: Option<String>,
        kind: Kind,
        programs: &Path,
        wrapper: &[&str],
        environment: &[(&str, String)],
    ) -> io::Result<Self> {
        let port = free_port()?;
        let program = kind.path(programs);
        let mut command = match wrapper {
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            [] => Command::new(program),
        };
        command
            .envs(kind.environment.iter().copied())
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env("PORT", port.to_string())
            .env("ROCKET_PORT", port.to_string())
            .env("ROCKET_LOG_LEVEL", "off")
            // The private cookies of rocket_flex_session need one. It protects nothing here.
            .env("ROCKET_SECRET_KEY", "01234567".repeat(8));
        if let Some(url) = redis {
            let databases = format!("{{sessions={{url=\"{url}\"}}}}");
            command
                .env("REDIS_URL", url)
                .env("ROCKET_DATABASES", databases);
        }
        let process = Process::start(&mut command)?;
        let mut server = Self {
            kind,
            process,
            redis: None,
            port,
        };
        server.wait().await?;
        Ok(server)
    }

    async fn wait(&mut self) -> io::Result<()> {
        for _ in 0..1500 {
            if let Ok(mut client) = Client::connect(self.port, "").await {
                client.ok("/bare").await?;
                return Ok(());
            }
            if self.process.has_ended() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(io::Error::other(format!(
            "{} does not answer",
            self.kind.name
        )))
    }

    pub(crate) async fn log_in(&self, count: usize) -> io::Result<Vec<String>> {
        if !self.kind.has_sessions {
            return Ok(vec![String::new(); count]);
        }
        let mut cookies = Vec::with_capacity(count);
        // One client each: a server may close a connection after some requests.
        for user in 0..count {
            let mut client = Client::connect(self.port, "").await?;
            client.ok(&format!("/login?user=user-{user}")).await?;
            cookies.push(client.cookie().into());
        }
        Ok(cookies)
    }
}
