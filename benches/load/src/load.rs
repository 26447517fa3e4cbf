//! A closed loop: each connection has its own sessions, and waits for each answer. One thread, to leave the
//! others to the server.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::http::Client;
use crate::redis::Traffic;
use crate::server::{Route, Server};

#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

#[derive(Clone, Default)]
pub(crate) struct Sample {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Microseconds of CPU per request.
    pub(crate) server_cpu: f64,
    pub(crate) redis_cpu: f64,
    pub(crate) traffic: Traffic,
}

pub(crate) type Figure = fn(&Sample) -> f64;

const WARM_UP: u8 = 0;
const MEASURED: u8 = 1;
const OVER: u8 = 2;

/// The connections share out the cookies, and each sends its own in turn. Needs at least one cookie for each
/// connection.
pub(crate) async fn sample(
    server: &mut Server,
    route: Route,
    connections: usize,
    cookies: &[String],
    pace: Pace,
) -> io::Result<Sample> {
    // A busy machine may let nothing run for a whole sample.
    for _ in 0..ATTEMPTS {
        let sample = try_sample(server, route, connections, cookies, pace).await?;
        if sample.requests > 0 {
            return Ok(sample);
        }
    }
    Err(io::Error::other(format!(
        "{}: no request was answered",
        server.kind.name
    )))
}

const ATTEMPTS: u32 = 5;

async fn try_sample(
    server: &mut Server,
    route: Route,
    connections: usize,
    cookies: &[String],
    pace: Pace,
) -> io::Result<Sample> {
    let phase = Arc::new(AtomicU8::new(WARM_UP));
    let mut clients = JoinSet::new();
    for index in 0..connections {
        let own = cookies.iter().skip(index).step_by(connections);
        let own: Vec<String> = own.cloned().collect();
        let client = Client::connect(server.port, &own[0]).await?;
        clients.spawn(repeat(client, own, route, index, phase.clone()));
    }

    sleep(pace.warm_up).await;
    if let Some(redis) = &mut server.redis {
        redis.reset()?;
    }
    let before = cpu(server)?;
    let begin = Instant::now();
    phase.store(MEASURED, Relaxed);
    sleep(pace.measured).await;
    phase.store(OVER, Relaxed);
    let elapsed = begin.elapsed();
    let after = cpu(server)?;
    let traffic = match &mut server.redis {
        Some(redis) => redis.traffic()?,
        None => Traffic::default(),
    };

    let mut latencies: Vec<Duration> = Vec::new();
    while let Some(client) = clients.join_next().await {
        let client = client.map_err(io::Error::other)?;
        let name = server.kind.name;
        latencies.extend(client.map_err(|error| io::Error::other(format!("{name}: {error}")))?);
    }
    if latencies.is_empty() {
        return Ok(Sample::default());
    }
    latencies.sort_unstable();
    let requests = latencies.len() as u64;
    let quantile = |part: usize| latencies[(latencies.len() - 1) * part / 100];
    let per_request = |index: usize| {
        let spent: Duration = after[index].saturating_sub(before[index]);
        spent.as_secs_f64() * 1e6 / requests as f64
    };
    Ok(Sample {
        requests,
        per_second: requests as f64 / elapsed.as_secs_f64(),
        p50: quantile(50),
        p99: quantile(99),
        server_cpu: per_request(0),
        redis_cpu: per_request(1),
        traffic,
    })
}

/// Returns how long the requests took that ended within the sample.
async fn repeat(
    mut client: Client,
    cookies: Vec<String>,
    route: Route,
    index: usize,
    phase: Arc<AtomicU8>,
) -> io::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let mut path = String::new();
    let mut number = index as u64 * 1_000_000_000;
    loop {
        number += 1;
        route.write_path(&mut path, number);
        // The server may replace a single cookie.
        if cookies.len() > 1 {
            client.show(&cookies[number as usize % cookies.len()]);
        }
        let begin = Instant::now();
        client.ok(&path).await?;
        match phase.load(Relaxed) {
            WARM_UP => {}
            MEASURED => latencies.push(begin.elapsed()),
            _ => return Ok(latencies),
        }
    }
}

fn cpu(server: &Server) -> io::Result<[Duration; 2]> {
    let redis = server.redis.as_ref();
    let redis = redis.map_or(Ok(Duration::ZERO), |redis| redis.process.cpu())?;
    Ok([server.process.cpu()?, redis])
}

pub(crate) async fn exactly(
    server: &Server,
    route: Route,
    cookie: &str,
    count: u64,
) -> io::Result<()> {
    let mut client = Client::connect(server.port, cookie).await?;
    let mut path = String::new();
    for number in 0..count {
        route.write_path(&mut path, number);
        client.ok(&path).await?;
    }
    Ok(())
}
