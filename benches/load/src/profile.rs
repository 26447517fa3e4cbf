//! Where a request spends its instructions, from callgrind's output.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use crate::results::Results;
use crate::server::{BARE, HAND_WRITTEN, Kind, OURS, OURS_IN_MEMORY, Route};

/// Instructions by function, without called functions.
pub(crate) type Profile = BTreeMap<String, f64>;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Rocket,
    Tokio,
    Redis,
    Ours,
    Encoding,
    Digests,
    Hashing,
    Standard,
    Allocator,
    Memory,
    System,
    Other,
}

impl Group {
    const ALL: [Self; 12] = [
        Self::Rocket,
        Self::Tokio,
        Self::Redis,
        Self::Ours,
        Self::Encoding,
        Self::Digests,
        Self::Hashing,
        Self::Standard,
        Self::Allocator,
        Self::Memory,
        Self::System,
        Self::Other,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Rocket => "Rocket, hyper",
            Self::Tokio => "tokio, mio",
            Self::Redis => "redis-rs",
            Self::Ours => "this library",
            Self::Encoding => "serde",
            Self::Digests => "digests, base64",
            Self::Hashing => "hash maps",
            Self::Standard => "the rest of Rust's standard library",
            Self::Allocator => "allocator",
            Self::Memory => "copying, comparing memory",
            Self::System => "libc, calls of the system",
            Self::Other => "others",
        }
    }

    /// By the first crate in its name. Inlined code counts for the function around it.
    fn of(function: &str) -> Self {
        let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let paths = function.split(|c| !is_path(c));
        let roots = paths.filter_map(|path| path.split_once("::").map(|(root, _)| root));
        let mut is_standard = false;
        for root in roots.filter(|root| !root.is_empty()) {
            match root {
                "core" | "alloc" | "std" | "hashbrown" => is_standard = true,
                root => return Self::of_crate(root),
            }
        }
        match is_standard {
            true if function.contains("hash") => Self::Hashing,
            true => Self::Standard,
            false => Self::of_c(function),
        }
    }

    fn of_crate(name: &str) -> Self {
        match name {
            "__rustc" => Self::Allocator,
            "session_core" | "rocket_typed_session" => Self::Ours,
            "rocket" | "rocket_http" | "hyper" | "http" | "httparse" | "cookie" | "time"
            | "state" | "either" | "percent_encoding" | "indexmap" | "figment" | "bytes"
            | "smallvec" | "multer" | "memchr" | "httpdate" => Self::Rocket,
            "tokio" | "mio" | "futures_util" | "futures_core" | "futures_channel"
            | "tokio_stream" | "parking_lot" | "parking_lot_core" => Self::Tokio,
            "redis" | "deadpool_redis" | "deadpool" | "combine" | "tokio_util" | "arc_swap" => {
                Self::Redis
            }
            "serde" | "serde_core" | "serde_json" | "itoa" | "ryu" | "zmij" => Self::Encoding,
            "sha2" | "digest" | "block_buffer" | "base64" | "subtle" | "getrandom" => Self::Digests,
            _ => Self::Other,
        }
    }

    fn of_c(name: &str) -> Self {
        let is_one_of = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if is_one_of(&[
            "alloc",
            "free",
            "memalign",
            "unlink_chunk",
            "__rust_",
            "__rdl_",
        ]) {
            Self::Allocator
        } else if is_one_of(&[
            "memcpy", "memmove", "memset", "memcmp", "bcmp", "memchr", "strlen",
        ]) {
            Self::Memory
        } else {
            Self::System
        }
    }
}

/// The routes to compare: at the least cost, and with this library.
const COMPARED: [(Kind, Route); 7] = [
    (BARE, Route::Bare),
    (HAND_WRITTEN, Route::Read),
    (OURS, Route::Read),
    (OURS_IN_MEMORY, Route::Read),
    (HAND_WRITTEN, Route::Set),
    (OURS, Route::Set),
    (OURS_IN_MEMORY, Route::Set),
];

/// Thousands of instructions of one request, by group. Empty without valgrind.
pub(crate) fn groups(results: &Results) -> String {
    let compared = COMPARED.map(|(kind, route)| (kind, route, results.profile(kind, route)));
    let measured: Vec<_> = compared
        .into_iter()
        .filter(|cell| !cell.2.is_empty())
        .collect();
    let mut table = String::from("| |");
    for (kind, route, _) in &measured {
        let _ = write!(table, " {}, `{}` |", kind.name, route.path());
    }
    let _ = writeln!(table, "\n|---|{}", "---|".repeat(measured.len()));
    for group in Group::ALL {
        let _ = write!(table, "| {} |", group.name());
        for (_, _, profile) in &measured {
            let own = profile.iter().filter(|(name, _)| Group::of(name) == group);
            // An empty sum would be shown as -0.0.
            let sum = own
                .map(|(_, count)| count)
                .fold(0.0, |sum, count| sum + count);
            let _ = write!(table, " {:.1} |", sum / 1e3);
        }
        table.push('\n');
    }
    table
}

const TOP: usize = 12;

pub(crate) fn functions(results: &Results, route: Route) -> String {
    let profile = results.profile(OURS, route);
    let total: f64 = profile.values().sum();
    let mut functions: Vec<(&String, &f64)> = profile.iter().collect();
    functions.sort_by(|one, other| other.1.total_cmp(one.1));
    let mut table =
        String::from("| function | group | instructions | share |\n|---|---|---|---|\n");
    for (name, count) in functions.into_iter().take(TOP) {
        let group = Group::of(name).name();
        let share = count / total * 100.0;
        let _ = writeln!(
            table,
            "| `{name}` | {group} | {:.1} k | {share:.0} % |",
            count / 1e3
        );
    }
    table
}

/// Reads a dump of callgrind. After `fn=`, each line is a place and its cost, except the line after `calls=`,
/// which is the cost of the called function. A name is written out only once.
pub(crate) fn read(dump: &str, requests: u64) -> Profile {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut profile = Profile::new();
    let (mut function, mut is_of_call) = ("", false);
    for line in dump.lines() {
        if let Some((key, value)) = line.split_once('=') {
            let (id, name) = value.split_once(' ').unwrap_or((value, ""));
            let names_function = matches!(key, "fn" | "cfn");
            if names_function && !name.is_empty() {
                names.insert(id, name);
            }
            if key == "fn" {
                function = names.get(id).copied().unwrap_or(id);
            }
            is_of_call = key == "calls";
        } else if line.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c)) {
            let cost = line
                .split(' ')
                .nth(1)
                .and_then(|cost| cost.parse::<f64>().ok());
            if let Some(cost) = cost.filter(|_| !is_of_call) {
                *profile.entry(plain(function)).or_default() += cost / requests as f64;
            }
            is_of_call = false;
        }
    }
    profile
}

/// Without the mark of a recursion, `'2`.
fn plain(function: &str) -> String {
    let (name, mark) = function.rsplit_once('\'').unwrap_or((function, ""));
    let is_marked = !mark.is_empty() && mark.bytes().all(|byte| byte.is_ascii_digit());
    if is_marked { name } else { function }.into()
}
