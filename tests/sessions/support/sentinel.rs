use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::process::wait_for;
use super::redis::{RedisServer, Role, Setup};
use super::tls::Certificates;

pub(crate) const MASTER: &str = "sessions";

const THREE: usize = 3;

/// How often a sentinel does what tests wait for, in milliseconds. Some defaults are many seconds. A restart
/// forgets these values.
///
/// Shorter periods would break failovers. During one, a sentinel asks replicas once a second whatever the
/// setting, and chooses none that was silent for five pings or three infos. A sentinel that does not hear
/// within four publications of a promotion makes the new master a replica again.
const HASTE: [(&str, &str); 6] = [
    ("INFO-PERIOD", "500"),
    ("PING-PERIOD", "400"),
    ("ASK-PERIOD", "100"),
    ("PUBLISH-PERIOD", "600"),
    // After a delay of its own, a sentinel only watches for this long.
    ("TILT-PERIOD", "500"),
    // For when two sentinels want to lead.
    ("ELECTION-TIMEOUT", "1000"),
];

/// These keep a sentinel from asking its master anything, and so from finding it gone, for an hour.
const QUIET: [(&str, &str); 3] = [
    ("INFO-PERIOD", "3600000"),
    ("PING-PERIOD", "3600000"),
    ("PUBLISH-PERIOD", "3600000"),
];

/// When to retry a failover command: by then it is done or given up.
const FAILOVER_ATTEMPT: Duration = Duration::from_secs(6);

/// A master, two replicas, and three sentinels with a quorum of two.
///
/// The methods block, but async tests can call them. Those that wait ask nobody that is stopped or paused.
#[derive(Debug)]
pub(crate) struct Sentinels {
    servers: Vec<RedisServer>,
    sentinels: Vec<RedisServer>,
}

impl Sentinels {
    pub(crate) fn start() -> Self {
        Self::start_with(&Setup::default(), &Setup::default())
    }

    pub(crate) fn start_with_passwords(servers: &str, sentinels: &str) -> Self {
        let setup = |password| Setup::default().with_password(password);
        Self::start_with(&setup(servers), &setup(sentinels))
    }

    pub(crate) fn start_tls(
        certificates: &Certificates,
        requires_client_certificate: bool,
    ) -> Self {
        let setup = Setup::default().with_tls(certificates, requires_client_certificate);
        Self::start_with(&setup, &setup)
    }

    pub(crate) fn start_with(server: &Setup, sentinel: &Setup) -> Self {
        let sentinel = sentinel.clone().with_role(Role::Sentinel);
        let setups = [vec![server.clone(); THREE], vec![sentinel; THREE]];
        let mut servers = RedisServer::start_all(setups.concat());
        let sentinels = servers.split_off(THREE);
        let all = Self { servers, sentinels };
        let port = all.servers[0].peer_port().to_string();
        for replica in &all.servers[1..] {
            replica.command::<()>(&["REPLICAOF", "127.0.0.1", &port]);
        }
        for sentinel in &all.sentinels {
            set_periods(sentinel, &HASTE);
            sentinel.command::<()>(&["SENTINEL", "MONITOR", MASTER, "127.0.0.1", &port, "2"]);
            let set = |option, value| {
                sentinel.command::<()>(&["SENTINEL", "SET", MASTER, option, value]);
            };
            if let Some(password) = server.password() {
                set("auth-pass", password);
            }
            set("down-after-milliseconds", "700");
            // No other failover of this master begins for twice as long.
            set("failover-timeout", "3000");
        }
        all.wait_until_settled();
        all
    }

    /// Sentinels that always name one server, and do not monitor it. They give this port, which leads to it.
    pub(crate) fn naming(server: RedisServer, port: u16) -> Self {
        let setup = Setup::default().with_role(Role::Sentinel);
        let sentinels = RedisServer::start_all(vec![setup; THREE]);
        let port = port.to_string();
        for sentinel in &sentinels {
            set_periods(sentinel, &QUIET);
            sentinel.command::<()>(&["SENTINEL", "MONITOR", MASTER, "127.0.0.1", &port, "2"]);
            let option = ["down-after-milliseconds", "3600000"];
            let words = ["SENTINEL", "SET", MASTER].into_iter().chain(option);
            sentinel.command::<()>(&words.collect::<Vec<_>>());
        }
        Self {
            servers: vec![server],
            sentinels,
        }
    }

    pub(crate) fn servers(&self) -> &[RedisServer] {
        &self.servers
    }

    pub(crate) fn servers_mut(&mut self) -> &mut [RedisServer] {
        &mut self.servers
    }

    pub(crate) fn server(&self, server: usize) -> &RedisServer {
        &self.servers[server]
    }

    pub(crate) fn sentinels(&self) -> &[RedisServer] {
        &self.sentinels
    }

    pub(crate) fn sentinel(&self, sentinel: usize) -> &RedisServer {
        &self.sentinels[sentinel]
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(RedisServer::url).collect()
    }

    pub(crate) fn tls_urls(&self) -> Vec<String> {
        self.sentinels.iter().map(RedisServer::tls_url).collect()
    }

    pub(crate) fn master(&self) -> usize {
        let mut sentinels = self.sentinels.iter();
        let sentinel = sentinels.find(|sentinel| sentinel.is_responsive());
        self.master_of(sentinel.expect("no sentinel answers"))
    }

    pub(crate) fn stop(&mut self, server: usize) {
        self.servers[server].stop();
    }

    /// Starts a server again, empty. It keeps its last role until the sentinels change it.
    pub(crate) fn restart(&mut self, server: usize) {
        self.servers[server].restart();
    }

