use std::collections::BTreeSet;

use session_core::options::SameSite;
use session_core::request::Candidates;

use super::{CookieSettings, MAX_CANDIDATES};

/// Browsers send the first only once.
const NAMES: [&str; 2] = ["__Host-id", "id"];

pub(crate) fn read(bytes: &[u8]) {
    let headers = headers(bytes);
    for name in NAMES {
        check(name, &headers, &candidates(name, &headers));
    }
}

/// Rocket drops a header that is not UTF-8, so replacement letters may stand for it.
fn headers(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    text.split('\n').map(str::to_owned).collect()
}

fn candidates(name: &str, headers: &[String]) -> Candidates {
    settings(name).candidates(headers)
}

fn settings(name: &str) -> CookieSettings {
    CookieSettings {
        name: name.into(),
        path: "/".into(),
        domain: None,
        same_site: SameSite::Lax,
        secure: name.starts_with("__"),
    }
}

fn check(name: &str, headers: &[String], found: &Candidates) {
    let most = if name == "id" { MAX_CANDIDATES } else { 1 };
    let tokens = &found.tokens;
    assert!(tokens.len() <= most, "{} of {name}", tokens.len());
    assert!(tokens.is_empty() || !found.tampered, "one is believed");
    assert!(tokens.is_empty() || settings(name).is_in(headers));
    let texts: BTreeSet<String> = tokens.iter().map(|token| token.expose()).collect();
    assert_eq!(texts.len(), tokens.len(), "one is looked up twice");
    let sent = |text: &str| {
        let pair = format!("{name}={text}");
        let mut pairs = headers.iter().flat_map(|header| header.split(';'));
        pairs.any(|sent| sent.trim_matches([' ', '\t']) == pair)
    };
    assert!(texts.iter().all(|text| sent(text)), "one was not sent");
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::iter;
    use std::time::{Duration, Instant};

    use session_core::testing::mutations::Mutations;
    use session_core::token::Token;

    use super::*;

    fn cookies(count: usize) -> Vec<String> {
        let cookie = |number| {
            let token = Token::generate().unwrap().expose();
            format!("{}={token}", NAMES[number % NAMES.len()])
        };
        (0..count).map(cookie).collect()
    }

    #[test]
    fn mutated_headers_are_read_right() {
        let [few, many] = [2, 2 * MAX_CANDIDATES].map(cookies);
        let seeds = [
            few.join("; "),
            many.join("; "),
            many.join("\n"),
            format!(
                "\u{a0}{}; a=b; \u{e9}=\u{e9}; =; ;{}",
                few[0],
                many.join(";\t")
            ),
        ];
        let inputs = Mutations::wanted() / seeds.len();
        let mut mutations = Mutations::new();
        let most = Cell::new(0);
        for seed in seeds {
            let longest = mutations.feed(seed.as_bytes(), inputs, |bytes| {
                read(bytes);
                most.set(
                    most.get()
                        .max(candidates("id", &headers(bytes)).tokens.len()),
                );
            });
            println!("{inputs} inputs, the longest took {longest:?}");
        }
        assert_eq!(most.get(), MAX_CANDIDATES);
    }

    fn repeated(part: &str, len: usize) -> Vec<u8> {
        iter::repeat_n(part.as_bytes(), len / part.len() + 1)
            .flatten()
            .copied()
            .take(len)
            .collect()
    }

    fn time(times: usize, bytes: &[u8]) -> Duration {
        let began = Instant::now();
        for _ in 0..times {
            read(bytes);
        }
        began.elapsed()
    }

    /// Ten times the bytes, once, take as long as the bytes ten times. The best of several tries counts.
    #[test]
    fn a_header_of_any_length_takes_as_long_as_it_is() {
        let few = cookies(2).join("; ");
        let many = cookies(2 * MAX_CANDIDATES).join("; ");
        let distinct: String = (0..20_000).map(|number| format!("id={number}; ")).collect();
        for part in [
            "=",
            ";",
            "; ",
            "\n",
            " ",
            "\u{e9}",
            "id=",
            "id=;",
            "id=x; ",
            "__Host-id=x;",
            "__Host-id",
            "a=b; ",
            "id=\u{2000};",
            &few,
            &many,
            &distinct,
        ] {
            let [short, long] = [10_000, 100_000].map(|len| repeated(part, len));
            let tries = || (0..10).map(|_| (time(10, &short), time(1, &long)));
            let (short, long) = tries()
                .fold((Duration::MAX, Duration::MAX), |best, (short, long)| {
                    (best.0.min(short), best.1.min(long))
                });
            let part: String = part.chars().take(20).collect();
            println!("{part:?}: {short:?}, {long:?}");
            assert!(long < 5 * short, "{part:?}: {short:?}, {long:?}");
        }
    }

    #[test]
    fn among_thousands_of_other_cookies_the_right_one_is_found() {
        let others: Vec<_> = (0..5_000)
            .map(|number| format!("other{number}=x"))
            .collect();
        let (others, own) = (others.join("; "), cookies(2).join("; "));
        let headers = [others.clone(), format!("{others}; {own}; {others}")];
        for name in NAMES {
            let found = candidates(name, &headers);
            check(name, &headers, &found);
            assert_eq!(found.tokens.len(), 1, "{name}");
        }
    }

    #[test]
    fn of_thousands_of_cookies_none_is_believed() {
        let headers = [cookies(10_000).join("; ")];
        for name in NAMES {
            let found = candidates(name, &headers);
            assert!(found.tampered && found.tokens.is_empty(), "{name}");
        }
    }
}
