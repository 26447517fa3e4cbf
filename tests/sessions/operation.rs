//! What an operator meets: a Redis user with few permissions, and the end of an outage.

use std::collections::{BTreeMap, HashSet};
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rocket::{get, post, routes};
use rocket_typed_session::{Error, Session, TransactError, session};
use tokio::net::{TcpListener, TcpStream};

use crate::app::{Visit, rocket};
use crate::support::http::Server;
use crate::support::own::{configured, quiet};
use crate::support::redis::RedisServer;

/// Needs every script and every command.
#[session(cookie = "basket")]
struct Basket {
    #[session(counter)]
    items: u64,
    #[session(max)]
    most: u64,
    #[session(entries)]
    notes: BTreeMap<String, String>,
    #[session(once)]
    notice: Option<String>,
    #[session(ttl = "5m")]
    code: Option<u32>,
    #[session(identity)]
    user: Option<String>,
}

#[post("/fill")]
async fn fill(mut basket: Session<Basket>) -> Result<(), Error> {
    basket.items += 1;
    basket.most = basket.items;
    let items = basket.items.to_string();
    basket.notes.insert("a".into(), items);
    basket.notice = Some("filled".into());
    basket.code = Some(7);
    basket.save().await?;
    basket.reload().await
}

#[post("/use")]
async fn make_use(mut basket: Session<Basket>) -> Result<String, TransactError<Error>> {
    let notice = Basket::take_notice(&mut basket).await?;
    let one_more = |basket: &mut Basket| {
        basket.items += 1;
        Ok(())
    };
    basket.transact(one_more).await?;
    Ok(format!("{notice:?} {}", basket.items))
}

#[post("/login/<user>")]
fn login(mut basket: Session<Basket>, user: &str) {
    basket.user = Some(user.into());
}

#[post("/logout")]
fn logout(mut basket: Session<Basket>) {
    basket.destroy();
}

#[get("/read")]
fn read(basket: Session<Basket>) -> String {
    format!("{} {:?}", basket.items, basket.notes)
}

fn listed(text: &'static str, start: &str, end: &str) -> Vec<&'static str> {
    let (_, section) = text.split_once(start).unwrap();
    let (section, _) = section.split_once(end).unwrap();
    let words = section
        .split_whitespace()
        .map(|word| word.trim_matches('`'));
    words.filter(|word| word.starts_with('+')).collect()
}

fn documented_permissions() -> Vec<&'static str> {
    let source = include_str!("../../session-core/src/store/redis.rs");
    let of_store = listed(source, "# Permissions of the Redis user", "pub struct");
    let guide = include_str!("../../SECURITY.md");
    assert_eq!(listed(guide, "ACL SETUSER", "```"), of_store);
    of_store
}

#[tokio::test]
async fn the_documented_permissions_suffice() {
    let permissions = documented_permissions();
    assert!(permissions.contains(&"+evalsha"), "{permissions:?}");
    for (database, near) in [("", None), ("/0", None), ("/1", None), ("", Some("1min"))] {
        let redis = RedisServer::start();
        let user = "ACL SETUSER sessions on >secret resetkeys ~session:* resetchannels -@all";
        let words: Vec<&str> = user.split(' ').chain(permissions.clone()).collect();
        let _: String = redis.command(&words);
        let url = format!(
            "redis://sessions:secret@127.0.0.1:{}{database}",
            redis.port()
        );
        let routes = routes![fill, make_use, login, logout, read];
        let rocket = quiet().attach(Basket::fairing()).mount("/", routes);
        let mut rocket = configured(rocket, "databases.sessions.url", &url);
        if let Some(near) = near {
            rocket = configured(rocket, "sessions.basket.near", near);
        }
        let server = Server::launch(rocket).await;
        let mut browser = server.browser();
        for _ in 0..2 {
            for (path, answer) in [
                ("/fill", ""),
                ("/use", "Some(\"filled\") 2"),
                ("/login/alice", ""),
                ("/fill", ""),
                ("/login/bob", ""),
                ("/fill", ""),
                ("/logout", ""),
            ] {
                let response = browser.post(path, &[]).await;
                assert_eq!(
                    (response.status, &*response.text()),
                    (200, answer),
                    "{path}"
                );
                assert_eq!(browser.get("/read").await.status, 200);
            }
            let _: String = redis.command(&["SCRIPT", "FLUSH"]);
        }
    }
}

