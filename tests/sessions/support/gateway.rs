use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex as AsyncMutex, watch};

/// A proxy before a Redis server. A test chooses what clients get.
#[derive(Debug)]
pub(crate) struct Gateway {
    port: u16,
    says: watch::Sender<Says>,
    cut: Arc<Mutex<Option<Cut>>>,
    connections: Arc<Connections>,
}

#[derive(Debug, Default)]
struct Connections {
    begun: AtomicUsize,
    /// Connections with lower numbers have died silently.
    dead: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Says {
    /// The server's answers.
    Truth,
    /// The server's answers, a byte at a time, with this pause before each.
    Slowly(Duration),
    /// This line, such as `-LOADING`, for each command. The server gets none.
    Line(&'static str),
    /// These bytes, however many commands there are, and then the end of the connection.
    Junk(&'static [u8]),
    /// Each connection ends at once.
    Nothing,
}

/// Where a connection breaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// The break comes after this many client messages.
    pub(crate) after: usize,
    /// Whether the server gets the message that breaks it.
    pub(crate) delivers: bool,
}

struct Link {
    client: AsyncMutex<OwnedWriteHalf>,
    says: watch::Receiver<Says>,
    number: usize,
    connections: Arc<Connections>,
    /// The next answer ends the connection undelivered.
    ends: AtomicBool,
}

impl Gateway {
    /// One gateway for each server; all share one planned break.
    pub(crate) async fn to_each(servers: &[u16]) -> Vec<Self> {
        let plan = Arc::<Mutex<Option<Cut>>>::default();
        let mut gateways = Vec::new();
        for server in servers {
            gateways.push(Self::with_plan(*server, Arc::clone(&plan)).await);
        }
        gateways
    }

    async fn with_plan(server: u16, cut: Arc<Mutex<Option<Cut>>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (says, heard) = watch::channel(Says::Truth);
        let connections = Arc::<Connections>::default();
        let (plan, begun) = (Arc::clone(&cut), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let _ = client.set_nodelay(true);
                let (heard, plan, begun) = (heard.clone(), Arc::clone(&plan), Arc::clone(&begun));
                tokio::spawn(serve(client, server, heard, plan, begun));
            }
        });
        Self {
            port,
            says,
            cut,
            connections,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn say(&self, says: Says) {
        self.says.send_replace(says);
    }

    /// Open connections die silently: what clients send is discarded.
    pub(crate) fn kill_silently(&self) {
        let begun = self.connections.begun.load(Ordering::SeqCst);
        self.connections.dead.store(begun, Ordering::SeqCst);
    }

    /// Plans a break, or none. Returns the earlier plan if its break has not happened.
    pub(crate) fn cut(&self, cut: Option<Cut>) -> Option<Cut> {
        std::mem::replace(&mut self.cut.lock().unwrap(), cut)
    }
}

async fn serve(
    client: TcpStream,
    server: u16,
    says: watch::Receiver<Says>,
    plan: Arc<Mutex<Option<Cut>>>,
    connections: Arc<Connections>,
) {
    let (from_client, to_client) = client.into_split();
    if matches!(*says.borrow(), Says::Nothing) {
        return;
    }
    let link = Link {
        client: AsyncMutex::new(to_client),
        says,
        number: connections.begun.fetch_add(1, Ordering::SeqCst),
        connections,
        ends: AtomicBool::new(false),
    };
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
        return;
    };
    let _ = server.set_nodelay(true);
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = requests(from_client, to_server, &link, &plan) => {}
        () = answers(from_server, &link) => {}
    }
}

impl Link {
    fn is_dead(&self) -> bool {
        self.number < self.connections.dead.load(Ordering::SeqCst)
    }
}

async fn requests(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    link: &Link,
    plan: &Mutex<Option<Cut>>,
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = client.read(&mut bytes).await {
        let message = &bytes[..read];
        let says = *link.says.borrow();
        if link.is_dead() {
            continue;
        }
        match says {
            Says::Truth | Says::Slowly(_) => {
                match due(plan) {
                    Some(Cut { delivers: true, .. }) => link.ends.store(true, Ordering::SeqCst),
                    Some(_) => return,
                    None => {}
                }
                if server.write_all(message).await.is_err() {
                    return;
                }
            }
            Says::Line(line) => {
                let answer = format!("{line}\r\n").repeat(commands(message));
                let mut client = link.client.lock().await;
                if client.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Says::Junk(junk) => {
                let _ = link.client.lock().await.write_all(junk).await;
                return;
            }
            Says::Nothing => return,
        }
    }
}

async fn answers(mut server: OwnedReadHalf, link: &Link) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = server.read(&mut bytes).await {
        if link.ends.load(Ordering::SeqCst) {
            return;
        }
        let answer = &bytes[..read];
        let mut client = link.client.lock().await;
        let says = *link.says.borrow();
        let pieces = match says {
            Says::Slowly(_) => answer.chunks(1),
            _ => answer.chunks(answer.len()),
        };
        for piece in pieces {
            match says {
                // The shortest sleep is a millisecond.
                Says::Slowly(Duration::ZERO) => tokio::task::yield_now().await,
                Says::Slowly(pause) => tokio::time::sleep(pause).await,
                _ => {}
            }
            if client.write_all(piece).await.is_err() {
                return;
            }
        }
    }
}

/// `Some` if the connection breaks at this message.
fn due(plan: &Mutex<Option<Cut>>) -> Option<Cut> {
    let mut plan = plan.lock().unwrap();
    let cut = plan.as_mut()?;
    if cut.after == 0 {
        return plan.take();
    }
    cut.after -= 1;
    None
}

/// Each command is an array of strings.
fn commands(mut rest: &[u8]) -> usize {
    let mut commands = 0;
    while let Some(words) = length(&mut rest, b'*') {
        for _ in 0..words {
            let bytes = length(&mut rest, b'$').unwrap_or_default();
            rest = rest.get(bytes + 2..).unwrap_or_default();
        }
        commands += 1;
    }
    commands
}

/// Reads a line like `*3`.
fn length(rest: &mut &[u8], kind: u8) -> Option<usize> {
    let end = rest.windows(2).position(|end| end == b"\r\n")?;
    let (line, after) = rest.split_at(end);
    let number = std::str::from_utf8(line.strip_prefix(&[kind])?).ok()?;
    *rest = &after[2..];
    number.parse().ok()
}

#[test]
fn commands_are_counted() {
    assert_eq!(commands(b"*1\r\n$4\r\nPING\r\n"), 1);
    let two = b"*1\r\n$4\r\nTIME\r\n*2\r\n$3\r\nGET\r\n$3\r\n\r\n*\r\n";
    assert_eq!(commands(two), 2);
}
