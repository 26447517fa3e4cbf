//! How cost grows with stored sessions, with fields, and with map entries.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::path::Path;

use tokio::task::JoinSet;

use crate::http::Client;
use crate::load::{self, Figure, Pace, Sample};
use crate::redis::numbered;
use crate::server::{HAND_WRITTEN, Kind, OURS, OURS_IN_MEMORY, Route, Server};
use crate::spread::Spread;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Axis {
    Sessions,
    Fields,
    Entries,
}

impl Axis {
    pub(crate) const ALL: [Self; 3] = [Self::Sessions, Self::Fields, Self::Entries];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Fields => "fields",
            Self::Entries => "entries",
        }
    }

    pub(crate) const fn amounts(self, kind: Kind) -> &'static [u64] {
        match self {
            Self::Sessions if kind.has_redis => &[1_000, 1_000_000],
            // The memory store's default limit. A million logins take minutes.
            Self::Sessions => &[1_000, 100_000],
            Self::Fields => &[5, 50],
            Self::Entries => &[10, 100, 1_000, 10_000],
        }
    }

    /// A request with a large map is slow, so measure for longer.
    fn pace(self, amount: u64, pace: Pace) -> Pace {
        let times = if self == Self::Entries && amount > 1_000 {
            4
        } else {
            1
        };
        Pace {
            measured: pace.measured * times,
            ..pace
        }
    }

    const fn variable(self) -> Option<&'static str> {
        match self {
            Self::Sessions => None,
            Self::Fields => Some("FIELDS"),
            Self::Entries => Some("ENTRIES"),
        }
    }
}

const KINDS: [Kind; 3] = [HAND_WRITTEN, OURS, OURS_IN_MEMORY];
const ROUTES: [Route; 2] = [Route::Read, Route::Set];
/// Few, because each request is slow.
pub(crate) const CONNECTIONS: usize = 8;
/// Hardly any sample has more requests.
const VISITED: u64 = 10_000;

/// The last part is the amount.
type Cell = (Axis, Kind, Route, u64);

#[derive(Default)]
pub(crate) struct Growth(BTreeMap<Cell, Vec<Sample>>);

impl Growth {
    pub(crate) fn spread(&self, cell: Cell, of: Figure) -> Spread {
        let samples = self.0.get(&cell).map_or(&[][..], Vec::as_slice);
        Spread::of(samples.iter().map(of))
    }

    /// The median CPU of the server and Redis together. `None` if the server was not built.
    pub(crate) fn cpu(&self, cell: Cell) -> Option<f64> {
        let both = self.spread(cell, |sample| sample.server_cpu + sample.redis_cpu);
        Some(both.median).filter(|median| median.is_finite())
    }
}

pub(crate) fn lines() -> impl Iterator<Item = (Kind, Route)> {
    let of = |kind| ROUTES.map(|route| (kind, route));
    KINDS.into_iter().flat_map(of)
}

/// One axis after the other, to save memory.
pub(crate) async fn measure(
    kinds: &[Kind],
    programs: &Path,
    rounds: usize,
    pace: Pace,
) -> Result<Growth, Box<dyn Error>> {
    let mut growth = Growth::default();
    for axis in Axis::ALL {
        eprintln!("growth with {}", axis.name());
        let mut servers = Vec::new();
        for kind in KINDS.into_iter().filter(|kind| kinds.contains(kind)) {
            for &amount in axis.amounts(kind) {
                servers.push((amount, start(axis, kind, amount, programs).await?));
            }
        }
        for _ in 0..rounds {
            for route in ROUTES {
                for (amount, (server, cookies)) in &mut servers {
                    let pace = axis.pace(*amount, pace);
                    let sample = load::sample(server, route, CONNECTIONS, cookies, pace).await?;
                    let cell = (axis, server.kind, route, *amount);
                    growth.0.entry(cell).or_default().push(sample);
                }
            }
        }
    }
    Ok(growth)
}

/// Also returns the cookies of the sessions to visit.
async fn start(
    axis: Axis,
    kind: Kind,
    amount: u64,
    programs: &Path,
) -> io::Result<(Server, Vec<String>)> {
    let size = axis.variable().map(|name| (name, amount.to_string()));
    let mut server = Server::start_with(kind, programs, &[], size.as_slice()).await?;
    let cookies = match axis {
        Axis::Fields | Axis::Entries => server.log_in(CONNECTIONS).await?,
        Axis::Sessions => store(&mut server, amount).await?,
    };
    Ok((server, cookies))
}

/// Stores `amount` sessions. Returns the cookies of those to visit.
async fn store(server: &mut Server, amount: u64) -> io::Result<Vec<String>> {
    let distance = (amount / VISITED).max(1) as usize;
    if !server.kind.has_redis {
        let cookies = log_in_at_once(server.port, amount).await?;
        return Ok(cookies.into_iter().step_by(distance).collect());
    }
    let cookie = server.log_in(1).await?.remove(0);
    if let Some(redis) = &mut server.redis {
        redis.multiply(&cookie, amount)?;
    }
    // Otherwise, a visitor without a session would be measured.
    let mut client = Client::connect(server.port, &numbered(&cookie, amount - 1)).await?;
    if !client.ok("/read").await?.contains("user-0") {
        return Err(io::Error::other("the last copy is nobody's"));
    }
    let visited = (0..amount).step_by(distance);
    Ok(visited.map(|number| numbered(&cookie, number)).collect())
}

async fn log_in_at_once(port: u16, amount: u64) -> io::Result<Vec<String>> {
    let mut clients = JoinSet::new();
    for index in 0..CONNECTIONS as u64 {
        let mut client = Client::connect(port, "").await?;
        clients.spawn(async move {
            let mut cookies = Vec::new();
            for user in (index..amount).step_by(CONNECTIONS) {
                client.show("");
                client.ok(&format!("/login?user=user-{user}")).await?;
                cookies.push(client.cookie().to_owned());
            }
            io::Result::Ok(cookies)
        });
    }
    let mut cookies = Vec::new();
    while let Some(client) = clients.join_next().await {
        cookies.extend(client.map_err(io::Error::other)??);
    }
    Ok(cookies)
}