    pub(crate) fn stop_sentinel(&mut self, sentinel: usize) {
        self.sentinels[sentinel].stop();
    }

    pub(crate) fn restart_sentinel(&mut self, sentinel: usize) {
        self.sentinels[sentinel].restart();
        set_periods(&self.sentinels[sentinel], &HASTE);
    }

    /// Makes a replica the master, although the master answers. Returns the new master when all sentinels
    /// that answer know it.
    pub(crate) fn fail_over(&self) -> usize {
        let old = self.master();
        let mut told: Option<Instant> = None;
        wait_for("a failover", || {
            let new = self.successor_of(old);
            if new.is_none() && told.is_none_or(|told| told.elapsed() > FAILOVER_ATTEMPT) {
                // Not again while some have yet to hear of the first: that would be a second failover.
                let mut sentinels = self.responsive_sentinels();
                let sentinel = sentinels.find(|sentinel| self.master_of(sentinel) == old);
                // Refused when no replica has answered recently.
                let command = ["SENTINEL", "FAILOVER", MASTER];
                let accepted = sentinel?.attempt::<()>(&command);
                told = accepted.is_ok().then(Instant::now);
            }
            new
        })
    }

    /// Waits for an automatic failover. Returns the new master.
    pub(crate) fn wait_for_failover(&self, old: usize) -> usize {
        wait_for("an automatic failover", || self.successor_of(old))
    }

    /// Waits until the sentinels that answer agree on the master and know each other and its replicas, and
    /// the replicas are in sync.
    pub(crate) fn wait_until_settled(&self) {
        wait_for("sentinels that have settled", || {
            self.is_settled().then_some(())
        });
    }

    fn responsive_sentinels(&self) -> impl Iterator<Item = &RedisServer> {
        let sentinels = self.sentinels.iter();
        sentinels.filter(|sentinel| sentinel.is_responsive())
    }

    fn master_of(&self, sentinel: &RedisServer) -> usize {
        let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER];
        let (_, port): (String, u16) = sentinel.command(&words);
        let mut servers = self.servers.iter();
        servers
            .position(|server| server.peer_port() == port)
            .unwrap()
    }

    /// The new master, if all sentinels that answer name it and it knows its role.
    fn successor_of(&self, old: usize) -> Option<usize> {
        let new = self.master();
        let agreed = self.responsive_sentinels();
        let agreed = agreed.map(|sentinel| self.master_of(sentinel));
        let is_new = new != old && agreed.into_iter().all(|master| master == new);
        let server = &self.servers[new];
        (is_new && server.is_responsive() && server.is_master()).then_some(new)
    }

    fn is_settled(&self) -> bool {
        let master = self.master();
        let port = self.servers[master].peer_port().to_string();
        let answers = |port: &str| {
            let mut servers = self.servers.iter();
            servers.any(|server| server.is_responsive() && server.peer_port().to_string() == port)
        };
        let sentinels_agree = self.responsive_sentinels().all(|sentinel| {
            let seen: Seen = sentinel.command(&["SENTINEL", "MASTER", MASTER]);
            let replicas: Vec<Seen> = sentinel.command(&["SENTINEL", "REPLICAS", MASTER]);
            let follows = |replica: &Seen| {
                !answers(&replica["port"])
                    || replica["flags"] == "slave"
                        && replica["master-port"] == port
                        && replica["master-link-status"] == "ok"
            };
            seen["port"] == port
                && seen["flags"] == "master"
                && seen["num-other-sentinels"] == (THREE - 1).to_string()
                && replicas.len() == THREE - 1
                && replicas.iter().all(follows)
        });
        let mut servers = self.servers.iter().enumerate();
        sentinels_agree
            && servers.all(|(number, server)| {
                !server.is_responsive()
                    || server.is_master() == (number == master) && server.follows_its_master()
            })
    }
}

impl Drop for Sentinels {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for sentinel in &self.sentinels {
                eprintln!("What a sentinel said:\n{}", sentinel.log());
            }
        }
    }
}

type Seen = BTreeMap<String, String>;

fn set_periods(sentinel: &RedisServer, periods: &[(&str, &str)]) {
    let periods = periods.iter().flat_map(|(name, value)| [*name, *value]);
    let words: Vec<&str> = ["SENTINEL", "DEBUG"].into_iter().chain(periods).collect();
    sentinel.command::<()>(&words);
}

#[test]
fn sentinels_give_another_master() {
    let mut all = Sentinels::start();
    assert_eq!(all.master(), 0);
    all.server(0).command::<()>(&["SET", "key", "value"]);
    all.server(0).command::<u8>(&["WAIT", "2", "0"]);

    let second = all.fail_over();
    assert_ne!(second, 0);
    assert_eq!(all.server(second).keys(), ["key"]);
    all.wait_until_settled();

    all.stop(second);
    let third = all.wait_for_failover(second);
    assert_eq!(all.server(third).keys(), ["key"]);
    all.restart(second);
    all.stop_sentinel(0);
    all.restart_sentinel(0);
    all.wait_until_settled();
    assert_eq!(all.server(second).keys(), ["key"]);
}

#[test]
fn sentinels_find_servers_with_passwords_and_certificates() {
    let certificates = Certificates::new();
    let setup = |password| {
        let setup = Setup::default().with_password(password);
        setup.with_tls(&certificates, true)
    };
    let all = Sentinels::start_with(&setup("secret"), &setup("another"));
    all.server(0).pause();
    let second = all.wait_for_failover(0);
    all.server(0).resume();
    all.wait_until_settled();
    assert_eq!(all.master(), second);
}
