//! The attribute macro [`#[session]`](macro@session) of `rocket_typed_session`, which re-exports
//! it: depend on that crate, not on this one.
//!
//! A declaration passes through four steps: `attr` (tokens to options, by way of `entry`), `model`
//! (options and fields together), `check` (all rules; those about lifetimes, size and cookie are in
//! `session-core`) and `expand` (the generated code). Each step reports every `mistake` to one list
//! in `errors` and goes on. If there are any, `fallback` generates enough code that the compiler
//! and editors complain about nothing else.

use proc_macro2::TokenStream;

mod attr;
mod check;
mod code;
mod entry;
mod errors;
mod expand;
mod fallback;
mod guard;
mod mistake;
mod model;
mod type_name;

/// Declares a session: the struct's fields are what it stores.
///
/// ```text
/// use rocket_typed_session::{Session, session};
///
/// #[session(idle = "30m", absolute = "12h")]
/// struct Visit {
///     #[session(counter)]
///     views: u64,
///     #[session(identity)]
///     user: Option<String>,
///     theme: Theme, // any serde type with a `Default`
/// }
///
/// #[get("/")]
/// fn index(mut visit: Session<Visit>) -> String {
///     visit.views += 1;
///     format!("Number of views {}", visit.views)
/// }
///
/// #[launch]
/// fn rocket() -> _ {
///     rocket::build().attach(Visit::fairing()).mount("/", routes![index])
/// }
/// ```
///
/// The struct stays as you write it. It gets implementations of `SessionData` and of `Default`,
/// from the declaration, so tests write `Visit { user, ..Visit::default() }`. An associated
/// function `fairing()`, as visible as the struct, returns the fairing to attach; `csrf()` returns one
/// more, which makes the guard refuse requests of other sites. Each field marked `once` adds a function
/// that takes its value; `identity` adds an implementation of `Identified`; each `guard` adds a request
/// guard.
///
/// The struct must have named fields and no parameters, and be `Send + Sync`. Every field must
/// implement serde's `Serialize` and `DeserializeOwned`, and `Default`, unless an option below says
/// otherwise.
///
/// # Options on the struct
///
/// All are optional. `Rocket.toml` can override all except `name`, `parent` and `guard`, in `[default.sessions.<name>]`; so can the
/// environment, by `ROCKET_SESSIONS='{visit={idle="1h"}}'`. An option that is declared twice, contradicts another, or would make browsers
/// refuse the cookie is a compile error; the same check runs on the configuration, and stops the launch. Write durations like `"90s"`,
/// `"30m"`, `"1h 30m"` and `"7days"`, and sizes like `"64KiB"` and `"1MB"`.
///
/// | option | meaning | default | consequence |
/// |---|---|---|---|
/// | `name = "visit"` | The name of the type's sessions, of `a-z`, `0-9` and `_`. | the struct's name in snake case | It is part of every key in the store, and the name of the configuration's table. A new name finds no old session. Two types with one name stop the launch. |
/// | `idle = "30m"` | The longest silence. | 30 minutes | A session unused for that long is over. |
/// | `absolute = "12h"` | The longest life, from the session's creation and again from each login. Not shorter than `idle`. | 12 hours | The session is over then, however busy it is. |
/// | `touch = "3m"` | How much of `idle` may pass before a request extends it. Not longer than `idle`. | a tenth of `idle` | Smaller is more exact, larger writes less. |
/// | `remember = "30d"` | How long a session lives after `remember()`. | 30 days | Longer keeps people logged in on a lost laptop. |
/// | `persistent`, `persistent = false` | Whether the cookie outlives the browser's own session. | not persistent | The cookie gets a `Max-Age`, up to the absolute deadline. |
/// | `max_size = "1MiB"` | How many bytes all fields may take, names included. | 1 MiB | A request that makes the session larger is answered 413. |
/// | `cookie = "id"` | The cookie's name, of letters, digits and ``!$&'*+-._~``. A name with the prefix `__Host-` or `__Secure-` must keep what the prefix promises. | `__Host-id`; with `path` or `domain`, `__Secure-id`; not secure, `id` | Two session types need two names, or the launch stops. |
/// | `secure`, `secure = false` | Whether browsers send the cookie over TLS only. | secure, except in the debug profile without TLS | Without it, anybody on the network path can take over sessions. |
/// | `same_site = "Strict"` | With which requests from other sites browsers send the cookie: `"Lax"` (followed links), `"Strict"` (none) or `"None"` (all). | `"Lax"` | `"None"` needs `secure` declared too, because browsers drop the cookie without it. |
/// | `path = "/shop"` | Below which path browsers send the cookie. | `/` | Another path rules out `__Host-`. |
/// | `domain = "example.com"` | To which host, with all its subdomains, browsers send the cookie. | only the host that set it | Every application on one of them can read it. It rules out `__Host-`. |
/// | `devices` | Labels each session of a user with the browser's `User-Agent`, for a list. Needs an `identity`. | no labels | `set_label` says something else. |
/// | `max_sessions = 5` | How many sessions a user may have, however many log in at once. Needs an `identity`. | any number | One more ends the oldest, or is refused: `when_full`. |
/// | `when_full = "refuse"` | What happens to one more: `"end_oldest"`, or `"refuse"`. | `"end_oldest"` | With `"refuse"`, the login fails with 409 (`Error::is_full`). |
/// | `indexed`, `indexed = false` | Whether the store knows which sessions a user has. | indexed, if there is an `identity` | Without it, `Sessions` and the three options above do not work, and a login costs one script less. |
/// | `parent = Visit` | Each of these sessions ends with a session of that type. | ends by itself | It begins and opens only beside one. Each request loads both. |
/// | `guard(Admin = is_admin)` | Generates the request guard `Admin`, which admits a session that satisfies the function. May be repeated. See [below](#guards). | none | |
///
/// The cookie is always `HttpOnly`. In the debug profile without TLS, the prefixes `__Host-` and `__Secure-` are left off, because browsers
/// would refuse the cookie. Declare `secure` to keep them.
///
/// # Options in the configuration only
///
/// | key | meaning | default | consequence |
/// |---|---|---|---|
/// | `capacity = 100000` | How many sessions the memory store holds. | 100,000 | When it is full, a new session displaces one, anonymous ones first. |
/// | `prefix = "shop:"` | How all keys in Redis begin. | `"session:"` | Applications that share a server need one each. |
/// | `encryption_keys = ["…"]` | The keys of `encrypted` fields, in base64 or hex. | Rocket's `secret_key` | The first encrypts, all decrypt. |
/// | `timeout = "2s"` | The deadline of one load or commit in Redis. | 2 seconds | How long a request waits during an outage. |
/// | `on_start = "fail"` | What happens at the launch if Redis does not answer, does not say what it is (`+info`), or is not fit for sessions: a replica, a cluster's node, one that evicts, a version before 6.2. `"fail"` stops the launch; with `"warn"`, the log says so. | `"warn"` | With `"fail"`, no application starts during an outage. |
/// | `near = "1s"` | By how much a GET may miss what another process stored, `"10ms"` to `"1min"`. | off | Reads cost no round trip; a GET may miss a logout for so long. |
///
/// These six, the lifetimes (`idle`, `absolute`, `touch`, `remember`, `persistent`) and `max_size` may also stand in `[default.sessions]`,
/// for all types. A type's own table wins over that, and both win over the struct. An unknown key in a type's table stops the launch; an
/// unknown table, or an unknown key for all types, is a warning.
///
/// ```toml
/// [default.sessions]
/// prefix = "shop:"
/// timeout = "500ms"
///
/// [default.sessions.visit]
/// idle = "1h"
/// ```
///
/// # Options on a field
///
/// Several fit into one `#[session(…)]`, or each into its own. These say what happens when two requests change the field at once:
///
/// | option | two requests at once | for | consequence |
/// |---|---|---|---|
/// | none | The last writer wins, for this field alone. | any serde type | A request that changed another field never undoes it. |
/// | `counter` | Both differences are added. | integers of at most 64 bits, up to `i64::MAX` | Every assignment is a difference: `views = 0` subtracts what was read. A counter that would leave its type's range is a 500, and nothing is stored. |
/// | `max`, `min` | The largest (smallest) stays. | integers of at most 64 bits | Assigning the other way is a reset; the last reset wins. |
/// | `entries` | Both entries are kept; for one entry, the last writer wins (to add one to an entry, use a transaction). Removing one removes only that one. | `BTreeMap`, `HashMap`; keys with `Display` and `FromStr` | Each entry is stored on its own, and a load reads the whole session. An entry that cannot be read is left out; the others stay. |
/// | `once` | Exactly one gets the value, by `Visit::take_field(&mut visit).await`; the others get `None`. | an `Option` | It leaves the store at once, even if the request fails afterwards. |
///
/// The other options:
///
/// | option | meaning | default | consequence |
/// |---|---|---|---|
/// | `identity` | Says who is logged in; for one `Option` of a type with `PartialEq`, as visible as the struct. | none | When somebody logs in, the token changes and the old one is dead. When the user changes, the session ends and another one begins. |
/// | `guard = Member` | With `identity`: generates the request guard `Member`. See [below](#guards). | none | It admits every logged-in user, and derefs to the user. |
/// | `keep` | The field survives a change of user: a theme, a language. | the next user finds the default | The next user finds what the previous one chose. |
/// | `encrypted` | The value is stored encrypted, with XChaCha20-Poly1305. | stored as it is | The launch needs a key: `encryption_keys` or Rocket's `secret_key`; in the debug profile, a random one serves. |
/// | `max_size = "128KiB"` | How many bytes the field may take; in a map of `entries`, each entry. | `"64KiB"` | A larger value is answered 413, and nothing is stored. |
/// | `ttl = "5m"` | The field's own deadline, counted from its last change. | as long as the session | Afterwards the field has its default. The next change of the session removes what is stored. |
/// | `default = expr` | The value in a new session, and wherever nothing is stored. | the type's `Default` | When the expression changes, so does every field that is not stored. |
/// | `rename = "name"` | The stored name. It must be unique, must not be empty or begin with `@`, and has no `:` and no control characters. | the field's name | Rename the field in Rust, and stored sessions do not notice. |
/// | `alias = "name"` | An older stored name, for a field that was renamed. May be repeated. | none | It is read before the present name, and the next write of the field moves the value. |
/// | `on_unreadable = "…"` | What to do when the stored value doesn't parse as the field's type. | `"default"` | `"default"`: the field has its default, the log a warning, and what is stored stays until the field is written. `"drop_session"`: the session counts as absent. `"error"`: the guard fails with 500. |
/// | `migrate = path` | A function `fn(&str) -> Option<Type>` that reads an older form. | none | It gets the stored JSON when that doesn't parse as `Type`; `None` falls back to `on_unreadable`. |
/// | `skip` | Not stored. | stored | It starts at its default in every request, and needs no serde. |
///
/// Conflicting options are compile errors:
///
/// | option | excludes |
/// |---|---|
/// | `counter`, `max`, `min`, `entries`, `once` | each other |
/// | `identity` | all of the above, `keep`, `encrypted`, `ttl` and `default` |
/// | `encrypted` | `counter`, `max` and `min` |
/// | `entries` | `ttl`, `default`, `on_unreadable` and `migrate` too |
/// | `once` | `keep` and `default` too |
/// | `skip` | everything but `default` |
///
/// A value that serde cannot read back is refused, with the field's name: a `NaN` or infinite number, a `Some` around something that JSON
/// writes as `null`, or a value nested more than 127 levels deep. The response is 500, and nothing is stored.
///
/// # Guards
///
/// `Member` derefs to the user, so their type needs `Clone`; the guards on the struct deref to the session. `session()`, `session_mut()`
/// and `into_session()` give the session of each. The guards are as visible as the struct. If the store is down, they answer 503, as the
/// session's own guard does. A route that uses one of them without the attached fairing aborts the launch.
///
/// | in `guard(…)` | meaning |
/// |---|---|
/// | `Name` | On the identity: admits every logged-in user. |
/// | `Name = path` | On the struct: admits a session if this function says so, a `fn(&Visit) -> bool`. |
/// | `async` | The function is an `async fn(&Visit, &Request<'_>) -> Result<bool, Status>`, and may ask a database. An error is the response's status. |
/// | `within = "5m"` | Admits only a user who logged in at most this long ago (OWASP ASVS 7.5.1), with or without a function. Needs an `identity`. |
/// | `status = 403` | A visitor who is turned away gets this error, from your own catcher. Excludes `redirect`: to send strangers to the login and answer others with 403, take the identity's guard first, then this one. |
/// | `redirect = "/login"` | A visitor who is turned away is sent there with a 303. A GET appends the page as `?next=…`; `ReturnTo` brings the visitor back, and is always a path on this host. |
/// | neither | A request that is turned away is forwarded to the next matching route; without one, it is a 401, or a 403 if the function said no, which it is asked about strangers too. |
///
/// A `#[cfg(…)]` on a field applies to what is generated for it, too.
#[proc_macro_attribute]
pub fn session(
    args: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    declare(args.into(), &item.into()).into()
}

