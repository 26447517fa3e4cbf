//! The attribute macro [`#[session]`](macro@session) of `rocket_typed_session`, which re-exports it:
//! depend on that crate, not on this one.
//!
//! A declaration goes through `attr` (tokens to options, by way of `entry`), `model` (options
//! and fields together), `check` (all rules) and `expand` (the generated code, that of `once`
//! included). Each of them reports what is wrong, a `mistake`, to one list in `errors` and goes on;
//! if anything was, `fallback` keeps the compiler and editors from complaining about anything else.

use proc_macro2::TokenStream;

mod attr;
mod check;
mod duration;
mod entry;
mod errors;
mod expand;
mod fallback;
mod mistake;
mod model;
mod nearest;
mod once;
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
/// The struct stays as it is written. It gets an implementation of `SessionData`, and an associated
/// function `fairing()`, as visible as the struct, that returns the fairing to attach. With a field
/// marked `once`, there is a trait too.
///
/// It must have named fields and no parameters, and be `Send + Sync`. Every field must implement
/// serde's `Serialize` and `DeserializeOwned`, and `Default`, unless an option below says otherwise.
///
/// # Options on the struct
///
/// All are optional, and all but `name` can be overridden in `Rocket.toml`, under
/// `[default.sessions.<name>]`. What is said twice, contradicts something else or would be refused
/// by a browser does not compile. Durations are written like `"90s"`, `"30m"`, `"1h 30m"` and
/// `"7days"`.
///
/// | option | meaning | default |
/// |---|---|---|
/// | `name = "visit"` | The session's name, of `a-z`, `0-9` and `_`: part of every key in the store, and the name of its configuration. With another name, the sessions stored so far are not found any more. | the struct's name in snake case |
/// | `idle = "30m"` | The longest silence: a session that no request used for so long is over. | 30 minutes |
/// | `absolute = "12h"` | The longest life, from its creation or the last login, however busy it is. Not shorter than `idle`. | 12 hours |
/// | `touch = "3m"` | How much of `idle` may pass before a request that only reads extends it, by one write. Smaller is more exact, larger writes less. Not longer than `idle`. | a tenth of `idle` |
/// | `cookie = "id"` | The cookie's name, a token of RFC 6265. The prefixes `__Host-` and `__Secure-` are held to what they promise. | `__Host-id`; `id` where the cookie is not secure |
/// | `secure`, `secure = false` | Whether browsers send the cookie over TLS only. | secure, except in the debug profile without TLS |
/// | `same_site = "Strict"` | With which requests from other sites browsers send the cookie: `"Lax"` (when a link is followed), `"Strict"` (none) or `"None"` (all; needs `secure` beside it, because without it browsers drop the cookie). | `"Lax"` |
/// | `path = "/shop"` | Below which path browsers send the cookie. | `/` |
/// | `domain = "example.com"` | To which host, and all below it, browsers send the cookie. Every application on one of them can read it. | only the host that set it |
/// | `persistent`, `persistent = false` | Whether the cookie outlives the browser's own session, for as long as the session lives. | not persistent |
///
/// # Options on a field
///
/// Several fit into one `#[session(…)]`, or each into its own.
///
/// | option | meaning |
/// |---|---|
/// | none | The last writer wins, for this field alone: a request that changes another field never undoes it. |
/// | `counter` | Differences are added up, so that parallel requests lose no increment. For integers of at most 64 bits. |
/// | `max`, `min` | Raising (`min`: lowering) the field merges with what others stored, so that the largest (smallest) stays. Setting it the other way is a reset, of which the last writer wins. For integers of at most 64 bits. |
/// | `entries` | For a `BTreeMap` or `HashMap`: each entry is stored on its own. Two requests that add different entries both keep them, removing one removes just that one, and of one entry the last writer wins. Keys need `Display` and `FromStr`. An entry that cannot be read is left out, the others are kept. |
/// | `once` | For an `Option`: of any number of concurrent requests, exactly one obtains the value, by `session.take_field().await`; the others get `None`. See [below](#fields-that-are-taken-once). |
/// | `identity` | Says who is logged in; for one `Option`. Whenever it changes, the session gets a new token, and the old one is dead. |
/// | `group = "name"` | All fields of one group are written together, as soon as one of them changes: no reader ever sees half of the changes of one request and half of another's. Of two requests that change the group, the last wins. A group has two fields or more. |
/// | `ttl = "5m"` | The field's own deadline, counted from its last change. Afterwards it reads as absent: it has its default. |
/// | `default = expr` | What the field is in a new session, and where nothing is stored for it. Without it, the type's `Default`. |
/// | `on_error = "default"` | What happens where what is stored cannot be read as the field's type. `"default"`, which also holds undeclared: the field has its default, a warning is logged, and what is stored stays until the field is written. `"drop_session"`: the session is taken for absent. `"error"`: the guard fails with 500. |
/// | `migrate = path` | A function `fn(&str) -> Option<Type>` that reads an older form: it gets the stored JSON where that is none of `Type`. With `None`, it cannot be read: `on_error`. |
/// | `rename = "name"` | The name under which the field is stored, instead of its own. Names must be unique, and cannot begin with `@`, contain `:` or control characters, or be empty. |
/// | `alias = "name"` | Another name under which the field is read if there is nothing under its own; for a field that was renamed. May be repeated. |
/// | `skip` | Not stored: begins at its default in every request, and needs no serde. |
///
/// These exclude each other:
///
/// | option | excludes |
/// |---|---|
/// | `counter`, `max`, `min`, `entries`, `once` | each other, and `group` |
/// | `identity` | all of these, `ttl` and `default` |
/// | `entries` | `ttl`, `default`, `on_error` and `migrate` too |
/// | `once` | `default` too |
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
/// A struct `Login` with a field `challenge` marked `once` gets a trait `LoginOnce` beside it, as
/// visible as the struct, with a method `take_challenge` of `Session<Login>`. In other modules,
/// `use` the trait.
///
/// ```text
/// #[session]
/// pub struct Login {
///     #[session(once, ttl = "5m")]
///     challenge: Option<Challenge>,
/// }
///
/// /// However often the answer is sent: it is accepted once.
/// #[post("/login", data = "<answer>")]
/// async fn login(answer: Form<Answer>, mut login: Session<Login>) -> Result<Status, Error> {
///     match login.take_challenge().await? {
///         Some(challenge) if challenge.accepts(&answer) => Ok(Status::Ok),
///         _ => Ok(Status::Forbidden),
///     }
/// }
/// ```
///
/// Assigning to such a field is how a new value is stored. Reading it is allowed too, and promises
/// nothing: another request may be taking what it shows.
///
/// A `#[cfg(…)]` on a field holds for what is generated for it too.
#[proc_macro_attribute]
pub fn session(
    args: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    declare(args.into(), &item.into()).into()
}

