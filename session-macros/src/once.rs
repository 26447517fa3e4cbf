//! `{Struct}Once`: the methods that take the fields marked `once`.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens as _, format_ident, quote};
use syn::ext::IdentExt as _;
use syn::visit_mut::{self, VisitMut};
use syn::{DeriveInput, Meta, Visibility};

use crate::expand::allow_deprecated;
use crate::model::{Field, Session};

/// The trait, and its impl for `Session<{Struct}>`, if any field is marked `once`. `body` is what
/// the method of a field does.
pub(crate) fn expand(
    krate: &TokenStream,
    session: &Session<'_>,
    body: impl Fn(&Field<'_>) -> TokenStream,
) -> Option<TokenStream> {
    let is_once = |field: &&Field<'_>| field.attrs.once.is_written();
    let fields: Vec<_> = session.fields.iter().filter(is_once).collect();
    if fields.is_empty() {
        return None;
    }
    let DeriveInput { vis, ident, .. } = session.item;
    let name = format_ident!("{ident}Once");
    let docs = format!(
        "Takes the fields of a `Session<{ident}>` of which one request obtains the value, and no other."
    );
    let signatures = fields.iter().map(|field| signature(krate, ident, field));
    let methods = fields
        .iter()
        .map(|field| method(krate, ident, field, &body));
    let uses = fields.iter().map(|field| {
        let (cfgs, name) = (&field.cfgs, method_name(field));
        quote!(#(#cfgs)* let _ = __S::#name;)
    });
    let lints = lints(session.item);
    let allow_deprecated = allow_deprecated(session.item);
    let allow_private = allow_private(session.item, &fields);
    Some(quote! {
        #[doc = #docs]
        #lints
        #allow_deprecated
        #allow_private
        #vis trait #name {
            #(#signatures)*
        }

        #[automatically_derived]
        #allow_deprecated
        #allow_private
        impl #name for #krate::Session<#ident> {
            #(#methods)*
        }

        // Whether the application takes anything is not the compiler's business: this uses all.
        #allow_deprecated
        const _: () = {
            const fn used<__S: #name>() {
                #(#uses)*
            }
            used::<#krate::Session<#ident>>();
        };
    })
}

/// What the method of a field does in a checked session.
pub(crate) fn take(krate: &TokenStream, field: &Field<'_>) -> TokenStream {
    let (ident, name) = (field.ident, &field.name.text);
    quote!(#krate::__private::take(self, #name, |__data| &mut __data.#ident).await)
}

fn signature(krate: &TokenStream, of: &Ident, field: &Field<'_>) -> TokenStream {
    let cfgs = &field.cfgs;
    let docs = format!(
        "Takes `{}`: one request obtains it, all others find it empty.\n\n\
         # Errors\n\n\
         If the store fails, or another request ended the session.",
        field.ident.unraw()
    );
    let name = method_name(field);
    let output = output(krate, of, field);
    quote! {
        #(#cfgs)*
        #[doc = #docs]
        fn #name(
            &mut self,
        ) -> impl ::core::future::Future<Output = #output> + ::core::marker::Send;
    }
}

fn method(
    krate: &TokenStream,
    of: &Ident,
    field: &Field<'_>,
    body: impl Fn(&Field<'_>) -> TokenStream,
) -> TokenStream {
    let cfgs = &field.cfgs;
    let name = method_name(field);
    let output = output(krate, of, field);
    let body = body(field);
    quote! {
        #(#cfgs)*
        async fn #name(&mut self) -> #output {
            #body
        }
    }
}

fn method_name(field: &Field<'_>) -> Ident {
    format_ident!("take_{}", field.ident)
}

fn output(krate: &TokenStream, of: &Ident, field: &Field<'_>) -> TokenStream {
    let mut ty = field.ty.clone();
    Unselfed(of).visit_type_mut(&mut ty);
    quote!(::core::result::Result<#ty, #krate::Error>)
}

/// In the trait, `Self` is no more the struct.
struct Unselfed<'a>(&'a Ident);

impl VisitMut for Unselfed<'_> {
    fn visit_ident_mut(&mut self, ident: &mut Ident) {
        if ident == "Self" {
            *ident = self.0.clone();
        }
        visit_mut::visit_ident_mut(self, ident);
    }
}

/// What the user allows of the struct, its name say, is allowed of the trait too.
fn lints(item: &DeriveInput) -> TokenStream {
    let lists = item.attrs.iter().filter_map(|attr| match &attr.meta {
        Meta::List(list) if list.path.is_ident("allow") || list.path.is_ident("expect") => {
            Some(&list.tokens)
        }
        _ => None,
    });
    lists.map(|list| quote!(#[allow(#list)])).collect()
}

/// Only where a field is less visible than the trait, as its type may be then: elsewhere it would
/// clash with a `forbid` of the user's.
fn allow_private(item: &DeriveInput, fields: &[&Field<'_>]) -> Option<TokenStream> {
    let text = |vis: &Visibility| vis.to_token_stream().to_string();
    let is_less_visible = |field: &&Field<'_>| {
        !matches!(field.vis, Visibility::Public(_)) && text(field.vis) != text(&item.vis)
    };
    fields
        .iter()
        .any(is_less_visible)
        .then(|| quote!(#[allow(private_bounds, private_interfaces)]))
}