/// Read, check, expand; fall back on mistakes.
fn declare(args: TokenStream, item: &TokenStream) -> TokenStream {
    let input = match syn::parse2(item.clone()) {
        Ok(input) => input,
        Err(error) => return fallback::no_type(item, error),
    };
    let mut errors = errors::Errors::new();
    let session = model::Session::declared(args, &input, &mut errors);
    check::check(&session, &mut errors);
    match errors.finish() {
        Ok(()) => expand::expand(&session),
        Err(messages) => fallback::expand(&session, &messages),
    }
}

#[cfg(test)]
mod tests {
    use proc_macro2::TokenStream;

    use super::declare;

    const ARGS: &[&str] = &[
        "",
        ",",
        ",,idle = \"1h\",,",
        "=",
        "name",
        "name =",
        "name = ,",
        "name = \"\"",
        "cookie = \"__Hos\u{f6}\", path = \"\", domain = \"..\"",
        "cookie = \"__Host-\", domain = \"\", secure = false",
        "idle = \"18446744073709551615s 1000ms\", touch = \"584542046090y\"",
        "idle = 1h30m, absolute = -1, touch = {}",
        "idle(\"1h\"), [idle], {idle}",
        "parent, parent = 1, parent = S, parent = Self, parent = a::b::<c>, parent = \"S\", parent = &S",
        "r#idle = \"1h\", fn = \"1h\", _ = 1, 'a = 2",
        "idle = \"1h\" \"2h\" absolute = \"3h\"",
        "same_site = \"\", max_size = \"99999999999999999999YB\", remember = \"\", secure = 'x', persistent = b\"\"",
        "a::b::<c, d> = |e| f, ..",
        "guard, guard = 1, guard = a::b, guard(), guard(,), guard(A), guard(a::b), guard(A = 1)",
        "guard(A = b, async, async = 1, within, within = 1, status = 1, status = 403, redirect = \"\")",
        "guard(A = b::<c>, redirect = \"//a\", within = \"0s\", unknown), guard(A(B)), guard[A]",
    ];

