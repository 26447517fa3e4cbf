//! The code of a session with mistakes: the messages, and enough of it that neither the compiler
//! nor an editor complains about anything else.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::visit_mut::{self, VisitMut};
use syn::{Item, Lifetime, TypeReference};

use crate::attr;
use crate::errors::Errors;
use crate::expand;
use crate::mistake::Mistake;
use crate::model::Session;

pub(crate) fn expand(session: &Session<'_>, messages: &TokenStream) -> TokenStream {
    let mut item = session.item.clone();
    attr::strip(&mut item);
    Elided.visit_derive_input_mut(&mut item);

    let impls = expand::impls(&expand::krate(), session, &item, None);
    quote!(#messages #item #impls)
}

/// An item that is no type, or that `syn` does not understand, as it was.
pub(crate) fn no_type(item: &TokenStream, error: syn::Error) -> TokenStream {
    let mut errors = Errors::new();
    match syn::parse2::<Item>(item.clone()) {
        Ok(_) => {
            let first = item.clone().into_iter().next();
            let first = first.map_or_else(Span::call_site, |token| token.span());
            errors.report(first, &Mistake::NotAStruct);
        }
        Err(_) => errors.report_syntax(error),
    }
    let messages = errors.finish().err();
    quote!(#messages #item)
}

/// We have refused `&str`; without a lifetime, so would the compiler.
struct Elided;

impl VisitMut for Elided {
    fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
        let span = reference.and_token.span;
        let lifetime = &mut reference.lifetime;
        lifetime.get_or_insert_with(|| Lifetime::new("'static", span));
        visit_mut::visit_type_reference_mut(self, reference);
    }

    fn visit_type_fn_ptr_mut(&mut self, _: &mut syn::TypeFnPtr) {}
}
