//! The guide: one chapter for each thing that an application does with sessions.
//!
//! Read [the guarantees](guarantees) before you rely on them.
//!
//! - [first session](first_session): remember something about a visitor
//! - [forms and flash](forms): answer a form, and show a notice once
//! - [login, guards and roles](login): log people in, and say who may see a page
//! - [log out everywhere](devices): list and end the sessions of a user
//! - [cross-site requests](csrf): refuse forged requests (CSRF)
//! - [two session types](parent): give administrators a session of their own
//! - [templates and catchers](templates): show the session in pages and error pages
//! - [streams and WebSockets](streams): use the session where a response lasts
//! - [JSON APIs](json): lose nothing when a page sends many requests at once
//! - [encrypted fields](encrypted): store a secret
//! - [errors and events](errors): answer an outage, and see what happens
//! - [testing your application](testing): test with several browsers, and move the clock
//! - [surviving a deploy](deploy): change the struct while sessions exist
//! - [on Redis](redis): share sessions between processes
//! - [writing a store](stores): keep sessions somewhere else
//! - [the guarantees](guarantees): know what is promised, and where that ends
//! - [other libraries](comparison): what they have, and what this one has
//! - coming from [express-session](from_express), [rocket_flex_session](from_flex),
//!   [tower-sessions](from_tower) or [Django](from_django)
//!
//! [`#[session]`](macro@crate::session) has all options.

// For rustdoc alone: see `lib.rs`. Links to what a feature adds need that feature.
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
