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
/// All are optional. `Rocket.toml` can override all except `name`, `parent` and `guard`, under
/// `[default.sessions.<name>]`. An option that is declared twice, contradicts another, or would
/// make browsers refuse the cookie is a compile error. Write durations like `"90s"`, `"30m"`, `"1h
/// 30m"` and `"7days"`, and sizes like `"64KiB"` and `"1MB"`.
///
/// | option | meaning | default |
/// |---|---|---|
/// | `name = "visit"` | The session's name, of `a-z`, `0-9` and `_`: part of every key in the store, and the name of its configuration. A new name finds no old session. | the struct's name in snake case |
/// | `idle = "30m"` | The longest silence: a session unused for that long is over. | 30 minutes |
/// | `absolute = "12h"` | The longest life, from the session's creation or last login, however busy it is. Not shorter than `idle`. | 12 hours |
/// | `touch = "3m"` | How much of `idle` may pass before a request extends it. Smaller is more exact, larger writes less. Not longer than `idle`. | a tenth of `idle` |
/// | `remember = "30d"` | How long a session lives after `remember()`. | 30 days |
/// | `persistent`, `persistent = false` | Whether the cookie outlives the browser's own session. It then lives until the absolute deadline. | not persistent |
/// | `max_size = "1MiB"` | How many bytes all fields may take, names included. A request that makes the session larger is answered 413. | 1 MiB |
/// | `cookie = "id"` | The cookie's name, of letters, digits and ``!$&'*+-._~``. A name with the prefix `__Host-` or `__Secure-` must keep what the prefix promises. | `__Host-id`; with `path` or `domain`, `__Secure-id`; not secure, `id` |
/// | `secure`, `secure = false` | Whether browsers send the cookie over TLS only. | secure, except in the debug profile without TLS |
/// | `same_site = "Strict"` | With which requests from other sites browsers send the cookie: `"Lax"` (followed links), `"Strict"` (none) or `"None"` (all; needs `secure` declared too, because browsers drop the cookie without it). | `"Lax"` |
/// | `path = "/shop"` | Below which path browsers send the cookie. | `/` |
/// | `domain = "example.com"` | To which host, with all its subdomains, browsers send the cookie. Every application on one of them can read it. | only the host that set it |
/// | `devices` | Labels each session of a user with the browser's `User-Agent`, for a list. Needs an `identity`. | no labels |
/// | `max_sessions = 5` | How many sessions a user may have, however many log in at once. Needs an `identity`. | any number |
/// | `when_full = "refuse"` | What happens to one more: `"end_oldest"`, or `"refuse"`: the login fails with 409. | `"end_oldest"` |
/// | `indexed`, `indexed = false` | Whether the store knows which sessions a user has. Without it, `Sessions` and the options above do not work, and a login costs one command less. | indexed, if there is an `identity` |
/// | `parent = Visit` | Each of these sessions ends with a session of that type. See [below](#a-session-that-ends-with-another). | ends by itself |
/// | `guard(Admin = is_admin)` | Generates the request guard `Admin`, which admits a session that satisfies the function. May be repeated. See [below](#guards). | none |
///
/// # Options on a field
///
/// Several fit into one `#[session(…)]`, or each into its own.
///
/// | option | meaning |
/// |---|---|
/// | none | The last writer wins, for this field alone: a request that changes another field never undoes it. |
/// | `counter` | Differences are added up, so concurrent requests lose no increment. For integers of at most 64 bits, up to `i64::MAX`. |
/// | `max`, `min` | When two requests raise (`min`: lower) the field, the largest (smallest) value stays. Assigning the other way is a reset; the last reset wins. For integers of at most 64 bits. |
/// | `entries` | For a `BTreeMap` or `HashMap`: each entry is stored on its own. Two requests that add different entries keep both, removing one removes only that one, and for one entry the last writer wins. Keys need `Display` and `FromStr`. An entry that cannot be read is left out; the others stay. A load reads the whole session. |
/// | `once` | For an `Option`: when requests race for the value, exactly one gets it, by `Visit::take_field(&mut session).await`; the others get `None`. See [below](#fields-that-are-taken-once). |
/// | `identity` | Says who is logged in; for one `Option` of a type with `PartialEq`, as visible as the struct. When somebody logs in, the token changes and the old one is dead. When the user changes, the session ends and another one begins. |
/// | `guard = Member` | With `identity`: generates the request guard `Member`, which admits whoever is logged in. See [below](#guards). |
/// | `keep` | The field survives a change of user: a theme, a language. Without it, the next user finds the default. |
/// | `encrypted` | The value is stored encrypted, with XChaCha20-Poly1305. See [below](#fields-that-are-encrypted). |
/// | `max_size = "128KiB"` | How many bytes the field may take; in a map of `entries`, each entry. Without it, 64 KiB. A larger value is answered 413, and nothing is stored. |
/// | `ttl = "5m"` | The field's own deadline, counted from its last change. Afterwards the field has its default. |
/// | `default = expr` | The value in a new session, and wherever nothing is stored. Without it, the type's `Default`. |
/// | `on_unreadable = "default"` | What to do when the stored value doesn't parse as the field's type. `"default"`, the default: the field has its default, the log a warning, and what is stored stays until the field is written. `"drop_session"`: the session counts as absent. `"error"`: the guard fails with 500. |
/// | `migrate = path` | A function `fn(&str) -> Option<Type>` that reads an older form. It gets the stored JSON when that doesn't parse as `Type`; `None` falls back to `on_unreadable`. |
/// | `rename = "name"` | The stored name, instead of the field's own. It must be unique, must not be empty or begin with `@`, and has no `:` and no control characters. |
/// | `alias = "name"` | An older stored name, for a field that was renamed. It is read before the present name, and the next write of the field moves the value. May be repeated. |
/// | `skip` | Not stored: it starts at its default in every request, and needs no serde. |
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
/// ## Maps of entries
///
/// ```text
/// #[session]
/// struct Shop {
///     #[session(entries)]
///     cart: BTreeMap<ArticleId, u32>,
/// }
///
/// /// In two tabs at once: the cart has both articles afterwards.
/// #[post("/cart/<article>")]
/// fn add(article: ArticleId, mut shop: Session<Shop>) {
///     *shop.cart.entry(article).or_default() += 1;
/// }
/// ```
///
/// ## Fields that are taken once
///
/// If the struct `Login` has a field `challenge` marked `once`, it gets a function
/// `Login::take_challenge`, as visible as the struct.
///
/// ```text
/// #[session]
/// pub struct Login {
///     #[session(once, ttl = "5m")]
///     challenge: Option<Challenge>,
/// }
///
/// /// However often the browser sends the answer, it is accepted once.
/// #[post("/login", data = "<answer>")]
/// async fn login(answer: Form<Answer>, mut login: Session<Login>) -> Result<Status, Error> {
///     match Login::take_challenge(&mut login).await? {
///         Some(challenge) if challenge.accepts(&answer) => Ok(Status::Ok),
///         _ => Ok(Status::Forbidden),
///     }
/// }
/// ```
///
/// The value leaves the store at once, and stays taken if the request fails afterwards. If the
/// answer of the store is lost, the call fails with `Error::is_unknown`, and the value may be lost
/// too.
///
/// Assign to the field to store a new value. You may read it, but that promises nothing: another
/// request may be taking what you see.
///
/// ## Fields that are encrypted
///
/// ```text
/// #[session]
/// struct Visit {
///     #[session(encrypted)]
///     access_token: Option<String>,
/// }
/// ```
///
/// ```toml
/// [default.sessions]
/// encryption_keys = ["…"] # what `openssl rand -base64 32` prints
/// ```
///
/// The first key encrypts, and all of them decrypt. Without `encryption_keys`, Rocket's `secret_key` is
/// the one key. Without either, the launch fails, except in the debug profile, where a random key serves until
/// the next restart. To replace a key without losing a value, put the new one behind the old one on
/// all machines, then before it, and remove the old one when the sessions of that time are over.
///
/// A value is bound to the session type, the session and the field: moved to another place, it is
/// not read. What cannot be decrypted counts as unreadable (`on_unreadable`); so does what was stored before the
/// field was `encrypted`. Names, keys of entries and sizes stay readable, and a value takes 41 bytes more,
/// which `max_size` does not count.
///
/// # Guards
///
/// ```text
/// #[session(
///     guard(Admin = is_admin, status = 403),
///     guard(Recent, within = "5m", redirect = "/login"),
/// )]
/// struct Visit {
///     #[session(identity, guard(Member, redirect = "/login"))]
///     user: Option<UserId>,
///     is_admin: bool,
/// }
///
/// fn is_admin(visit: &Visit) -> bool {
///     visit.is_admin
/// }
///
/// #[get("/home")]
/// fn home(member: Member) -> String {
///     format!("Hello {}", member.name)
/// }
///
/// #[post("/users/<id>/delete")]
/// fn delete(id: UserId, admin: Admin, _recent: Recent) { … }
/// ```
///
/// `Member` derefs to the user, so their type needs `Clone`; `Admin` and `Recent` deref to the
/// session. `session()`, `session_mut()` and `into_session()` give the session of each. The guards
/// are as visible as the struct. If the store is down, they answer 503, as the session's own guard
/// does.
///
/// | in `guard(…)` | meaning |
/// |---|---|
/// | `Name` | On the identity: admits whoever is logged in. |
/// | `Name = path` | On the struct: admits whom this function admits, a `fn(&Visit) -> bool`. |
/// | `async` | The function is an `async fn(&Visit, &Request<'_>) -> Result<bool, Status>`, and may ask a database. An error is the response's status. |
/// | `within = "5m"` | Admits only who logged in at most this long ago (OWASP ASVS 7.5.1), with or without a function. Needs an `identity`. |
/// | `status = 403` | Whom it turns away gets this error, from your own catcher. |
/// | `redirect = "/login"` | Whom it turns away is sent there with a 303. A GET appends the page as `?next=…`; `ReturnTo` brings the visitor back. |
/// | neither | Whom it turns away is forwarded to the next matching route; without one, it is a 401, or a 403 if the function said no. |
///
/// A route that uses one of them without the attached fairing aborts the launch. A guard of your
/// own that asks for a session inside does not; this gives it the same protection:
///
/// ```text
/// impl Sentinel for MyGuard {
///     fn abort(rocket: &Rocket<Ignite>) -> bool {
///         <Session<Visit> as Sentinel>::abort(rocket)
///     }
/// }
/// ```
///
/// # A session that ends with another
///
/// ```text
/// #[session]
/// struct Visit {
///     #[session(identity)]
///     user: Option<UserId>,
/// }
///
/// #[session(parent = Visit, idle = "10m", path = "/admin", same_site = "Strict")]
/// struct AdminVisit {
///     #[session(identity, guard = Admin)]
///     admin: Option<UserId>,
/// }
///
/// rocket::build().attach(Visit::fairing()).attach(AdminVisit::fairing())
/// ```
///
/// A session of `AdminVisit` opens only beside the session of `Visit` beside which it began, and only
/// while the same user is logged in there. So it ends with a logout, `end_all`, or change of user
/// there, and when that session is over. Nobody can use its cookie alone.
///
/// It begins only where a session of `Visit` is stored; otherwise the request fails with 401. Where both begin
/// in one handler, that is so at the end of the request; a `save()` of the second one needs a `save()` of
/// the first. A login in a `Visit` of nobody ends it too. Its requests also use the `Visit`: each
/// costs the load of both, and extends both.
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
