use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use humantime::format_rfc3339_seconds;
use rocket::figment::Figment;
use rocket::{Ignite, Rocket};
use rocket_typed_session::SessionId;
use rocket_typed_session::store::{Store as _, Timestamp};
use session_core::fields::Fields;
use session_core::store::{Key, Wanted};

use super::Answer;
use super::servers::masters;
use super::types::{Type, application};

/// How long Redis keeps a session after its end.
const SLACK: Duration = Duration::from_secs(2 * 60);

/// How many keys a server scans in one step.
const STEP: &str = "1000";

/// Scans all masters in steps. A session that begins or ends meanwhile may count or not.
pub(crate) async fn count(types: &[Type]) -> Answer {
    let mut found = BTreeMap::<String, u64>::new();
    let prefixes: BTreeSet<_> = types.iter().map(|one| one.store.key_prefix()).collect();
    for prefix in prefixes {
        // Types with one prefix share servers.
        let one = types.iter().find(|one| one.store.key_prefix() == prefix);
        let pattern = format!("{}*", escaped(prefix));
        for server in &mut masters(&one.ok_or("no session type")?.store).await? {
            let mut cursor = "0".to_owned();
            loop {
                let words = ["SCAN", &cursor, "MATCH", &pattern, "COUNT", STEP];
                let (next, keys): (String, Vec<String>) = server.ask(&words).await?;
                for name in keys
                    .iter()
                    .filter_map(|key| name_in(key.strip_prefix(prefix)?))
                {
                    *found.entry(format!("{prefix}{name}")).or_default() += 1;
                }
                cursor = next;
                if cursor == "0" {
                    break;
                }
            }
        }
    }
    for one in types {
        let key = format!("{}{}", one.store.key_prefix(), one.name);
        println!("{}: {}", one.name, found.remove(&key).unwrap_or(0));
    }
    for (key, count) in found {
        println!("{key}: {count}, of a type that this program does not know");
    }
    Ok(true)
}

/// The session type's name, if `rest` ends in a session id.
fn name_in(rest: &str) -> Option<&str> {
    let (name, id) = rest.split_once(':')?;
    id.parse::<SessionId>().is_ok().then_some(name)
}

/// Escapes a pattern's special characters.
fn escaped(text: &str) -> String {
    let mut pattern = String::new();
    for letter in text.chars() {
        if "*?[]^-\\".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

pub(crate) async fn user(figment: &Figment, of: &Type, user: &str) -> Answer {
    let rocket = ignited(figment).await?;
    let users = (of.users)(&rocket).ok_or("the session type is not attached")?;
    let list = users.list(user).await?;
    for session in &list {
        println!(
            "{}  last seen {}  ends {}  {}",
            session.id,
            time(session.last_seen_at),
            time(session.expires_at),
            printable(&session.label)
        );
    }
    println!("{} sessions", list.len());
    Ok(!list.is_empty())
}

pub(crate) async fn end(figment: &Figment, of: &Type, user: &str) -> Answer {
    let rocket = ignited(figment).await?;
    let users = (of.users)(&rocket).ok_or("the session type is not attached")?;
    println!("{} sessions ended", users.end(user).await?);
    Ok(true)
}

async fn ignited(figment: &Figment) -> Result<Rocket<Ignite>, String> {
    let ignited = application(figment).ignite().await;
    ignited.map_err(|error| error.kind().to_string())
}

pub(crate) async fn show(of: &Type, id: &str, shows_values: bool) -> Answer {
    let id: SessionId = id.parse()?;
    let key = Key::new(of.name, id);
    let Some(record) = of.store.load(key, &Wanted::All).await? else {
        println!("there is no session {key}");
        return Ok(false);
    };
    let redis_key = format!("{}{key}", of.store.key_prefix());
    let (mut left, mut memory) = (None, None);
    for server in &mut masters(&of.store).await? {
        // In a cluster, all masters but one refuse.
        let ttl = server.ask::<i64>(&["PTTL", &redis_key]).await;
        if let Ok(Ok(millis)) = ttl.map(u64::try_from) {
            left = Some(Duration::from_millis(millis));
            let words = ["MEMORY", "USAGE", &redis_key, "SAMPLES", "0"];
            memory = server.ask::<u64>(&words).await.ok();
        }
    }
    let metadata = &record.metadata;
    println!("session {key}");
    println!("created    {}", time(instant(metadata.created_at)));
    println!("last seen  {}", time(instant(metadata.touched_at)));
    let login = metadata.authenticated_at.map(|at| time(instant(at)));
    println!("logged in  {}", login.as_deref().unwrap_or("never"));
    if let Some(left) = left {
        let end = instant(of.store.now()) + left.saturating_sub(SLACK);
        println!(
            "expires    {}",
            time(end.min(instant(metadata.absolute_deadline)))
        );
    }
    match memory {
        Some(memory) => println!("memory     {memory} bytes"),
        None => println!("memory     unknown: Redis does not permit MEMORY USAGE"),
    }
    println!("fields     {} bytes", record.fields.size());
    print_fields(&record.fields, shows_values);
    Ok(true)
}

/// An entry's key is as private as a value. Names with `@` are the library's own, and contain digests.
fn print_fields(fields: &Fields, shows_values: bool) {
    let mut sizes = BTreeMap::<&str, (usize, usize)>::new();
    for (name, value) in fields.iter() {
        let is_ours = name.starts_with('@');
        if shows_values && !is_ours {
            match std::str::from_utf8(value) {
                Ok(text) => println!("  {}: {}", printable(name), printable(text)),
                Err(_) => println!("  {}: {} bytes, encrypted", printable(name), value.len()),
            }
        } else {
            let field = name.split(':').next().unwrap_or_default();
            let field = if is_ours { name } else { field };
            let (values, size) = sizes.entry(field).or_default();
            (*values, *size) = (*values + 1, *size + value.len());
        }
    }
    for (field, (values, size)) in sizes {
        match values {
            1 => println!("  {}: {size} bytes", printable(field)),
            _ => println!("  {}: {size} bytes in {values} entries", printable(field)),
        }
    }
}

fn instant(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(at.as_millis())
}

fn time(at: impl Into<SystemTime>) -> String {
    format_rfc3339_seconds(at.into()).to_string()
}

/// A visitor's text must not control the terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}
