//! The code of a checked session. Only data and calls: all behaviour is in `session-core` and the
//! facade.

use proc_macro_crate::FoundCrate;
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::{Attribute, Data, DeriveInput, Meta, Type, TypePath, Visibility};

use crate::attr::{self, Attr};
use crate::check;
use crate::code::Code as _;
use crate::guard;
use crate::model::{Field, Session};
use crate::type_name::type_name;

pub(crate) fn expand(session: &Session<'_>) -> TokenStream {
    let mut item = session.item.clone();
    attr::strip(&mut item);

    let krate = krate();
    let name = &session.name.text;
    let options = session.attrs.code(&krate);
    let mut fields: Vec<_> = session.fields.iter().collect();
    fields.retain(|field| field.is_stored());
    // In the order in which they are stored, so encoding need not sort.
    fields.sort_by(|a, b| a.name.text.cmp(&b.name.text));
    let fields = fields.iter().map(|field| table_entry(&krate, field));
    let schema = quote!(#krate::__private::Schema::new(#name, #options, &[#(#fields),*]));
    let defaults = session.fields.iter().map(|field| default(&krate, field));
    let default = quote!(Self { #(#defaults),* });
    let impls = impls(&krate, session, &item, Some((schema, default)));
    let uses = uses(&krate, session);
    quote!(#item #impls #uses)
}

/// Without `checked` (the expressions of the schema and of the defaults), the declaration has
/// mistakes: all functions exist but do nothing, so the compiler repeats none of our messages.
pub(crate) fn impls(
    krate: &TokenStream,
    session: &Session<'_>,
    item: &DeriveInput,
    checked: Option<(TokenStream, TokenStream)>,
) -> TokenStream {
    let DeriveInput { vis, ident, .. } = item;
    let is_checked = checked.is_some();
    let body = |body: TokenStream| match is_checked {
        true => body,
        false => quote!(::core::unreachable!()),
    };
    let (schema, default) = checked.unwrap_or_else(|| {
        let schema = quote! {
            #krate::__private::Schema::new("", #krate::__private::Options::new(), &[])
        };
        (schema, body(TokenStream::new()))
    });

    let implement = |name: &TokenStream, items: &TokenStream| {
        implement(item, &quote!(#krate::__private::#name for), items)
    };
    let parent = session.attrs.parent.value().filter(|_| is_checked);
    let parent = parent.map_or_else(
        || quote!(#krate::__private::NoParent),
        ToTokens::to_token_stream,
    );
    let data = implement(
        &quote!(SessionData),
        &quote! {
            type Parent = #parent;
            const SCHEMA: &'static #krate::__private::Schema<Self> = &#schema;
        },
    );
    let derives_default = check::derives_of_default(&item.attrs).next().is_some();
    let default = (!derives_default).then(|| {
        let default = quote!(fn default() -> Self { #default });
        self::implement(item, &quote!(::core::default::Default for), &default)
    });
    let identity = session.fields.iter().filter(|field| {
        field.attrs.identity.is_written() && (is_checked || may_be_identity(field.ty))
    });
    // A second identity was reported, unless its `cfg` leaves one out.
    let identity = identity.take(if is_checked { usize::MAX } else { 1 });
    let identity = identity.map(|field| {
        let (ty, cfgs, name) = (field.ty, &field.cfgs, field.ident);
        let body = body(quote!(&mut self.#name));
        // So the compiler underlines the type if it is too private.
        let ty = quote_spanned!(field.ty_span()=> type Identity = #ty;);
        let items = quote!(#ty fn identity(&mut self) -> &mut Self::Identity { #body });
        let identity = implement(&quote!(Identified), &items);
        quote!(#(#cfgs)* #identity)
    });

    let docs = format!(
        "The fairing that loads, checks and persists every `Session<{ident}>`: `attach` it."
    );
    let csrf_docs = format!(
        "The fairing that makes every `Session<{ident}>` refuse cross-site requests: `attach` it \
         beside `fairing()`."
    );
    let takes = once(session).map(|field| {
        let (name, stored) = (field.ident, &field.name.text);
        let take =
            quote!(#krate::__private::take(session, #stored, |__data| &mut __data.#name).await);
        take_function(krate, vis, field, &body(take))
    });
    let functions = quote! {
        #[doc = #docs]
        #[must_use]
        #vis fn fairing() -> #krate::SessionFairing<Self> {
            #krate::__private::fairing()
        }

        #[doc = #csrf_docs]
        #vis fn csrf() -> #krate::CsrfFairing<Self> {
            #krate::__private::csrf()
        }

        #(#takes)*
    };
    let functions = self::implement(item, &TokenStream::new(), &functions);
    let guards = guard::expand(krate, session, is_checked);
    let lints = once(session).next().map(|_| lints(item));
    let allow_private = allow_private(session);
    quote! {
        const _: () = {
            #data
            #default
            #(#identity)*
        };

        #lints
        #allow_private
        #functions

        #guards
    }
}

fn implement(item: &DeriveInput, name: &TokenStream, items: &TokenStream) -> TokenStream {
    let DeriveInput {
        ident, generics, ..
    } = item;
    // A checked session has no parameters; a session with mistakes may have some.
    let (impl_generics, ty_generics, _) = generics.split_for_impl();
    let predicates = generics
        .where_clause
        .iter()
        .flat_map(|clause| &clause.predicates);
    let lifetimes = generics.lifetimes().map(|param| &param.lifetime);
    let types = generics.type_params().map(|param| &param.ident);
    let allow = allow_deprecated(item);
    quote! {
        #[automatically_derived]
        #allow
        impl #impl_generics #name #ident #ty_generics
        where
            #(#predicates,)*
            #(#lifetimes: 'static,)*
            #(#types: ::core::marker::Send + ::core::marker::Sync + 'static,)*
        {
            #items
        }
    }
}

/// Whether the compiler accepts it.
pub(crate) fn may_be_identity(ty: &Type) -> bool {
    let is_option = |path: &TypePath| {
        let last = path.path.segments.last();
        last.is_some_and(|last| last.ident == "Option")
    };
    matches!(ty, Type::Path(path) if is_option(path)) && !check::borrows(ty)
}

fn once<'s>(session: &'s Session<'_>) -> impl Iterator<Item = &'s Field<'s>> {
    let is_once = |field: &&Field<'_>| field.attrs.once.is_written();
    session.fields.iter().filter(is_once)
}

fn take_function(
    krate: &TokenStream,
    vis: &Visibility,
    field: &Field<'_>,
    body: &TokenStream,
) -> TokenStream {
    let (ty, cfgs, name) = (field.ty, &field.cfgs, take_name(field));
    let docs = format!(
        "Takes `{}` out of the store: one request gets the value, all others get `None`.\n\n\
         # Errors\n\n\
         If the store fails, or another request ended the session.",
        field.ident.unraw()
    );
    quote! {
        #(#cfgs)*
        #[doc = #docs]
        #vis async fn #name(
            session: &mut #krate::Session<Self>,
        ) -> ::core::result::Result<#ty, #krate::Error> {
            #body
        }
    }
}

fn take_name(field: &Field<'_>) -> Ident {
    format_ident!("take_{}", field.ident)
}

/// Uses all functions: an `allow(dead_code)` would clash with a `forbid` of the user's.
fn uses(krate: &TokenStream, session: &Session<'_>) -> TokenStream {
    let ident = &session.item.ident;
    let allow = allow_deprecated(session.item);
    let takes = once(session).map(|field| {
        let (cfgs, name) = (&field.cfgs, take_name(field));
        quote!(#(#cfgs)* let _ = #ident::#name;)
    });
    quote! {
        #allow
        const _: fn() -> #krate::SessionFairing<#ident> = {
            #(#takes)*
            let _ = #ident::csrf;
            #ident::fairing
        };
    }
}

/// Under the name in the user's `Cargo.toml`.
pub(crate) fn krate() -> TokenStream {
    let found = proc_macro_crate::crate_name("rocket_typed_session");
    let renamed = match found {
        Ok(FoundCrate::Name(name)) => syn::parse_str::<Ident>(&name).ok(),
        // The facade, its tests and its examples use its own name.
        Ok(FoundCrate::Itself) | Err(_) => None,
    };
    renamed.map_or_else(|| quote!(::rocket_typed_session), |name| quote!(::#name))
}

/// Where a bound may refuse the type, it is the user's own tokens, so the compiler underlines them.
fn table_entry(krate: &TokenStream, field: &Field<'_>) -> TokenStream {
    let Field {
        ident,
        ty,
        cfgs,
        name,
        attrs,
        ..
    } = field;
    let codec = match attrs.entries.is_written() {
        true => quote!(entries),
        false => quote!(accessor),
    };
    let name = &name.text;
    let type_name = type_name(ty);
    let migrate = attrs.migrate.value().map(|path| quote!(.migrate(#path)));
    let compared = attrs
        .identity
        .is_written()
        .then(|| quote_spanned!(field.ty_span()=> .compared()));
    let rules = rules(krate, field);
    quote! {
        #(#cfgs)*
        #krate::__private::Field::new(#name, #type_name, &const {
            #krate::__private::#codec::<#ty, Self>(|__data| &__data.#ident, |__data| &mut __data.#ident) #migrate #compared
        }) #rules
    }
}

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
    ];
    let marks = marks.iter().flatten();
    let identity = attrs.identity.is_written().then(|| quote!(.identity()));
    let keep = attrs.keep.is_written().then(|| quote!(.keep()));
    let encrypted = attrs.encrypted.is_written().then(|| quote!(.encrypted()));
    let ttl = attrs.ttl.value().map(|ttl| ttl.code(krate));
    let ttl = ttl.map(|ttl| quote!(.ttl(#ttl)));
    let max_size = attrs.max_size.value().map(|size| quote!(.max_size(#size)));
    let on_unreadable = attrs.on_unreadable.value().map(|what| what.code(krate));
    let on_unreadable = on_unreadable.map(|what| quote!(.on_unreadable(#what)));
    let aliases = attrs.aliases.iter().map(|alias| &alias.value);
    let aliases = (!attrs.aliases.is_empty()).then(|| quote!(.aliases(&[#(#aliases),*])));
    quote!(#(#marks)* #identity #keep #encrypted #ttl #max_size #on_unreadable #aliases)
}

fn default(krate: &TokenStream, field: &Field<'_>) -> TokenStream {
    let Field {
        ident,
        ty,
        cfgs,
        attrs,
        ..
    } = field;
    let value = match attrs.default.value() {
        Some(default) => default.to_token_stream(),
        // So the compiler underlines the type if it has no `Default`.
        None => quote_spanned! {field.ty_span()=>
            #krate::__private::default::<#ty>()
        },
    };
    quote!(#(#cfgs)* #ident: #value)
}

/// Elsewhere it would clash with a `forbid` of the user's.
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

/// What the user allows of the struct, names say, is allowed of the functions too.
fn lints(item: &DeriveInput) -> TokenStream {
    let lists = item.attrs.iter().filter_map(|attr| match &attr.meta {
        Meta::List(list) if list.path.is_ident("allow") || list.path.is_ident("expect") => {
            Some(&list.tokens)
        }
        _ => None,
    });
    lists.map(|list| quote!(#[allow(#list)])).collect()
}

/// Only for a field that is less visible than the struct: elsewhere it would clash with a `forbid`
/// of the user's.
fn allow_private(session: &Session<'_>) -> Option<TokenStream> {
    let text = |vis: &Visibility| vis.to_token_stream().to_string();
    let is_less_visible = |field: &Field<'_>| {
        !matches!(field.vis, Visibility::Public(_)) && text(field.vis) != text(&session.item.vis)
    };
    once(session)
        .any(is_less_visible)
        .then(|| quote!(#[allow(private_interfaces)]))
}
