//! What a server says about itself, and what of that harms sessions.

use std::fmt;

/// The oldest tested version.
const OLDEST: (u64, u64) = (6, 2);

/// Missing parts are empty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Server {
    /// `Redis` or `Valkey`.
    name: String,
    version: String,
    /// `standalone`, `cluster` or `sentinel`.
    mode: String,
    /// `master` or `slave`.
    role: String,
    /// The `maxmemory-policy`.
    policy: String,
}

impl Server {
    pub(super) fn read(info: &str) -> Self {
        let value = |key: &str| {
            let mut lines = info.lines();
            let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            value.unwrap_or_default().trim().to_owned()
        };
        let either = |one: String, other: &str| if one.is_empty() { value(other) } else { one };
        let name = match &*value("valkey_version") {
            "" => "Redis",
            _ => "Valkey",
        };
        Self {
            name: name.to_owned(),
            // Valkey's `redis_version` is that of the Redis it descends from.
            version: either(value("valkey_version"), "redis_version"),
            // Valkey says `redis_mode` before 8.0, and in compatibility mode.
            mode: either(value("server_mode"), "redis_mode"),
            role: value("role"),
            policy: value("maxmemory_policy"),
        }
    }

    fn faults(&self, is_expected_in_cluster: bool) -> Vec<String> {
        let mut faults = Vec::new();
        if self.mode == "cluster" && !is_expected_in_cluster {
            faults.push(
                "it is a node of a cluster: requests for sessions in other nodes' slots get 503 (MOVED); \
                 write `urls`, a list of some of its nodes, instead of `url`"
                    .to_owned(),
            );
        }
        if self.mode == "sentinel" {
            faults.push(
                "it is a sentinel, which stores nothing; write `sentinel = { master = \"…\", urls = […] }` \
                 instead of `url`"
                    .to_owned(),
            );
        }
        if self.role == "slave" {
            faults.push(
                "it is a replica, which refuses every change; write the `url` of its master"
                    .to_owned(),
            );
        }
        if !matches!(&*self.policy, "" | "noeviction") {
            faults.push(format!(
                "its `maxmemory-policy` is `{}`: when it is full, it logs users out at random; set \
                 `noeviction`",
                self.policy
            ));
        }
        if self.name == "Redis" && self.numbers().is_some_and(|numbers| numbers < OLDEST) {
            let (major, minor) = OLDEST;
            faults.push(format!(
                "its version is older than {major}.{minor}, the oldest supported one"
            ));
        }
        faults
    }

    fn numbers(&self) -> Option<(u64, u64)> {
        let mut numbers = self.version.split('.').map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    }
}

/// One line about the servers, and their faults.
pub(super) fn described(servers: &[(String, Server)], is_cluster: bool) -> (String, Vec<String>) {
    let mut kinds: Vec<String> = servers
        .iter()
        .map(|(_, server)| server.to_string())
        .collect();
    kinds.sort();
    kinds.dedup();
    let mut faults = Vec::new();
    for (address, server) in servers {
        let its = server.faults(is_cluster);
        faults.extend(its.into_iter().map(|fault| match is_cluster {
            true => format!("{address}: {fault}"),
            false => fault,
        }));
    }
    let kinds = kinds.join(" and ");
    match is_cluster {
        true => (format!("{} masters of {kinds}", servers.len()), faults),
        false => (kinds, faults),
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match &*self.role {
            "slave" => "replica",
            role => role,
        };
        let parts = [&*self.mode, role, &*self.policy];
        let parts = parts.map(|part| if part.is_empty() { "?" } else { part });
        write!(f, "{} {} ({})", self.name, self.version, parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: &str = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n# Memory\r\n\
        maxmemory_policy:noeviction\r\n# Replication\r\nrole:master\r\n";

    const VALKEY: &str = "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n\
        server_mode:standalone\r\n# Memory\r\nmaxmemory_policy:noeviction\r\n# Replication\r\nrole:master\r\n";

    #[test]
    fn a_server_as_it_should_be_has_no_faults() {
        let server = Server::read(USUAL);
        assert_eq!(
            server.to_string(),
            "Redis 7.0.15 (standalone, master, noeviction)"
        );
        assert_eq!(server.faults(false), Vec::<String>::new());
        for info in [VALKEY, &VALKEY.replace("server_mode", "redis_mode")] {
            let valkey = Server::read(info);
            assert_eq!(
                valkey.to_string(),
                "Valkey 8.0.1 (standalone, master, noeviction)"
            );
            assert_eq!(valkey.faults(false), Vec::<String>::new());
        }
    }

    #[test]
    fn each_fault_is_told() {
        for (before, after, part) in [
            ("redis_mode:standalone", "redis_mode:cluster", "MOVED"),
            ("redis_mode:standalone", "redis_mode:sentinel", "sentinel"),
            ("role:master", "role:slave", "replica"),
            ("noeviction", "allkeys-lru", "`allkeys-lru`"),
            ("redis_version:7.0.15", "redis_version:6.0.16", "6.2"),
            ("redis_version:7.0.15", "redis_version:5.0.7", "6.2"),
        ] {
            let faults = Server::read(&USUAL.replace(before, after)).faults(false);
            assert_eq!(faults.len(), 1, "{after}: {faults:?}");
            assert!(faults[0].contains(part), "{after}: {faults:?}");
        }
        for (mode, part) in [("cluster", "MOVED"), ("sentinel", "sentinel")] {
            let faults = Server::read(&VALKEY.replace("standalone", mode)).faults(false);
            assert_eq!(faults.len(), 1, "{mode}: {faults:?}");
            assert!(faults[0].contains(part), "{mode}: {faults:?}");
        }
        for version in ["6.2.0", "8.0.0", "10.1", "unstable", "255.255.255"] {
            let info = USUAL.replace("7.0.15", version);
            assert_eq!(
                Server::read(&info).faults(false),
                Vec::<String>::new(),
                "{version}"
            );
        }
    }

    /// A proxy may answer anything.
    #[test]
    fn what_says_nothing_is_not_to_blame() {
        for info in ["", "junk", ":\r\n:", "redis_version"] {
            let server = Server::read(info);
            assert_eq!(server.to_string(), "Redis  (?, ?, ?)");
            assert_eq!(server.faults(false), Vec::<String>::new());
        }
    }
}
