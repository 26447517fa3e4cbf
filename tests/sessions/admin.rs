//! The example `session_admin`, run as an operator would, on each topology.

use std::fs;
use std::process::Command;

use rocket::figment::Figment;
use rocket::figment::providers::{Format as _, Toml};
use rocket_typed_session::store::{Store, configured_redis};

use crate::app::Visit;
use crate::support::cluster::Cluster;
use crate::support::http::{Browser, Server};
use crate::support::process::Folder;
use crate::support::program::built;
use crate::support::redis::RedisServer;
use crate::support::sentinel::{MASTER, Sentinels};

const SECRET: &str = "what-alice-wrote";

/// An application on the servers that the folder's `Rocket.toml` names.
struct Site {
    folder: Folder,
    server: Server,
    alice: Browser,
}

impl Site {
    async fn with(keys: &str) -> Self {
        let folder = Folder::new("admin");
        let toml = format!("[default.databases.sessions]\n{keys}\n");
        let path = folder.path().join("Rocket.toml");
        fs::write(&path, toml).unwrap();
        let rocket = crate::app::rocket();
        let figment = rocket.figment().clone().merge(Toml::file(path).nested());
        let server = Server::launch(rocket.configure(figment).attach(Visit::fairing())).await;
        let mut alice = server.browser();
        alice.post("/login/alice", &[]).await;
        alice.get(&format!("/note/{SECRET}")).await;
        Self {
            folder,
            server,
            alice,
        }
    }

