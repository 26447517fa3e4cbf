//! The guide: one chapter for each thing that an application does with sessions.
//!
//! Each chapter begins with what you get, then a program. The tests run every program in Rust. Begin with
//! [the first session](first_session); read [the guarantees](guarantees) before you rely on them.
//!
//! | chapter | you want to |
//! |---|---|
//! | [first session](first_session) | remember something about a visitor |
//! | [forms and flash](forms) | answer a form, and show a notice once |
//! | [login, guards and roles](login) | log people in, and say who may see a page |
//! | [log out everywhere](devices) | list and end the sessions of a user |
//! | [requests of other sites](csrf) | refuse forged requests (CSRF) |
//! | [two session types](parent) | give administrators a session of their own |
//! | [templates, catchers and fairings](templates) | show the session in pages and error pages |
//! | [streams and WebSockets](streams) | use it in server-sent events and WebSockets |
//! | [JSON APIs](json) | lose nothing when a page sends many requests at once |
//! | [encrypted fields](encrypted) | store a secret |
//! | [errors, events and metrics](errors) | answer an outage, and see what happens |
//! | [testing your application](testing) | test your application |
//! | [surviving a deploy](deploy) | change the struct while sessions exist |
//! | [on Redis](redis) | share sessions between processes |
//! | [writing a store](stores) | keep sessions somewhere else |
//! | [the guarantees](guarantees) | know what is promised, and where that ends |
//! | [the comparison](comparison) | choose between this library and others |
//!
//! Coming from [express-session](from_express), [rocket_flex_session](from_flex), [tower-sessions](from_tower) or
//! [Django](from_django)? Each has a table "there, here".
//!
//! Options are in one place: the documentation of [`#[session]`](macro@crate::session).

// This module is for rustdoc alone: see `lib.rs`. Links to what a feature adds need that feature.
#![cfg_attr(
    not(all(feature = "redis", feature = "testing")),
    allow(
        rustdoc::broken_intra_doc_links,
        reason = "docs.rs builds all features"
    )
)]

macro_rules! chapters {
    ($($name:ident)*) => {
        $(
            #[doc = include_str!(concat!("guide/", stringify!($name), ".md"))]
            pub mod $name {}
        )*
    };
}

chapters! {
    first_session
    forms
    login
    devices
    csrf
    parent
    templates
    streams
    json
    encrypted
    errors
    testing
    deploy
    redis
    stores
    guarantees
    comparison
    from_express
    from_flex
    from_tower
    from_django
}
