//! All rules about what is declared, in this order:
//!
//! - the struct: its parameters, its name;
//! - the cookie: its name, the prefixes of its name, `SameSite`, path, domain;
//! - the lifetimes: `idle`, `absolute` and `touch` among each other;
//! - each field: options that exclude each other, a type that borrows;
//! - the fields among each other: one identity, each stored name once.

use std::collections::HashMap;
use std::time::Duration;

use proc_macro2::Span;
use syn::TypeReference;
use syn::visit::{self, Visit};

use crate::attr::{Attr, StructAttrs};
use crate::duration;
use crate::entry::SameSite;
use crate::errors::{Errors, Mistake};
use crate::model::{Field, Name, Session};

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
        conflicts(field, errors);
        borrowed_type(field, errors);
    }

    one_identity(&session.fields, errors);
    stored_names(&session.fields, errors);
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

/// Options of a field that contradict each other: what is skipped is not stored at all, and an
/// identity begins as nobody and is nothing to add to.
fn conflicts(field: &Field<'_>, errors: &mut Errors) {
    let attrs = &field.attrs;
    let skip = attrs.skip.get().map(|given| given.key);
    let identity = attrs.identity.get().map(|given| given.key);
    let counter = attrs.counter.get().map(|given| given.key);
    let default = attrs.default.get().map(|given| given.key);
    let rename = attrs.rename.get().map(|given| given.key);
    let alias = attrs.aliases.first().map(|given| given.key);
    let excluded = [
        (("skip", skip), ("identity", identity)),
        (("skip", skip), ("counter", counter)),
        (("skip", skip), ("rename", rename)),
        (("skip", skip), ("alias", alias)),
        (("identity", identity), ("counter", counter)),
        (("default", default), ("identity", identity)),
    ];
    for ((first, first_key), (second, second_key)) in excluded {
        if let (Some(first_key), Some(second_key)) = (first_key, second_key) {
            let span = if first == "default" {
                first_key
            } else {
                second_key
            };
            errors.report(span, &Mistake::Conflict(first, second));
        }
    }
}

/// A session outlives the bytes that it is read from.
fn borrowed_type(field: &Field<'_>, errors: &mut Errors) {
    struct References<'e>(&'e mut Errors);

    impl<'ast> Visit<'ast> for References<'_> {
        fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
            let lifetime = reference.lifetime.as_ref();
            // Any other lifetime is a parameter of the struct, which was reported as such.
            if lifetime.is_none_or(|lifetime| lifetime.ident == "static") {
                self.0.report_over(reference, &Mistake::Reference);
            }
        }

        // What a function takes or gives may well be borrowed; serde refuses the function.
        fn visit_type_fn_ptr(&mut self, _: &'ast syn::TypeFnPtr) {}
    }

    if field.is_stored() {
        visit::visit_type(&mut References(errors), field.ty);
    }
}

/// A session belongs to one user.
fn one_identity(fields: &[Field<'_>], errors: &mut Errors) {
    let mut identities = fields.iter().filter_map(|field| {
        let identity = field.attrs.identity.get()?;
        Some((field, identity.key))
    });
    let Some((first, _)) = identities.next() else {
        return;
    };
    for (field, span) in identities {
        if !field.excludes(first) {
            errors.report(span, &Mistake::IdentityTwice(&first.ident.to_string()));
        }
    }
}

/// Each stored name must be fit for a store, and lead to one field.
fn stored_names(fields: &[Field<'_>], errors: &mut Errors) {
    let mut owners: HashMap<&str, &Field<'_>> = HashMap::new();
    for field in fields.iter().filter(|field| field.is_stored()) {
        let aliases = field.attrs.aliases.iter();
        let aliases = aliases.map(|alias| (alias.value.as_str(), alias.span));
        for (name, span) in
            std::iter::once((field.name.text.as_str(), field.name.span)).chain(aliases)
        {
            stored_name(name, span, errors);
            match owners.insert(name, field) {
                Some(owner) if std::ptr::eq(owner, field) => {
                    errors.report(span, &Mistake::AliasTwice(name));
                }
                Some(owner) if !owner.excludes(field) => {
                    let owner = owner.ident.to_string();
                    errors.report(span, &Mistake::NameOfField(name, &owner));
                }
                _ => {}
            }
        }
    }
}

fn stored_name(name: &str, span: Span, errors: &mut Errors) {
    if name.is_empty() {
        errors.report(span, &Mistake::FieldNameEmpty);
    } else if name.starts_with('@') {
        errors.report(span, &Mistake::FieldNameReserved(name, '@'));
    } else if let Some(letter) = name.chars().find(|c| *c == ':' || c.is_control()) {
        errors.report(span, &Mistake::FieldNameReserved(name, letter));
    }
}
