//! All rules about what is declared, in this order:
//!
//! - the struct: its parameters, its name;
//! - the cookie: its name, the prefixes of its name, `SameSite`, path, domain;
//! - the lifetimes: `idle`, `absolute` and `touch` among each other;
//! - each field: options that exclude each other (`conflicts`), a type that borrows (`fields`);
//! - the fields among each other: one identity, each stored name once, groups (`fields`).

use std::time::Duration;

use crate::attr::{Attr, StructAttrs};
use crate::duration;
use crate::entry::SameSite;
use crate::errors::Errors;
use crate::mistake::Mistake;
use crate::model::{Name, Session};

mod conflicts;
mod fields;

pub(crate) use conflicts::Conflict;

/// Reports whatever is wrong with this session.
pub(crate) fn check(session: &Session<'_>, errors: &mut Errors) {
    parameters(session, errors);
    session_name(&session.name, errors);

    cookie_name(&session.attrs, errors);
    cookie_prefix(&session.attrs, errors);
    same_site(&session.attrs, errors);
    path(&session.attrs, errors);
    domain(&session.attrs, errors);

    lifetimes(&session.attrs, errors);

    for field in &session.fields {
        conflicts::conflicts(field, errors);
        fields::borrowed_type(field, errors);
    }

    fields::one_identity(&session.fields, errors);
    fields::stored_names(&session.fields, errors);
    fields::groups(&session.fields, errors);
}

/// A fairing, a store and a configuration belong to one type.
fn parameters(session: &Session<'_>, errors: &mut Errors) {
    let generics = &session.item.generics;
    if !generics.params.is_empty() {
        errors.report_over(&generics.params, &Mistake::Generic);
    }
}

/// The name is part of every key in the store, and a table in `Rocket.toml`.
fn session_name(name: &Name, errors: &mut Errors) {
    let is_allowed = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '_');
    if name.text.is_empty() {
        errors.report(name.span, &Mistake::NameOfSessionEmpty);
    } else if !name.text.chars().all(is_allowed) {
        errors.report(name.span, &Mistake::NameOfSession(&name.text));
    }
}

/// A cookie's name is a token of RFC 6265 (RFC 7230, 3.2.6).
fn cookie_name(attrs: &StructAttrs, errors: &mut Errors) {
    let Some(cookie) = attrs.cookie.get() else {
        return;
    };
    let is_allowed =
        |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
    if cookie.value.is_empty() {
        errors.report(cookie.span, &Mistake::CookieNameEmpty);
    } else if !cookie.value.chars().all(is_allowed) {
        errors.report(cookie.span, &Mistake::CookieName(&cookie.value));
    }
}

/// Browsers drop a cookie with one of these prefixes unless it keeps what they promise (RFC
/// 6265bis, 4.1.3), in whichever case they are written.
fn cookie_prefix(attrs: &StructAttrs, errors: &mut Errors) {
    let Some(cookie) = attrs.cookie.get() else {
        return;
    };
    let name = cookie.value.as_str();
    let has_prefix = |prefix: &str| {
        let start = name.get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let is_host = has_prefix("__Host-");
    if !is_host && !has_prefix("__Secure-") {
        return;
    }
    if let Some(secure) = attrs.secure.get().filter(|secure| !secure.value) {
        errors.report(secure.span, &Mistake::SecurePrefix(name));
    }
    if !is_host {
        return;
    }
    if let Some(path) = attrs.path.get().filter(|path| path.value != "/") {
        errors.report(path.span, &Mistake::HostPrefixPath(name));
    }
    if let Some(domain) = attrs.domain.get() {
        errors.report(domain.span, &Mistake::HostPrefixDomain(name));
    }
}

/// Undeclared, `secure` is off in the debug profile without TLS, where a browser would then drop
/// the cookie: a session that works only in production. So it must be said.
fn same_site(attrs: &StructAttrs, errors: &mut Errors) {
    let Some(same_site) = attrs.same_site.get() else {
        return;
    };
    let is_secure = attrs.secure.value() == Some(&true) || attrs.secure.is_unreadable();
    if same_site.value == SameSite::None && !is_secure {
        errors.report(same_site.span, &Mistake::SameSiteNone);
    }
}

/// A `Path` is what RFC 6265, 4.1.1 allows, and begins with `/`: else browsers ignore it (5.2.4).
fn path(attrs: &StructAttrs, errors: &mut Errors) {
    let Some(path) = attrs.path.get() else {
        return;
    };
    let is_allowed = |letter: char| matches!(letter, ' '..='~') && letter != ';';
    if !path.value.starts_with('/') {
        errors.report(path.span, &Mistake::PathRelative(&path.value));
    } else if !path.value.chars().all(is_allowed) {
        errors.report(path.span, &Mistake::Path(&path.value));
    }
}

/// A `Domain` is a host's name, as it goes over the wire.
fn domain(attrs: &StructAttrs, errors: &mut Errors) {
    let Some(domain) = attrs.domain.get() else {
        return;
    };
    let is_label = |label: &str| {
        let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        !label.is_empty() && label.chars().all(is_allowed)
    };
    if domain.value.is_empty() {
        errors.report(domain.span, &Mistake::DomainEmpty);
    } else if !domain.value.split('.').all(is_label) {
        errors.report(domain.span, &Mistake::Domain(&domain.value));
    }
}

/// Each is compared with what applies of the others: declared, or by default.
fn lifetimes(attrs: &StructAttrs, errors: &mut Errors) {
    let Some((idle, said_idle)) = declared_or(&attrs.idle, duration::IDLE) else {
        return;
    };
    if let Some(touch) = attrs.touch.get().filter(|touch| touch.value > idle) {
        errors.report(touch.span, &Mistake::TouchTooLong(&said_idle));
    }
    let Some((absolute, said)) = declared_or(&attrs.absolute, duration::ABSOLUTE) else {
        return;
    };
    if idle <= absolute {
        return;
    }
    if let Some(given) = attrs.idle.get() {
        errors.report(given.span, &Mistake::IdleTooLong(&said));
    } else if let Some(given) = attrs.absolute.get() {
        errors.report(given.span, &Mistake::AbsoluteTooShort(&said_idle));
    }
}

/// What applies of a lifetime, if that is known, and how a message says it.
fn declared_or(attr: &Attr<Duration>, default: Duration) -> Option<(Duration, String)> {
    match attr.value() {
        Some(declared) => Some((*declared, duration::display(*declared))),
        None if attr.is_unreadable() => None,
        None => Some((
            default,
            format!("{} by default", duration::display(default)),
        )),
    }
}
