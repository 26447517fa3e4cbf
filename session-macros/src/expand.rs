//! What a checked session becomes: the struct, a table of what it declares, `fairing()`, and the
//! methods that take (`once`).
//!
//! Only data and calls; all behaviour is in `session-core` and the facade, testable without us.

use std::time::Duration;

use proc_macro_crate::FoundCrate;
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Attribute, Data, DeriveInput};

use crate::attr::{self, Attr};
use crate::entry::{OnError, SameSite};
use crate::model::{Field, Session};
use crate::once;
use crate::type_name::type_name;

pub(crate) fn expand(session: &Session<'_>) -> TokenStream {
    let mut item = session.item.clone();
    attr::strip(&mut item);

    let krate = krate();
    let name = &session.name.text;
    let options = options(&krate, session);
    let fields = session.fields.iter().filter(|field| field.is_stored());
    let fields = fields.map(|field| table_entry(&krate, field));
    let defaults = session.fields.iter().map(default);
    let schema = quote! {
        #krate::__private::Schema::new(
            #name,
            #options,
            &[#(#fields),*],
            || Self { #(#defaults),* },
        )
    };
    let impls = impls(&krate, session.item, &schema);
    let ident = &session.item.ident;
    let once = once::expand(&krate, session, |field| once::take(&krate, field));
    let allow = allow_deprecated(session.item);
    quote! {
        #item
        #impls
        #once
        // Whether the application attaches it is not the compiler's business: this is a use of it,
        // where an `allow(dead_code)` would clash with a `forbid` of the user's.
        #allow
        const _: fn() -> #krate::SessionFairing<#ident> = #ident::fairing;
    }
}

/// Both impls on the type `item`, of which `schema` is the expression of the schema.
pub(crate) fn impls(krate: &TokenStream, item: &DeriveInput, schema: &TokenStream) -> TokenStream {
    let DeriveInput {
        vis,
        ident,
        generics,
        ..
    } = item;
    // A checked session has no parameters; one that has some gets its impls all the same, so that
    // the compiler repeats nothing of what we said about it.
    let (impl_generics, ty_generics, _) = generics.split_for_impl();
    let predicates = generics
        .where_clause
        .iter()
        .flat_map(|clause| &clause.predicates);
    let lifetimes = generics.lifetimes().map(|param| &param.lifetime);
    let types = generics.type_params().map(|param| &param.ident);
    let bounds = quote! {
        where
            #(#predicates,)*
            #(#lifetimes: 'static,)*
            #(#types: ::core::marker::Send + ::core::marker::Sync + 'static,)*
    };
    let allow = allow_deprecated(item);
    let docs = format!(
        "The fairing that loads, checks and persists every `Session<{ident}>`: `attach` it."
    );
    quote! {
        const _: () = {
            #[automatically_derived]
            #allow
            impl #impl_generics #krate::__private::SessionData for #ident #ty_generics #bounds {
                const SCHEMA: &'static #krate::__private::Schema<Self> = &#schema;
            }
        };

        #[automatically_derived]
        #allow
        impl #impl_generics #ident #ty_generics #bounds {
            #[doc = #docs]
            #[must_use]
            #vis fn fairing() -> #krate::SessionFairing<Self> {
                #krate::__private::fairing()
            }
        }
    }
}

