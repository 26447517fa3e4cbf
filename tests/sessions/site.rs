//! An application on one server, under sentinels or on a cluster, for tests of faults.

use std::time::{Duration, Instant};

use crate::app::App;
use crate::support::gateway::Gateway;
use crate::support::http::{Browser, Request};
use crate::support::process::wait_for;
use crate::support::redis::RedisServer;
use crate::support::servers::{Servers, Topology};

macro_rules! tests_of {
    ($test:ident: $($name:ident $topology:ident),+) => {
        mod $test {
            use crate::support::servers::Topology;

            $(#[tokio::test]
            async fn $name() {
                super::$test(Topology::$topology).await;
            })+
        }
    };
}

/// Makes tests of functions that take a topology: `name::on_one_server`, `name::under_sentinels` and
/// `name::on_a_cluster`.
macro_rules! on_each_topology {
    ($($test:ident),+ $(,)?) => {
        $($crate::site::tests_of!($test: on_one_server One, under_sentinels Sentinel, on_a_cluster Cluster);)+
    };
}

/// For faults that a cluster node cannot have.
macro_rules! on_each_topology_but_a_cluster {
    ($($test:ident),+ $(,)?) => {
        $($crate::site::tests_of!($test: on_one_server One, under_sentinels Sentinel);)+
    };
}

/// For tests of the log: each needs its own process.
macro_rules! alone_on_each_topology {
    ($($test:ident),+ $(,)?) => {
        $(mod $test {
            use crate::support::log::alone;
            use crate::support::servers::Topology;

            #[test]
            fn on_one_server() {
                alone(async || super::$test(Topology::One).await);
            }

            #[test]
            fn under_sentinels() {
                alone(async || super::$test(Topology::Sentinel).await);
            }

            #[test]
            fn on_a_cluster() {
                alone(async || super::$test(Topology::Cluster).await);
            }
        })+
    };
}

pub(crate) use {
    alone_on_each_topology, on_each_topology, on_each_topology_but_a_cluster, tests_of,
};

/// How long a load or a commit may take.
pub(crate) const DEADLINE: Duration = Duration::from_millis(500);

/// Statuses of a read, a change and a logout while the server refuses everything.
pub(crate) const NOTHING: [u16; 3] = [503, 503, 503];

/// While it refuses only changes.
pub(crate) const READS_ALONE: [u16; 3] = [200, 503, 503];

/// `browser` is Alice's, and has seen one page.
pub(crate) struct Site {
    pub(crate) app: App,
    pub(crate) servers: Servers,
    pub(crate) browser: Browser,
    /// The master with Alice's session, where the fault is.
    at: usize,
    /// The key of her session.
    own: String,
    /// In a cluster: a browser with its session on another node, and its number of views.
    elsewhere: Option<(Browser, u32)>,
}

impl Site {
    pub(crate) async fn on(topology: Topology) -> Self {
        Self::of(Servers::start(topology)).await
    }

    pub(crate) async fn behind_gateways(topology: Topology) -> Self {
        Self::of(Servers::behind_gateways(topology).await).await
    }

    pub(crate) async fn of(servers: Servers) -> Self {
        Self::within("500ms", servers).await
    }

    pub(crate) async fn within(deadline: &str, servers: Servers) -> Self {
        let app = App::on(&servers, deadline).await;
        // Until all servers know the scripts.
        let mut known = vec![false; servers.masters().len()];
        while known.contains(&false) {
            let mut other = app.browser();
            assert_eq!(other.post("/login/eve", &[]).await.status, 303);
            known[master_of(&servers, &mut other).await] = true;
            assert_eq!(other.post("/logout", &[]).await.status, 303);
        }
        Self::with(app, servers).await
    }

    /// Empties the servers, and launches another application on them.
    pub(crate) async fn again(self) -> Self {
        self.servers.tell_all(&["FLUSHALL"]);
        let app = App::on(&self.servers, "500ms").await;
        Self::with(app, self.servers).await
    }

