//! A link to Redis that fails on command. It has its own threads, so no other work delays it.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

const HOST: &str = "127.0.0.1";

pub(crate) struct Proxy {
    port: u16,
    redis: u16,
    link: Arc<Link>,
    /// Holds the listening socket. `None` while connections are refused.
    listening: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Link {
    state: Mutex<State>,
    thawed: Condvar,
}

#[derive(Default)]
struct State {
    is_frozen: bool,
    is_refusing: bool,
    streams: Vec<TcpStream>,
}

impl Proxy {
    pub(crate) fn to(redis: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((HOST, 0))?;
        let proxy = Self {
            port: listener.local_addr()?.port(),
            redis,
            link: Arc::default(),
            listening: Mutex::default(),
        };
        proxy.listen(listener);
        Ok(proxy)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{HOST}:{}", self.port)
    }

    /// Holds back answers. Connections stay open, and new ones are accepted.
    pub(crate) fn freeze(&self) {
        self.link.state().is_frozen = true;
    }

    pub(crate) fn thaw(&self) {
        self.link.state().is_frozen = false;
        self.link.thawed.notify_all();
    }

    /// Closes all connections, and accepts new ones.
    pub(crate) fn cut(&self) {
        self.link.state().cut();
    }

    /// Closes all connections and the listening socket.
    pub(crate) fn refuse(&self) {
        {
            let mut state = self.link.state();
            state.is_refusing = true;
            state.cut();
        }
        let listening = lock(&self.listening).take();
        if let Some(listening) = listening {
            // Wakes the thread, which waits for a connection.
            let _ = TcpStream::connect((HOST, self.port));
            let _ = listening.join();
        }
    }

    pub(crate) fn welcome(&self) -> io::Result<()> {
        let listener = TcpListener::bind((HOST, self.port))?;
        self.link.state().is_refusing = false;
        self.listen(listener);
        Ok(())
    }

    fn listen(&self, listener: TcpListener) {
        let (link, redis) = (Arc::clone(&self.link), self.redis);
        let listening = thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if link.state().is_refusing {
                    return;
                }
                // A client that cannot be linked is closed.
                let _ = link.join(client, redis);
            }
        });
        *lock(&self.listening) = Some(listening);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.thaw();
        self.refuse();
    }
}

impl Link {
    fn join(self: &Arc<Self>, client: TcpStream, redis: u16) -> io::Result<()> {
        let server = TcpStream::connect((HOST, redis))?;
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
        }
        let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
        let (from_server, to_client) = (server.try_clone()?, client.try_clone()?);
        {
            let mut state = self.state();
            // Otherwise, the link would survive the preceding cut.
            if state.is_refusing {
                return Ok(());
            }
            state.streams.extend([client, server]);
        }
        thread::spawn(move || pass(from_client, to_server, || {}));
        let link = Arc::clone(self);
        thread::spawn(move || pass(from_server, to_client, || link.wait_while_frozen()));
        Ok(())
    }

    fn wait_while_frozen(&self) {
        let frozen = |state: &mut State| state.is_frozen;
        drop(self.thawed.wait_while(self.state(), frozen));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    fn cut(&mut self) {
        self.streams.drain(..).for_each(|stream| close(&stream));
    }
}

/// Until one side closes; then closes the other.
fn pass(mut from: TcpStream, mut to: TcpStream, before_each: impl Fn()) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        before_each();
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    close(&from);
    close(&to);
}

fn close(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