/// The path of the facade, under whichever name the user's crate knows it.
pub(crate) fn krate() -> TokenStream {
    let found = proc_macro_crate::crate_name("rocket_typed_session");
    let renamed = match found {
        Ok(FoundCrate::Name(name)) => syn::parse_str::<Ident>(&name).ok(),
        // The facade is known to itself, its tests and its examples under its own name.
        Ok(FoundCrate::Itself) | Err(_) => None,
    };
    renamed.map_or_else(|| quote!(::rocket_typed_session), |name| quote!(::#name))
}

/// `Options::new()` and what was declared.
fn options(krate: &TokenStream, session: &Session<'_>) -> TokenStream {
    fn call<T, V: ToTokens>(name: &str, attr: &Attr<T>, value: impl Fn(&T) -> V) -> TokenStream {
        let name = Ident::new(name, Span::call_site());
        let value = attr.value().map(value);
        value.map_or_else(TokenStream::new, |value| quote!(.#name(#value)))
    }

    let attrs = &session.attrs;
    let same_site = |same_site: &SameSite| {
        let variant = match same_site {
            SameSite::Lax => quote!(Lax),
            SameSite::None => quote!(None),
            SameSite::Strict => quote!(Strict),
        };
        quote!(#krate::__private::SameSite::#variant)
    };
    let calls = [
        call("cookie", &attrs.cookie, String::clone),
        call("idle", &attrs.idle, duration),
        call("absolute", &attrs.absolute, duration),
        call("touch", &attrs.touch, duration),
        call("same_site", &attrs.same_site, same_site),
        call("secure", &attrs.secure, bool::clone),
        call("path", &attrs.path, String::clone),
        call("domain", &attrs.domain, String::clone),
        call("persistent", &attrs.persistent, bool::clone),
    ];
    quote!(#krate::__private::Options::new() #(#calls)*)
}

fn duration(duration: &Duration) -> TokenStream {
    let (secs, nanos) = (duration.as_secs(), duration.subsec_nanos());
    quote!(::core::time::Duration::new(#secs, #nanos))
}

/// A stored field's entry in the table.
///
/// The type is the user's own tokens wherever a bound may refuse it, so that the compiler
/// underlines it where it was written.
fn table_entry(krate: &TokenStream, field: &Field<'_>) -> TokenStream {
    let Field {
        ident,
        ty,
        cfgs,
        name,
        attrs,
        ..
    } = field;
    let (constructor, codec) = if attrs.entries.is_written() {
        (quote!(entries), quote!(entries))
    } else {
        (quote!(new), quote!(accessor))
    };
    let name = &name.text;
    let type_name = type_name(ty);
    let migrate = attrs.migrate.value().map(|path| quote!(.migrate(#path)));
    let rules = rules(krate, field);
    quote! {
        #(#cfgs)*
        #krate::__private::Field::#constructor(#name, #type_name, &const {
            #krate::__private::#codec::<#ty, Self>(|__data| &__data.#ident, |__data| &mut __data.#ident) #migrate
        }) #rules
    }
}

/// The calls that say how the field is read and written.
fn rules(krate: &TokenStream, field: &Field<'_>) -> TokenStream {
    let Field { ty, attrs, .. } = field;
    let mark = |name: &str, attr: &Attr<()>| {
        let name = Ident::new(name, Span::call_site());
        attr.is_written().then(|| quote!(.#name::<#ty>()))
    };
    let marks = [
        mark("counter", &attrs.counter),
        mark("max", &attrs.max),
        mark("min", &attrs.min),
        mark("once", &attrs.once),
        mark("identity", &attrs.identity),
    ];
    let marks = marks.iter().flatten();
    let group = attrs.group.value().map(|group| quote!(.group(#group)));
    let ttl = attrs.ttl.value().map(duration);
    let ttl = ttl.map(|ttl| quote!(.ttl(#ttl)));
    let on_error = attrs.on_error.value().map(|on_error| {
        let variant = match on_error {
            OnError::Default => quote!(Default),
            OnError::DropSession => quote!(DropSession),
            OnError::Error => quote!(Error),
        };
        quote!(.on_error(#krate::__private::OnError::#variant))
    });
    let aliases = attrs.aliases.iter().map(|alias| &alias.value);
    let aliases = (!attrs.aliases.is_empty()).then(|| quote!(.aliases(&[#(#aliases),*])));
    quote!(#(#marks)* #group #ttl #on_error #aliases)
}

/// A field's initialiser in a session in which nothing was stored yet.
fn default(field: &Field<'_>) -> TokenStream {
    let Field {
        ident,
        ty,
        cfgs,
        attrs,
        ..
    } = field;
    let value = match attrs.default.value() {
        Some(default) => default.to_token_stream(),
        // Spanned like the type, so that this is what is underlined if it has no `Default`.
        None => quote_spanned! {field.ty_span()=>
            <#ty as ::core::default::Default>::default()
        },
    };
    quote!(#(#cfgs)* #ident: #value)
}

/// Only where something is deprecated: elsewhere it would clash with a `forbid` of the user's.
pub(crate) fn allow_deprecated(item: &DeriveInput) -> Option<TokenStream> {
    let is_deprecated = |attr: &Attribute| attr.path().is_ident("deprecated");
    let Data::Struct(data) = &item.data else {
        return None;
    };
    let of_fields = data.fields.iter().flat_map(|field| &field.attrs);
    let mut attrs = item.attrs.iter().chain(of_fields);
    attrs
        .any(is_deprecated)
        .then(|| quote!(#[allow(deprecated)]))
}
