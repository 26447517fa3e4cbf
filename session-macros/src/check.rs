use syn::punctuated::Punctuated;
use syn::{Attribute, ExprPath, Path, Token};

use crate::attr::StructAttrs;
use crate::errors::Errors;
use crate::guard;
use crate::mistake::Mistake;
use crate::model::{Field, Name, Session};

mod conflicts;
mod fields;

pub(crate) use conflicts::Conflict;
pub(crate) use fields::borrows;

pub(crate) fn check(session: &Session<'_>, errors: &mut Errors) {
    parameters(session, errors);
    derived_default(session, errors);
    session_name(&session.name, errors);
    options(&session.attrs, errors);
    parent(session, errors);
    users(session, errors);

    for field in &session.fields {
        conflicts::conflicts(field, errors);
        fields::borrowed_type(field, errors);
        fields::limits(field, errors);
    }

    guard::check(session, errors);
    fields::one_identity(&session.fields, errors);
    fields::stored_names(&session.fields, errors);
}

fn parameters(session: &Session<'_>, errors: &mut Errors) {
    let generics = &session.item.generics;
    if !generics.params.is_empty() {
        errors.report_over(&generics.params, &Mistake::Generic);
    }
}

fn session_name(name: &Name, errors: &mut Errors) {
    let is_allowed = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '_');
    if name.text.is_empty() {
        errors.report(name.span, &Mistake::NameOfSessionEmpty);
    } else if !name.text.chars().all(is_allowed) {
        errors.report(name.span, &Mistake::NameOfSession(&name.text));
    }
}

fn options(attrs: &StructAttrs, errors: &mut Errors) {
    for fault in attrs.options().check() {
        let is_known = fault
            .undeclared
            .is_none_or(|option| !attrs.is_unreadable(option));
        if let Some(span) = attrs.span(fault.option).filter(|_| is_known) {
            errors.report(span, &Mistake::OfOption(&fault.message));
        }
    }
}

/// The macro sees only this mistake: a longer circle stops the launch.
fn parent(session: &Session<'_>, errors: &mut Errors) {
    let parent = session.attrs.parent.get();
    let is_itself =
        |path: &ExprPath| path.path.is_ident(&session.item.ident) || path.path.is_ident("Self");
    if let Some(parent) = parent.filter(|parent| is_itself(&parent.value)) {
        errors.report(parent.span, &Mistake::ParentOfItself);
    }
}

fn users(session: &Session<'_>, errors: &mut Errors) {
    let is_identity = |field: &Field<'_>| field.attrs.identity.is_written();
    if session.fields.iter().any(is_identity) {
        return;
    }
    for option in ["indexed", "devices", "max_sessions", "when_full"] {
        if let Some(span) = session.attrs.key(option) {
            errors.report(span, &Mistake::OfIdentity(option));
        }
    }
}

/// The compiler's message about two impls of one trait would not help.
fn derived_default(session: &Session<'_>, errors: &mut Errors) {
    for path in derives_of_default(&session.item.attrs) {
        errors.report_over(&path, &Mistake::DerivedDefault);
    }
}

/// Each `Default` in the derives below our attribute; those above are expanded already.
pub(crate) fn derives_of_default(attrs: &[Attribute]) -> impl Iterator<Item = Path> {
    let derives = attrs.iter().filter(|attr| attr.path().is_ident("derive"));
    let lists = derives.filter_map(|attr| {
        attr.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated)
            .ok()
    });
    let is_default =
        |path: &Path| matches!(path.segments.last(), Some(last) if last.ident == "Default");
    lists.flatten().filter(is_default)
}
