//! Guesses the word behind a typo, or behind a word of another session library.

use crate::options::OF_CONFIGURATION;

/// What to write for a word that is not one of `known`.
#[must_use]
pub fn advice(word: &str, known: &[&str]) -> String {
    let is_of_session = known.contains(&"idle") || known.contains(&"once");
    let elsewhere = of_another_library(word).filter(|_| is_of_session);
    if let Some(advice) = elsewhere.or_else(|| of_the_configuration(word)) {
        return advice.to_owned();
    }
    match nearest(word, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write one of `{}`", known.join("`, `")),
    }
}

/// Where an option of the configuration belongs.
fn of_the_configuration(word: &str) -> Option<&'static str> {
    OF_CONFIGURATION
        .contains(&word)
        .then_some("write it in `Rocket.toml`, in `[default.sessions]`")
}

/// The counterpart of an option of express-session, tower-sessions, actix-session or Django.
fn of_another_library(word: &str) -> Option<&'static str> {
    let word = word.replace('_', "").to_ascii_lowercase();
    Some(match word.as_str() {
        "secret" | "secretkey" | "signed" => "remove it: the token is random, so nothing is signed",
        "maxage" | "cookieage" | "expires" | "expiry" | "timeout" | "sessionttl" => {
            "write `idle` for the time since the last request, `absolute` for the time since the login, and \
             `persistent` if the cookie should outlive the browser"
        }
        "rolling" => "remove it: `idle` counts from the last request, to within `touch`",
        "genid" => "remove it: the library draws ids and tokens",
        "unset" => "remove it: call `destroy()`",
        "proxy" | "trustproxy" => "write `secure`: no header of a request decides it",
        "resave" | "saveuninitialized" | "alwayssave" | "saveeveryrequest" => {
            "remove it: a session is stored when a field changes"
        }
        "cookiename" => "write `cookie`",
        "flash" => "write `once`",
        "httponly" => "remove it: the cookie is always `HttpOnly`",
        "store" | "engine" => {
            "write `url` in `[default.databases.sessions]` for Redis, or `.store(…)` on the fairing"
        }
        _ => return None,
    })
}

/// The known word closest to `word`, if it is close enough.
#[must_use]
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let distances = known.iter().map(|known| (distance(word, known), *known));
    let (distance, known) = distances.min_by_key(|(distance, _)| *distance)?;
    // Up to a third of the letters may be wrong.
    (distance <= known.len().max(3) / 3).then_some(known)
}

/// The optimal string alignment distance.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        rows[i][0] = i;
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let one_off = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            let is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            rows[i][j] = if is_swap {
                one_off.min(rows[i - 2][j - 2] + 1)
            } else {
                one_off
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["idle", "absolute", "same_site", "skip", "alias"];

    #[test]
    fn finds_what_was_meant() {
        assert_eq!(nearest("idel", KNOWN), Some("idle"));
        assert_eq!(nearest("idle_", KNOWN), Some("idle"));
        assert_eq!(nearest("samesite", KNOWN), Some("same_site"));
        assert_eq!(nearest("absolut", KNOWN), Some("absolute"));
        assert_eq!(nearest("aliases", KNOWN), None);
    }

    #[test]
    fn translates_the_words_of_other_libraries() {
        assert!(advice("maxAge", KNOWN).contains("`idle`"));
        assert!(advice("max_age", KNOWN).contains("`absolute`"));
        assert!(advice("secret", &["idle", "secure"]).contains("random"));
        assert!(advice("idel", KNOWN).contains("did you mean `idle`?"));
        assert!(advice("colour", KNOWN).ends_with("`skip`, `alias`"));
        // A table without lifetimes is not about a session.
        assert_eq!(advice("maxAge", &["url"]), "write one of `url`");
        assert!(advice("prefix", &["url"]).contains("[default.sessions]"));
    }

    #[test]
    fn does_not_guess_wildly() {
        assert_eq!(nearest("colour", KNOWN), None);
        assert_eq!(nearest("", KNOWN), None);
        assert_eq!(nearest("idle", &[]), None);
    }

    #[test]
    fn counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("abc", "acb"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
