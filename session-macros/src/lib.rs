//! The attribute macro [`#[session]`](macro@session) of `rocket_typed_session`, which re-exports it: depend on that crate.
//!
//! A declaration passes through `attr`, `model`, `check` and `expand`. Each reports its `mistake`s to `errors` and goes on. If there are
//! any, `fallback` replaces `expand`.

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
/// The macro implements `SessionData` and `Default` for the struct. It adds `fairing()`, which returns the fairing to attach, and `csrf()`,
/// a second fairing that refuses cross-site requests. A `once` field adds a function that takes its value; a `guard`, a request
/// guard. All are as visible as the struct.
///
/// The struct must have named fields and no parameters, and be `Send + Sync`. Every field must implement `Default`, and serde's `Serialize`
/// and `DeserializeOwned`, unless an option says otherwise.
///
/// # Options on the struct
///
/// `Rocket.toml` overrides all except `name`, `parent` and `guard`, in `[default.sessions.<name>]`; so does the environment, by
/// `ROCKET_SESSIONS='{visit={idle="1h"}}'`. Options that contradict each other or make browsers refuse the cookie are a compile error; in
/// the configuration, they stop the launch. So do two types with one `name` or `cookie`. Durations are written `"90s"`, `"1h 30m"` or
/// `"7days"`, sizes `"64KiB"` or `"1MB"`.
///
/// | option | meaning | default |
/// |---|---|---|
/// | `name = "visit"` | The name in store keys and configuration, of `a-z`, `0-9` and `_`. A new name finds no old session. | the struct's, in snake case |
/// | `idle = "30m"` | How long a session lives unused, to within `touch`: this one ends 27 to 30 minutes after the last request that took it. | 30 minutes |
/// | `absolute = "12h"` | How long a session lives at most, from its creation and again from each login. At least `idle`. | 12 hours |
/// | `touch = "3m"` | How much of `idle` may pass before a request extends it. At most `idle`. | a tenth of `idle` |
/// | `remember = "30d"` | How long a session lives after `remember()`, used or not. | 30 days |
/// | `persistent`, `persistent = false` | Whether the cookie outlives the browser's session, up to the absolute deadline. | no |
/// | `max_size = "1MiB"` | How many bytes all fields may take, names included. More is a 413. | 1 MiB |
/// | `cookie = "id"` | The cookie's name, of letters, digits and ``!$&'*+-._~``. A prefix `__Host-` or `__Secure-` must keep its promises. | `__Host-id`; with `path` or `domain`, `__Secure-id`; not secure, `id` |
/// | `secure`, `secure = false` | Whether browsers send the cookie over TLS only. Otherwise, anybody on the network path can take over sessions. | yes, except in the debug profile without TLS |
/// | `same_site = "Strict"` | With which requests from other sites browsers send the cookie: `"Lax"` (followed links), `"Strict"` (none) or `"None"` (all; declare `secure` too). | `"Lax"` |
/// | `path = "/shop"` | Below which path browsers send the cookie. Any but `/` rules out `__Host-`. | `/` |
/// | `domain = "example.com"` | To which host and its subdomains browsers send the cookie: all can read it. Rules out `__Host-`. | only the host that set it |
/// | `devices` | Labels each session of a user with the browser's `User-Agent`. Needs an `identity`. | no labels |
/// | `max_sessions = 5` | How many sessions a user may have, however many log in at once. Needs an `identity`. | any number |
/// | `when_full = "refuse"` | What one more login does: `"end_oldest"`, or `"refuse"`, with 409 (`Error::is_full`). | `"end_oldest"` |
/// | `indexed`, `indexed = false` | Whether the store knows a user's sessions. Otherwise, `Sessions` and the three options above do not work. | yes, with an `identity` |
/// | `parent = Visit` | Each session begins and opens only beside a session of that type, and ends with it. | none |
/// | `guard(Admin = is_admin)` | Generates the request guard `Admin`. May be repeated. See [below](#guards). | none |
///
/// The cookie is always `HttpOnly`. The debug profile without TLS leaves off `__Host-` and `__Secure-`, unless you declare `secure`.
///
/// # Options in the configuration only
///
/// | key | meaning | default |
/// |---|---|---|
/// | `capacity = 100000` | How many sessions the memory store holds. When full, it drops one for each new one, anonymous ones first. | 100,000 |
/// | `prefix = "shop:"` | How all keys in Redis begin. Applications that share a server need one each. | `"session:"` |
/// | `encryption_keys = ["…"]` | The keys of `encrypted` fields, in base64 or hex. The first encrypts, all decrypt. | Rocket's `secret_key` |
/// | `timeout = "2s"` | The deadline of one load or commit in Redis. | 2 seconds |
/// | `on_start = "fail"` | Whether the launch stops, or only `"warn"`s, if Redis does not answer, does not say what it is (`+info`), or is unfit: a replica, a cluster's node, one that evicts, a version before 6.2. | `"warn"` |
/// | `near = "1s"` | How long a GET may miss what another process stored, a logout too: `"10ms"` to `"1min"`. Its reads cost no round trip. | off |
///
/// These six, the lifetimes (`idle`, `absolute`, `touch`, `remember`, `persistent`) and `max_size` may also be in `[default.sessions]`,
/// for all types. A type's own table wins over that, and both win over the struct. An unknown key stops the launch in a type's table;
/// elsewhere, it is a warning.
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
/// | option | when two requests change it at once | for |
/// |---|---|---|
/// | none | The last writer wins, for this field alone. | any serde type |
/// | `counter` | Both differences are added. Every assignment is a difference: `views = 0` subtracts what was read. Leaving its type's range is a 500, and nothing is stored. | integers of at most 64 bits, up to `i64::MAX` |
/// | `max`, `min` | The largest (smallest) stays. Lowering (raising) it is a reset; the last reset wins. | integers of at most 64 bits |
/// | `entries` | Each entry is stored and removed on its own; per entry, the last writer wins. An unreadable one is left out. A load reads the whole session. | `BTreeMap`, `HashMap`; keys with `Display` and `FromStr` |
/// | `once` | `Visit::take_field(&mut visit).await` gives exactly one the value, the others `None`. It stays taken if the request fails. | an `Option` |
///
/// The other options:
///
/// | option | meaning | default |
/// |---|---|---|
/// | `identity` | Says who is logged in: one `Option`, of a type with `PartialEq` and the struct's visibility. A login replaces the token; a change of user, the session. | none |
/// | `guard = Member` | With `identity`: generates the request guard `Member`. See [below](#guards). | none |
/// | `keep` | The field survives a change of user: a theme, a language. | the next user finds the default |
/// | `encrypted` | Stored encrypted, with XChaCha20-Poly1305. The launch needs `encryption_keys` or Rocket's `secret_key`; in the debug profile, a random key serves. | stored as it is |
/// | `max_size = "128KiB"` | How many bytes the field, or each of its `entries`, may take. More is a 413, and nothing is stored. | 64 KiB |
/// | `ttl = "5m"` | The field's own deadline, counted from its last change. Afterwards it has its default; the session's next change removes what is stored. | as long as the session |
/// | `default = expr` | The value wherever nothing is stored, in old sessions too. | the type's `Default` |
/// | `rename = "name"` | The stored name: unique, not empty, no `@` at the start, no `:`, no control characters. | the field's name |
/// | `alias = "name"` | An older stored name, read before the present one. The field's next write moves the value. May be repeated. | none |
/// | `on_unreadable = "…"` | If the stored value doesn't parse as the field's type: `"default"` shows the default, warns, and leaves what is stored until the field is written; `"drop_session"` counts the session as absent; `"error"` fails the guard with 500. | `"default"` |
/// | `migrate = path` | A `fn(&str) -> Option<Type>` for stored JSON that doesn't parse as `Type`. `None` falls back to `on_unreadable`. | none |
/// | `skip` | Not stored: starts at its default in every request, and needs no serde. | stored |
///
/// These exclude each other:
///
/// - `counter`, `max`, `min`, `entries` and `once`
/// - `identity` and any of these, `keep`, `encrypted`, `ttl` or `default`
/// - `encrypted` and `counter`, `max` or `min`
/// - `entries` and `ttl`, `default`, `on_unreadable` or `migrate`
/// - `once` and `keep` or `default`
/// - `skip` and everything but `default`
///
/// A value that serde cannot read back, such as `NaN` or `Some(None)`, is a 500, and nothing is stored.
///
/// # Guards
///
/// `Member` derefs to the user, whose type needs `Clone`; the guards on the struct deref to the session. Each gives its session by
/// `session()`, `session_mut()` and `into_session()`. If the store is down, it answers 503. A route that uses it without the attached
/// fairing aborts the launch.
///
/// In `guard(…)`:
///
/// - `Name`, on the identity: admits every logged-in user.
/// - `Name = path`, on the struct: admits a session if this `fn(&Visit) -> bool` says so.
/// - `async`, for an `async fn(&Visit, &Request<'_>) -> Result<bool, Status>`: `guard(Staff = is_staff, async)`. An error is the response's
///   status.
/// - `within = "5m"`: admits a user who logged in at most this long ago (OWASP ASVS 7.5.1), with or without a function. Needs an
///   `identity`.
/// - `status = 403`: a visitor who is turned away gets this error, from your own catcher. Excludes `redirect`.
/// - `redirect = "/login"`: a visitor who is turned away is sent to this path with a 303. A GET appends its page as `?next=…`, for
///   `ReturnTo`.
/// - Without either, a request is forwarded to the next matching route. If none matches, the answer is 401, or 403 if the function said no.
///   The function runs for strangers, too.
///
/// A `#[cfg(…)]` on a field applies to what is generated for it, too.
#[proc_macro_attribute]
pub fn session(
    args: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    declare(args.into(), &item.into()).into()
}

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
