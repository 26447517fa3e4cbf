use std::io;
use std::path::Path;

use crate::server::{Kind, Server};

pub(crate) const SESSIONS: usize = 10_000;

#[derive(Clone)]
pub(crate) struct Memory {
    pub(crate) kind: Kind,
    /// Bytes per session.
    pub(crate) server: f64,
    pub(crate) redis: f64,
}

/// Counts `SESSIONS` logins after the server has settled.
pub(crate) async fn memory(kind: Kind, programs: &Path) -> io::Result<Memory> {
    let mut server = Server::start(kind, programs).await?;
    server.log_in(SESSIONS / 5).await?;
    let before = bytes(&mut server)?;
    server.log_in(SESSIONS).await?;
    let after = bytes(&mut server)?;
    let each = |index: usize| (after[index] - before[index]) / SESSIONS as f64;
    Ok(Memory {
        kind,
        server: each(0),
        redis: each(1),
    })
}

fn bytes(server: &mut Server) -> io::Result<[f64; 2]> {
    let redis = server.redis.as_mut();
    let redis = redis.map_or(Ok(0), |redis| redis.memory())?;
    Ok([server.process.memory()? as f64, redis as f64])
}