    async fn with(app: App, servers: Servers) -> Self {
        let (mut elsewhere, mut away) = (None, None);
        if servers.masters().len() > 1 {
            let mut browser = app.browser();
            assert_eq!(browser.get("/view").await.text(), "1");
            away = Some(master_of(&servers, &mut browser).await);
            elsewhere = Some((browser, 1));
        }
        let mut browser = app.browser();
        let at = loop {
            browser.post("/login/alice", &[]).await;
            let at = master_of(&servers, &mut browser).await;
            if Some(at) != away {
                break at;
            }
            browser.post("/logout", &[]).await;
        };
        assert_eq!(browser.get("/view").await.text(), "1");
        let own = key(&mut browser).await;
        Self {
            app,
            servers,
            browser,
            at,
            own,
            elsewhere,
        }
    }

    /// The server that has Alice's session.
    pub(crate) fn redis(&self) -> &RedisServer {
        &self.servers.masters()[self.at]
    }

    pub(crate) fn redis_mut(&mut self) -> &mut RedisServer {
        &mut self.servers.masters_mut()[self.at]
    }

    /// The way to Alice's server.
    pub(crate) fn gateway(&self) -> &Gateway {
        &self.servers.gateways()[self.at]
    }

    pub(crate) fn set(&self, name: &str, value: &str) {
        let _: String = self.redis().command(&["CONFIG", "SET", name, value]);
    }

    pub(crate) fn own(&self) -> &str {
        &self.own
    }

    /// Another browser, with its session on Alice's server.
    pub(crate) async fn another(&self) -> Browser {
        loop {
            let mut browser = self.app.browser();
            assert_eq!(browser.get("/view").await.text(), "1");
            if master_of(&self.servers, &mut browser).await == self.at {
                return browser;
            }
        }
    }

    /// Reads, changes and logs out, and expects these statuses.
    pub(crate) async fn refused(&mut self, expected: [u16; 3]) {
        let jar = self.browser.jar.clone();
        let requests = [
            Request::get("/read"),
            Request::get("/view"),
            Request::post("/logout", &[]),
        ];
        for (request, expected) in requests.into_iter().zip(expected) {
            self.answers(request, expected).await;
        }
        assert_eq!(self.browser.jar, jar);
        assert_eq!(self.browser.get("/static").await.status, 200);
    }

    /// In time, and with no cookie.
    pub(crate) async fn answers(&mut self, request: Request, expected: u16) {
        let began = Instant::now();
        let response = self.browser.send(request).await;
        let took = began.elapsed();
        assert!(took < 2 * DEADLINE, "{took:?}");
        assert_eq!(response.status, expected);
        if expected == 503 {
            assert_eq!(response.text(), "caught 503");
        }
        assert!(response.set_cookies().is_empty(), "{response:?}");
        self.goes_on_elsewhere().await;
    }

    /// A session on another node notices nothing.
    pub(crate) async fn goes_on_elsewhere(&mut self) {
        if let Some((browser, views)) = &mut self.elsewhere {
            *views += 1;
            let began = Instant::now();
            let response = browser.get("/view").await;
            let took = began.elapsed();
            assert_eq!((response.status, response.text()), (200, views.to_string()));
            assert!(took < DEADLINE, "{took:?}");
        }
    }

    pub(crate) async fn goes_on(&mut self) {
        let response = self.browser.get("/read").await;
        let alice = "views=1 user=alice theme=Light note=";
        assert_eq!((response.status, &*response.text()), (200, alice));
        assert_eq!(self.browser.get("/view").await.text(), "2");
        assert_eq!(self.browser.post("/logout", &[]).await.status, 303);
        assert_eq!(self.redis().keys(), [""; 0]);
        self.goes_on_elsewhere().await;
    }

    pub(crate) fn restart(&mut self) {
        self.redis_mut().restart();
        self.wait_until_served();
    }

    /// A cluster node refuses requests for two seconds after its start.
    pub(crate) fn wait_until_served(&self) {
        let own = self.own.as_str();
        wait_for("a server that refuses nothing", || {
            self.redis().attempt::<u8>(&["EXISTS", own]).ok()
        });
    }
}

pub(crate) async fn key(browser: &mut Browser) -> String {
    let id = browser.get("/id").await.text();
    format!("session:visit:{id}")
}

async fn master_of(servers: &Servers, browser: &mut Browser) -> usize {
    servers.master_of(&key(browser).await)
}
