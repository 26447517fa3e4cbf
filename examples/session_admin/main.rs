//! Inspects and ends sessions on Redis from the command line: on one server, under Sentinel, or on a cluster.
//!
//! ```text
//! cargo run --example session_admin -- health
//! cargo run --example session_admin -- count
//! cargo run --example session_admin -- user visit ann
//! cargo run --example session_admin -- end visit ann
//! cargo run --example session_admin -- show visit DKsvjkqkQJeYmHrmnYEN5g
//! ```
//!
//! It reads the application's `Rocket.toml` and `ROCKET_` variables, so it uses the same servers, passwords
//! and prefix. `show` prints what visitors have stored only with `--values`.
//!
//! The exit code is 0 if all is well, 1 if something is wrong or missing, and 2 for a wrong command.
//!
//! For your own application, copy this program and import your session types in `types.rs`. Beyond the
//! application's permissions, its Redis user needs `+scan` for `count`, `+memory|usage` for `show`, and in a
//! cluster `+cluster|info` for `health`.

mod health;
mod servers;
mod sessions;
mod types;

use std::error::Error;
use std::process::ExitCode;

use rocket::figment::Figment;

use self::types::types;

const USAGE: &str = "\
usage: session_admin COMMAND

  health                    what each server is, what it holds, and what is wrong with it
  count                     how many sessions there are, by type
  user TYPE NAME            the sessions of a user
  end TYPE NAME             ends all sessions of a user
  show TYPE ID [--values]   one session: its times, and the names and sizes of its fields";

/// Whether all is well.
type Answer = Result<bool, Box<dyn Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // The command prints its own messages.
    let figment = rocket::Config::figment().merge(("log_level", "off"));
    let Some(answer) = answer(&figment, &words).await else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match answer {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// `None`: a wrong command.
async fn answer(figment: &Figment, words: &[&str]) -> Option<Answer> {
    let types = match types(figment) {
        Ok(types) => types,
        Err(error) => return Some(Err(error)),
    };
    let of_type = |name: &str| {
        let found = types.iter().find(|one| one.name == name);
        found.ok_or_else(|| {
            let names: Vec<_> = types.iter().map(|one| one.name).collect();
            format!(
                "no session type `{name}`; write one of {}",
                names.join(", ")
            )
        })
    };
    macro_rules! with_type {
        ($name:expr, $command:expr) => {
            match of_type($name) {
                Ok(of_type) => $command(of_type).await,
                Err(fault) => Err(fault.into()),
            }
        };
    }
    Some(match *words {
        ["health"] => health::health(&types[0].store).await,
        ["count"] => sessions::count(&types).await,
        ["user", name, user] => with_type!(name, |of| sessions::user(figment, of, user)),
        ["end", name, user] => with_type!(name, |of| sessions::end(figment, of, user)),
        ["show", name, id] => with_type!(name, |of| sessions::show(of, id, false)),
        ["show", name, id, "--values"] => with_type!(name, |of| sessions::show(of, id, true)),
        _ => return None,
    })
}
