//! Concurrent requests: how many changes are lost, and whether a logout is final.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::http::Client;
use crate::server::{Kind, Route, Server};

pub(crate) const COUNTED: u64 = 2_000;
pub(crate) const AT_ONCE: u64 = 200;
const USER: &str = "user-0";

#[derive(Clone)]
pub(crate) struct Truth {
    pub(crate) kind: Kind,
    /// Of `COUNTED` requests that each add one to the same session.
    pub(crate) lost: u64,
    /// Of `LOGOUTS` logouts, those after which a slower request makes a cookie open the user's session again.
    pub(crate) revived: u32,
}

pub(crate) const LOGOUTS: u32 = 20;

pub(crate) async fn truth(kind: Kind, programs: &Path) -> io::Result<Truth> {
    let server = Server::start(kind, programs).await?;
    let lost = lost_updates(&server).await?;
    let mut revived = 0;
    for _ in 0..LOGOUTS {
        revived += u32::from(is_revived(&server).await?);
    }
    Ok(Truth {
        kind,
        lost,
        revived,
    })
}

async fn lost_updates(server: &Server) -> io::Result<u64> {
    let cookie = server.log_in(1).await?.remove(0);
    let before = views(server, &cookie).await?;
    let mut clients = JoinSet::new();
    for _ in 0..AT_ONCE {
        let mut client = Client::connect(server.port, &cookie).await?;
        clients.spawn(async move {
            let mut path = String::new();
            Route::Count.write_path(&mut path, 0);
            for _ in 0..COUNTED / AT_ONCE {
                client.ok(&path).await?;
            }
            io::Result::Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client.map_err(io::Error::other)??;
    }
    let counted = views(server, &cookie).await? - before;
    Ok(COUNTED - counted)
}

async fn views(server: &Server, cookie: &str) -> io::Result<u64> {
    let mut client = Client::connect(server.port, cookie).await?;
    let body = client.ok("/read").await?;
    views_in(body).ok_or_else(|| io::Error::other(format!("no views in {body}")))
}

/// The body of `/read` begins with `views=12 `.
pub(crate) fn views_in(body: &str) -> Option<u64> {
    let views = body.strip_prefix("views=")?.split(' ').next()?;
    views.parse().ok()
}

/// A user logs out during a slow request. Does a cookie from before the logout, or from the slow request,
/// still open the session?
async fn is_revived(server: &Server) -> io::Result<bool> {
    let cookie = server.log_in(1).await?.remove(0);
    let mut slow = Client::connect(server.port, &cookie).await?;
    let writer = tokio::spawn(async move {
        slow.get("/slow?ms=60").await?;
        io::Result::Ok(slow)
    });
    sleep(Duration::from_millis(20)).await;
    let mut leaving = Client::connect(server.port, &cookie).await?;
    leaving.ok("/logout").await?;
    let slow = writer.await.map_err(io::Error::other)??;
    for cookie in [&cookie, slow.cookie()] {
        let mut client = Client::connect(server.port, cookie).await?;
        if client.get("/read").await?.body.contains(USER) {
            return Ok(true);
        }
    }
    Ok(false)
}