    const ITEMS: &[&str] = &[
        "",
        "fn f() {}",
        "impl S {}",
        "struct",
        "struct S",
        "struct S;",
        "struct S();",
        "struct S {}",
        "enum S { #[session] A { #[session(skip)] a: &u8 } }",
        "#[derive(Default, =)] struct S { #[session(identity)] a: Option<Self> }",
        "#[derive(Default)] #[derive] struct S<'a, T> { #[session(identity, once)] a: Option<T> }",
        "union S { #[session(skip)] a: u8 }",
        "pub(in a::b) struct r#fn<'a, 'b: 'a, T: ?Sized + 'a, const N: usize> where T: Copy { a: &'a T }",
        "struct S { #[session(rename = \"\", alias = \"@\", alias = \"\\0\")] a: &&mut [&str], }",
        "struct S { #[session(counter, identity, keep, skip, default, max_size, rename, alias)] r#a: fn(&u8) -> &u8, }",
        "struct S { #[session(max, min, entries, once, ttl = \"0s\", max_size = \"0\", on_unreadable, migrate)] a: &u8 }",
        "struct S { #[session(identity, guard = A)] a: Option<u8>, #[session(guard(B = c, async))] b: u8 }",
        "pub struct S<'a> { #[session(identity, guard(r#fn))] a: &'a u8, #[session(guard(self))] b: () }",
        "struct S { #[session(once)] r#a: &'a Self, #[session(once)] b: fn(&u8) -> Self }",
        "struct S<'a> { #[session(once)] a: &'a u8, #[session(migrate = <A as B>::c::<d>)] e: [u8; 4] }",
        "struct S { #[session(default = a::<b, c>(|d| -> e { f }), skip)] #[cfg(g)] _a: dyn Fn(&u8), }",
        "#[session] #[session = 1] #[session(idle = \"1s\")] struct S { #[session = 1] a: !, a: _ }",
    ];

    /// A panic would hide every message.
    #[test]
    fn nothing_makes_it_panic() {
        let tokens = |text: &str| text.parse::<TokenStream>().expect("text of tokens");
        for args in ARGS {
            for item in ITEMS {
                let _expanded = declare(tokens(args), &tokens(item));
            }
            let item = format!("struct S {{ #[session({args})] a: u8 }}");
            let expanded = declare(tokens(""), &tokens(&item));
            assert!(syn::parse2::<syn::File>(expanded).is_ok(), "{item}");
        }
    }
}
