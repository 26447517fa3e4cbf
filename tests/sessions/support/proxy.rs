use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy that delays requests, swallows answers, and cuts connections. A call affects the connections that
/// are open at that moment; later ones pass everything.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    links: Arc<Mutex<Vec<watch::Sender<Mode>>>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Pass,
    /// Requests wait until they are released, even if the client has gone.
    Hold,
    /// Requests pass, answers are lost.
    Swallow,
    Cut,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let links = Arc::<Mutex<Vec<watch::Sender<Mode>>>>::default();
        let all = Arc::clone(&links);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
                    continue;
                };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let (sender, mode) = watch::channel(Mode::Pass);
                all.lock().unwrap().push(sender);
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(requests(from_client, to_server, mode.clone()));
                tokio::spawn(answers(from_server, to_client, mode));
            }
        });
        Self { address, links }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn hold(&self) {
        self.tell(Mode::Hold);
    }

    pub(crate) fn release(&self) {
        self.tell(Mode::Pass);
    }

    pub(crate) fn swallow(&self) {
        self.tell(Mode::Swallow);
    }

    pub(crate) fn cut(&self) {
        self.tell(Mode::Cut);
    }

    fn tell(&self, mode: Mode) {
        for link in self.links.lock().unwrap().iter() {
            link.send_replace(mode);
        }
    }
}

async fn requests(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
) {
    let mut bytes = [0; 64 * 1024];
    loop {
        let read = tokio::select! {
            read = client.read(&mut bytes) => read.unwrap_or(0),
            () = comes_to(&mut mode, |mode| mode == Mode::Cut) => return,
        };
        // Held requests keep their order, and go before later ones.
        comes_to(&mut mode, |mode| mode != Mode::Hold).await;
        if read == 0 || server.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

async fn answers(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
) {
    let mut bytes = [0; 64 * 1024];
    loop {
        let read = tokio::select! {
            read = server.read(&mut bytes) => read.unwrap_or(0),
            () = comes_to(&mut mode, |mode| mode == Mode::Cut) => return,
        };
        if read == 0 {
            return;
        }
        if *mode.borrow() != Mode::Swallow && client.write_all(&bytes[..read]).await.is_err() {
            // The client has gone, but its requests are still on their way.
            return comes_to(&mut mode, |mode| mode == Mode::Cut).await;
        }
    }
}

/// Waits until the mode matches; for ever if the proxy is gone.
async fn comes_to(mode: &mut watch::Receiver<Mode>, such: impl Fn(Mode) -> bool) {
    if mode.wait_for(|mode| such(*mode)).await.is_err() {
        std::future::pending::<()>().await;
    }
}
