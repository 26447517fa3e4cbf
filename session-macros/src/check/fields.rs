use std::collections::HashMap;

use proc_macro2::Span;
use syn::visit::{self, Visit};
use syn::{Type, TypeReference};

use crate::errors::Errors;
use crate::mistake::Mistake;
use crate::model::Field;

pub(super) fn borrowed_type(field: &Field<'_>, errors: &mut Errors) {
    if field.is_stored() {
        for reference in references(field.ty) {
            errors.report_over(reference, &Mistake::Reference);
        }
    }
}

pub(crate) fn borrows(ty: &Type) -> bool {
    !references(ty).is_empty()
}

fn references(ty: &Type) -> Vec<&TypeReference> {
    #[derive(Default)]
    struct References<'ast>(Vec<&'ast TypeReference>);

    impl<'ast> Visit<'ast> for References<'ast> {
        fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
            let lifetime = reference.lifetime.as_ref();
            // Any other lifetime is a parameter of the struct, which was reported as such.
            if lifetime.is_none_or(|lifetime| lifetime.ident == "static") {
                self.0.push(reference);
            }
        }

        // A function may take or give a reference; serde refuses the function.
        fn visit_type_fn_ptr(&mut self, _: &'ast syn::TypeFnPtr) {}
    }

    let mut references = References::default();
    visit::visit_type(&mut references, ty);
    references.0
}

pub(super) fn limits(field: &Field<'_>, errors: &mut Errors) {
    let ttl = field.attrs.ttl.get();
    if let Some(ttl) = ttl.filter(|ttl| ttl.value.as_millis() == 0) {
        errors.report(ttl.span, &Mistake::TtlTooShort);
    }
    let max_size = field.attrs.max_size.get();
    if let Some(max_size) = max_size.filter(|max_size| max_size.value == 0) {
        errors.report(max_size.span, &Mistake::SizeZero);
    }
}

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