/// A proxy that delays new connections.
async fn slow_way(port: u16, delay: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else {
                    return;
                };
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    way
}

/// Sends requests at a steady rate, however many wait, until it is dropped.
struct Load {
    answered: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl Load {
    fn of(browser: &crate::support::http::Browser, every: Duration) -> Self {
        let (answered, stopped) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let load = Self {
            answered: Arc::clone(&answered),
            stopped: Arc::clone(&stopped),
        };
        let browser = browser.clone();
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(every);
            while !stopped.load(Ordering::SeqCst) {
                tick.tick().await;
                let (mut browser, answered) = (browser.clone(), Arc::clone(&answered));
                tokio::spawn(async move {
                    if browser.get("/read").await.status == 200 {
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        load
    }

    async fn answers(&self, more: usize) {
        let enough = self.answered.load(Ordering::SeqCst) + more;
        while self.answered.load(Ordering::SeqCst) < enough {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
    }
}

/// Each request would give up before a connection of its own is made.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_never_cease_do_not_keep_the_connection_from_coming_back() {
    let redis = RedisServer::start();
    let way = slow_way(redis.port(), Duration::from_millis(30)).await;
    let url = format!("redis://127.0.0.1:{way}");
    let rocket = configured(rocket(), "databases.sessions.url", &url);
    let rocket = configured(rocket, "sessions.visit.timeout", "300ms");
    let server = Server::launch(rocket.attach(Visit::fairing())).await;
    let mut browser = server.browser();
    browser.get("/view").await;
    let load = Load::of(&browser, Duration::from_millis(5));
    load.answers(20).await;
    redis.pause();
    tokio::time::sleep(Duration::from_secs(1)).await;
    redis.resume();
    let began = Instant::now();
    let recovered = tokio::time::timeout(Duration::from_secs(3), load.answers(20)).await;
    assert!(recovered.is_ok(), "not after {:?}", began.elapsed());
}

#[test]
fn the_tests_that_the_documentation_names_exist() {
    fn sources(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    for folder in ["tests", "src", "session-core/src"] {
        sources(&root.join(folder), &mut text);
    }
    let guide = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let rows = guide.lines().filter(|line| line.starts_with("| "));
    let last = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    let names: Vec<&str> = last
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert!(names.len() > 60, "{}", names.len());
    let is_known = |name: &&&str| text.contains(&format!("fn {name}("));
    let unknown: Vec<_> = names.iter().filter(|name| !is_known(name)).collect();
    assert!(unknown.is_empty(), "no such tests: {unknown:#?}");
}

/// Some names in `docs/faults.md` are functions that run on each topology.
#[test]
fn the_tests_that_the_faults_name_exist() {
    let listed = Command::new(env::current_exe().unwrap())
        .arg("--list")
        .output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    let listed: HashSet<_> = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_to_string(root.join("docs/faults.md")).unwrap();
    let rows = guide.lines().filter(|line| line.starts_with("| F"));
    let mut tests = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        assert_eq!(cells.len(), 7, "{row}");
        let named = cells[4..]
            .iter()
            .flat_map(|cell| cell.split('`').skip(1).step_by(2));
        for name in named {
            tests += 1;
            if listed.contains(name) {
                continue;
            }
            let (module, test) = name.rsplit_once("::").unwrap();
            let file = module.replace("::", "/");
            let ends = [".rs", "/mod.rs", "/tests.rs"];
            let roots = ["tests/sessions", "src", "session-core/src"];
            let mut files = roots
                .iter()
                .flat_map(|folder| ends.map(|end| root.join(folder).join(format!("{file}{end}"))));
            let holds = files.any(|file| {
                let text = fs::read_to_string(file).unwrap_or_default();
                text.contains(&format!("fn {test}("))
            });
            assert!(holds, "no such test: {name}");
        }
    }
    assert!(tests > 80, "{tests}");
}