/// Read, check, expand; what fails falls back.
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
        "r#idle = \"1h\", fn = \"1h\", _ = 1, 'a = 2",
        "idle = \"1h\" \"2h\" absolute = \"3h\"",
        "same_site = \"\", secure = 'x', persistent = b\"\"",
        "a::b::<c, d> = |e| f, ..",
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
        "union S { #[session(skip)] a: u8 }",
        "pub(in a::b) struct r#fn<'a, 'b: 'a, T: ?Sized + 'a, const N: usize> where T: Copy { a: &'a T }",
        "struct S { #[session(rename = \"\", alias = \"@\", alias = \"\\0\")] a: &&mut [&str], }",
        "struct S { #[session(counter, identity, skip, default, rename, alias)] r#a: fn(&u8) -> &u8, }",
        "struct S { #[session(max, min, entries, once, group, ttl = \"0s\", on_error, migrate)] a: &u8 }",
        "struct S { #[session(once)] r#a: &'a Self, #[session(once, group = \"\")] b: fn(&u8) -> Self }",
        "struct S<'a> { #[session(once)] a: &'a u8, #[session(migrate = <A as B>::c::<d>)] e: [u8; 4] }",
        "struct S { #[session(default = a::<b, c>(|d| -> e { f }), skip)] #[cfg(g)] _a: dyn Fn(&u8), }",
        "#[session] #[session = 1] #[session(idle = \"1s\")] struct S { #[session = 1] a: !, a: _ }",
    ];

    /// A panic would take the place of every message.
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