    fn admin(&self, words: &[&str]) -> (i32, String) {
        let mut command = Command::new(built("session_admin"));
        let variables = std::env::vars_os().map(|(name, _)| name);
        for name in variables.filter(|name| name.to_string_lossy().starts_with("ROCKET_")) {
            command.env_remove(name);
        }
        let output = command.args(words).current_dir(self.folder.path()).output();
        let output = output.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code().unwrap(),
            String::from_utf8(said).unwrap(),
        )
    }

    async fn tour(&mut self) {
        let (code, said) = self.admin(&["health"]);
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("role") || said.contains("master"), "{said}");
        assert!(said.ends_with("all is well\n"), "{said}");

        for _ in 0..7 {
            self.server.browser().get("/view").await;
        }
        let mut other = self.server.browser();
        other.post("/login/alice", &[]).await;
        let counts = |visits: u32| (0, format!("visit: {visits}\nadmin_visit: 0\n"));
        assert_eq!(self.admin(&["count"]), counts(9));

        let id = self.alice.get("/id").await.text();
        let (code, said) = self.admin(&["user", "visit", "alice"]);
        assert_eq!(code, 0, "{said}");
        assert!(
            said.contains(&id) && said.ends_with("2 sessions\n"),
            "{said}"
        );
        let nobody = self.admin(&["user", "visit", "bob"]);
        assert_eq!(nobody, (1, "0 sessions\n".into()));

        let (code, said) = self.admin(&["show", "visit", &id]);
        assert_eq!(code, 0, "{said}");
        for part in [
            "created    20",
            "logged in  20",
            "expires    20",
            "  user: 7 bytes",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let is_measured = said.lines().any(|line| {
            let memory = line.strip_prefix("memory     ");
            memory.is_some_and(|memory| memory.starts_with(|letter: char| letter.is_ascii_digit()))
        });
        assert!(is_measured, "{said}");
        assert!(!said.contains("alice") && !said.contains(SECRET), "{said}");
        let (_, said) = self.admin(&["show", "visit", &id, "--values"]);
        assert!(said.contains(&format!("note: \"{SECRET}\"")), "{said}");

        let ended = self.admin(&["end", "visit", "alice"]);
        assert_eq!(ended, (0, "2 sessions ended\n".into()));
        let read = self.alice.get("/read").await.text();
        assert!(read.contains("user=-"), "{read}");
        assert_eq!(self.admin(&["count"]), counts(7));
        let gone = self.admin(&["show", "visit", &id]);
        assert_eq!(gone, (1, format!("there is no session visit:{id}\n")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_one_server() {
    let redis = RedisServer::start();
    let mut site = Site::with(&format!("url = \"{}\"", redis.url())).await;
    site.tour().await;

    let _: String = redis.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let (code, said) = site.admin(&["health"]);
    assert_eq!(code, 1);
    assert!(said.contains("fault: its `maxmemory-policy` is"), "{said}");
    let _: String = redis.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let _: String = redis.command(&["CONFIG", "SET", "maxmemory", "100000"]);
    let (code, said) = site.admin(&["health"]);
    assert_eq!(code, 1);
    assert!(said.contains("more than 90 %"), "{said}");
    redis.pause();
    let (code, said) = site.admin(&["health"]);
    assert_eq!(code, 1);
    assert!(said.contains("it does not answer"), "{said}");
    redis.resume();
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_cluster() {
    let mut cluster = Cluster::start();
    // One known node is enough.
    let mut site = Site::with(&format!("urls = [\"{}\"]", cluster.node(1).url())).await;
    site.tour().await;
    let (_, said) = site.admin(&["health"]);
    assert_eq!(said.matches("noeviction").count(), 3, "{said}");
    // Until its replica takes over, nobody serves its slots.
    cluster.stop(0);
    let (code, said) = site.admin(&["health"]);
    assert_eq!(code, 1);
    assert!(said.contains("fault: "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_master_that_sentinels_name() {
    let sentinels = Sentinels::start_with_passwords("of the servers", "of the sentinels");
    let urls: Vec<_> = sentinels
        .sentinels()
        .iter()
        .map(|sentinel| format!("redis://127.0.0.1:{}", sentinel.port()))
        .collect();
    let secrets = Folder::new("secrets");
    for (name, password) in [
        ("servers", "of the servers"),
        ("sentinels", "of the sentinels"),
    ] {
        fs::write(secrets.path().join(name), password).unwrap();
    }
    let folder = secrets.path().display();
    let keys = format!(
        "password = {{ file = \"{folder}/servers\" }}\n\
         sentinel = {{ master = \"{MASTER}\", urls = {urls:?}, password = {{ file = \"{folder}/sentinels\" }} }}"
    );
    Site::with(&keys).await.tour().await;
}

/// Without `--values`, only names and sizes are shown; a digest never.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_of_a_session_is_not_its_data() {
    let redis = RedisServer::start();
    let mut site = Site::with(&format!("url = \"{}\"", redis.url())).await;
    let id = site.alice.get("/id").await.text();
    let key = format!("session:visit:{id}");
    let metadata: Vec<u8> = redis.command(&["HGET", &key, "@"]);
    for (name, value) in [
        ("cart:peppermint", "2"),
        ("cart:camomile", "3"),
        ("@until:note", "1893456000000"),
        ("@parent", "parent-and-digest"),
    ] {
        let _: i64 = redis.command(&["HSET", &key, name, value]);
    }
    let _: i64 = redis.command_of_bytes(&[b"HSET", key.as_bytes(), b"token", b"\x01\xff\xfe"]);
    let (code, said) = site.admin(&["show", "visit", &id]);
    assert_eq!(code, 0, "{said}");
    for part in [
        "  cart: 2 bytes in 2 entries\n",
        "  token: 3 bytes\n",
        "  @until:note: 13 bytes\n",
        "  @parent: 17 bytes\n",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (_, all) = site.admin(&["show", "visit", &id, "--values"]);
    assert!(all.contains("  cart:peppermint: 2\n"), "{all}");
    assert!(all.contains("  token: 3 bytes, encrypted\n"), "{all}");
    for private in ["alice", SECRET, "peppermint", "camomile"] {
        assert!(!said.contains(private), "{said}");
        assert!(all.contains(private), "{all}");
    }
    // In hexadecimal, and as `Debug` shows it.
    let half = &metadata[1..17];
    let hex: String = half.iter().map(|byte| format!("{byte:02x}")).collect();
    let debug = format!("{half:?}");
    for said in [said, all] {
        for private in ["parent-and-digest", &hex, debug.trim_matches(['[', ']'])] {
            assert!(!said.contains(private), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_and_keys_that_are_wrong_are_told() {
    let redis = RedisServer::start();
    let site = Site::with(&format!("url = \"{}\"", redis.url())).await;
    for words in [&[][..], &["halth"], &["show", "visit"], &["count", "visit"]] {
        let (code, said) = site.admin(words);
        assert_eq!(code, 2, "{words:?}");
        assert!(said.starts_with("usage: "), "{said}");
    }
    let (code, said) = site.admin(&["user", "vist", "alice"]);
    assert_eq!((code, said.contains("visit, admin_visit")), (1, true));
    let (code, _) = site.admin(&["show", "visit", "../../etc"]);
    assert_eq!(code, 1);
    let path = site.folder.path().join("Rocket.toml");
    fs::write(path, "[default.databases.sessions]\nulr = \"\"\n").unwrap();
    let (code, said) = site.admin(&["health"]);
    assert_eq!((code, said.contains("did you mean `url`?")), (1, true));
}

#[tokio::test]
async fn the_configured_store_is_that_of_the_fairing() {
    let redis = RedisServer::start();
    let figment = Figment::from(rocket::Config::default())
        .merge(("databases.sessions.url", redis.url()))
        .merge(("sessions.prefix", "all:"))
        .merge(("sessions.visit.prefix", "shop*:"))
        .merge(("sessions.visit.timeout", "300ms"));
    let store = configured_redis::<Visit>(&figment).unwrap();
    assert_eq!(store.key_prefix(), "shop*:");
    assert_eq!(Store::timeout(&store).as_millis(), 300);
    let masters = store.masters().await.unwrap();
    let addresses: Vec<_> = masters.iter().map(|info| info.addr().to_string()).collect();
    assert_eq!(addresses, [format!("127.0.0.1:{}", redis.port())]);

    let error = |figment: Figment| configured_redis::<Visit>(&figment).unwrap_err().to_string();
    let missing = error(Figment::from(rocket::Config::default()));
    assert!(
        missing.contains("[default.databases.sessions]"),
        "{missing}"
    );
    let wrong = error(figment.merge(("sessions.visit.prefix", 7)));
    assert!(wrong.contains("prefix"), "{wrong}");
}
