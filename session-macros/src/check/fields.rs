//! Rules about single fields, and about the fields among each other.

use std::collections::HashMap;

use proc_macro2::Span;
use syn::TypeReference;
use syn::visit::{self, Visit};

use crate::errors::Errors;
use crate::mistake::Mistake;
use crate::model::Field;

/// A session outlives the bytes that it is read from.
pub(super) fn borrowed_type(field: &Field<'_>, errors: &mut Errors) {
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
pub(super) fn one_identity(fields: &[Field<'_>], errors: &mut Errors) {
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
pub(super) fn stored_names(fields: &[Field<'_>], errors: &mut Errors) {
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

/// A group says which fields are written together; one field alone always is.
pub(super) fn groups(fields: &[Field<'_>], errors: &mut Errors) {
    let is_unreadable = |field: &Field<'_>| {
        let group = &field.attrs.group;
        group.is_unreadable() || group.value().is_some_and(String::is_empty)
    };
    // It may be the group that another field lacks.
    let is_any_unreadable = fields.iter().any(is_unreadable);
    let members = || {
        let members = fields.iter();
        members.filter_map(|field| Some((field, field.attrs.group.get()?)))
    };
    for (field, group) in members() {
        let mut others = members().filter(|(other, _)| !other.excludes(field));
        if group.value.is_empty() {
            errors.report(group.span, &Mistake::GroupEmpty);
        } else if !is_any_unreadable && others.all(|(_, other)| other.value != group.value) {
            errors.report(group.span, &Mistake::GroupAlone(&group.value));
        }
    }
}
