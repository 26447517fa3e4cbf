//! Request guards from the declaration.

use std::time::Duration;

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Attribute, ExprPath};

use crate::attr::Attr;
use crate::code::Code as _;
use crate::entry::{Entry, Given};
use crate::errors::Errors;
use crate::mistake::Mistake;
use crate::model::{Field, Session};

const OPTIONS: &[&str] = &["async", "redirect", "status", "within"];

pub(crate) struct Guard {
    pub(crate) ident: Ident,
    predicate: Option<ExprPath>,
    is_async: Attr<()>,
    within: Attr<Duration>,
    status: Attr<u16>,
    redirect: Attr<String>,
}

impl Guard {
    /// `guard = Name`, `guard(Name, …)` or `guard(Name = predicate, …)`.
    pub(crate) fn read(entry: &Entry, errors: &mut Errors) -> Option<Given<Self>> {
        let example = "guard(Admin = is_admin, status = 403)";
        if let Some(path) = entry.path()
            && let Some(ident) = path.path.get_ident()
        {
            return Some(entry.given(Self::new(ident.clone(), None), ident.span()));
        }
        let Some(list) = entry.list(errors) else {
            return entry.refuse("the name of a type", example, errors);
        };
        let Some((name, options)) = list.split_first() else {
            return entry.refuse("the name of a type", example, errors);
        };
        let predicate = match name.is_mark() {
            true => None,
            false => Some(name.function(errors)?.value),
        };
        let mut guard = Self::new(name.key.clone(), predicate);
        for option in options {
            guard.set(option, errors);
        }
        Some(entry.given(guard, name.key.span()))
    }

    fn new(ident: Ident, predicate: Option<ExprPath>) -> Self {
        Self {
            ident,
            predicate,
            is_async: Attr::default(),
            within: Attr::default(),
            status: Attr::default(),
            redirect: Attr::default(),
        }
    }

    fn set(&mut self, entry: &Entry, errors: &mut Errors) {
        match entry.key.to_string().as_str() {
            "async" => self.is_async.set(entry, entry.mark(errors), errors),
            "within" => self.within.set(entry, entry.duration(errors), errors),
            "status" => self.status.set(entry, entry.status(errors), errors),
            "redirect" => self
                .redirect
                .set(entry, entry.text("/login", errors), errors),
            _ => entry.unknown(OPTIONS, errors),
        }
    }

    fn check(&self, identity: Option<&Field<'_>>, session: &Session<'_>, errors: &mut Errors) {
        let name = self.ident.to_string();
        match (identity, &self.predicate) {
            (None, None) if !self.within.is_written() => {
                errors.report(self.ident.span(), &Mistake::GuardOfAll(&name));
            }
            (Some(_), Some(predicate)) => {
                errors.report_over(predicate, &Mistake::GuardOfIdentity(&name));
            }
            _ => {}
        }
        if let Some(span) = self.is_async.key().filter(|_| self.predicate.is_none()) {
            errors.report(span, &Mistake::GuardAsync(&name));
        }
        let is_identity = |field: &Field<'_>| field.attrs.identity.is_written();
        if let Some(within) = self.within.get() {
            if !session.fields.iter().any(is_identity) {
                errors.report(within.key, &Mistake::GuardWithin);
            } else if within.value.is_zero() {
                errors.report(within.span, &Mistake::GuardWithinTooShort);
            }
        }
        if let (Some(status), Some(_)) = (self.status.key(), self.redirect.key()) {
            errors.report(status, &Mistake::GuardStatusAndRedirect);
        }
        let path = self.redirect.get();
        if let Some(path) = path.filter(|path| !is_local(&path.value)) {
            errors.report(path.span, &Mistake::GuardRedirect(&path.value));
        }
    }

    fn rule(&self, krate: &TokenStream) -> TokenStream {
        let denial = match (self.status.value(), self.redirect.value()) {
            (Some(status), _) => quote!(Status(#status)),
            (None, Some(path)) => quote!(Redirect(#path)),
            (None, None) => quote!(Forward),
        };
        let within = match self.within.value() {
            Some(within) => {
                let within = within.code(krate);
                quote!(::core::option::Option::Some(#within))
            }
            None => quote!(::core::option::Option::None),
        };
        quote! {
            #krate::__private::Rule { denial: #krate::__private::Denial::#denial, within: #within }
        }
    }

    fn admits(&self, krate: &TokenStream, data: &Ident) -> Option<TokenStream> {
        let path = self.predicate.as_ref()?;
        let call = match self.is_async.is_written() {
            true => quote_spanned!(path.span()=> #path(__data, __request).await),
            false => quote_spanned! {path.span()=>
                let __admits: bool = #path(__data);
                ::core::result::Result::Ok(__admits)
            },
        };
        Some(quote! {
            async fn admits(
                __data: &#data,
                __request: &#krate::__private::Request<'_>,
            ) -> ::core::result::Result<bool, #krate::__private::Status> {
                #call
            }
        })
    }

    fn docs(&self) -> String {
        let who = match (&self.predicate, self.within.value()) {
            (None, None) => "a visitor who is logged in".to_owned(),
            (None, Some(_)) => "a visitor who logged in a short time ago".to_owned(),
            (Some(path), _) => {
                let path = path.to_token_stream().to_string().replace(' ', "");
                format!("a visitor whose session satisfies `{path}`")
            }
        };
        format!("A request guard that admits {who}. It holds the session.")
    }
}

/// Whether this is a path on the same host, with nothing that a browser reads as something else.
fn is_local(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\\#\"<>".contains(&byte);
    path.starts_with('/') && !path.starts_with("//") && path.bytes().all(is_plain)
}

fn all<'s>(session: &'s Session<'_>) -> impl Iterator<Item = (&'s Guard, Option<&'s Field<'s>>)> {
    let of_fields = session.fields.iter().filter_map(|field| {
        let guard = field.attrs.guard.value()?;
        Some((guard, Some(field)))
    });
    let of_struct = session.attrs.guards.iter();
    of_fields.chain(of_struct.map(|guard| (&guard.value, None)))
}

pub(crate) fn check(session: &Session<'_>, errors: &mut Errors) {
    for field in &session.fields {
        let guard = field.attrs.guard.get();
        if let Some(guard) = guard.filter(|_| !field.attrs.identity.is_written()) {
            errors.report(guard.key, &Mistake::GuardOfField);
        }
    }
    for (guard, field) in all(session) {
        guard.check(field, session, errors);
    }
}

/// Unchecked, their bodies do nothing.
pub(crate) fn expand(krate: &TokenStream, session: &Session<'_>, is_checked: bool) -> TokenStream {
    let is_possible = |field: &Field<'_>| is_checked || crate::expand::may_be_identity(field.ty);
    let guards = all(session)
        .filter(|(_, field)| field.is_none_or(is_possible))
        .filter(|_| session.item.generics.params.is_empty());
    guards
        .map(|(guard, field)| expand_one(krate, session, guard, field, is_checked))
        .collect()
}

fn expand_one(
    krate: &TokenStream,
    session: &Session<'_>,
    guard: &Guard,
    identity: Option<&Field<'_>>,
    is_checked: bool,
) -> TokenStream {
    let (vis, data, name) = (&session.item.vis, &session.item.ident, &guard.ident);
    let cfgs: &[&Attribute] = identity.map_or(&[], |field| &field.cfgs);
    let allow = crate::expand::allow_deprecated(session.item);
    let body = |body: TokenStream| match is_checked {
        true => body,
        false => quote!(::core::unreachable!()),
    };
    let user = identity.map(|_| quote!(user: #krate::__private::User<#data>,));
    let (holding, target, deref) = match identity {
        Some(field) => {
            let ident = field.ident;
            // So the compiler underlines the type if it cannot be cloned.
            let cloned =
                quote_spanned!(field.ty_span()=> ::core::clone::Clone::clone(&session.#ident));
            let holding =
                quote!(let user = #cloned?; ::core::option::Option::Some(Self { user, session }));
            (
                holding,
                quote!(#krate::__private::User<#data>),
                quote!(&self.user),
            )
        }
        None => (
            quote!(::core::option::Option::Some(Self { session })),
            quote!(#krate::Session<#data>),
            quote!(&self.session),
        ),
    };
    let holding = body(holding);
    let deref_mut = identity.is_none().then(|| {
        quote! {
            #[automatically_derived]
            #allow
            impl ::core::ops::DerefMut for #name {
                fn deref_mut(&mut self) -> &mut Self::Target {
                    &mut self.session
                }
            }
        }
    });
    let rule = body(guard.rule(krate));
    let rule = if is_checked {
        rule
    } else {
        quote!(#krate::__private::Rule::FORWARD)
    };
    let admits = guard.admits(krate, data).filter(|_| is_checked);
    let docs = guard.docs();
    quote! {
        #(#cfgs)*
        #[doc = #docs]
        #vis struct #name {
            #user
            session: #krate::Session<#data>,
        }

        #(#cfgs)*
        const _: () = {
            #[automatically_derived]
            #allow
            impl #name {
                /// The session.
                #[must_use]
                #vis fn session(&self) -> &#krate::Session<#data> {
                    &self.session
                }

                /// The session, to change it.
                #vis fn session_mut(&mut self) -> &mut #krate::Session<#data> {
                    &mut self.session
                }

                /// The session, without the guard.
                #[must_use]
                #vis fn into_session(self) -> #krate::Session<#data> {
                    self.session
                }
            }

            #[automatically_derived]
            #allow
            impl #krate::__private::DeclaredGuard for #name {
                type Data = #data;

                const RULE: #krate::__private::Rule = #rule;

                #admits

                fn holding(session: #krate::Session<#data>) -> ::core::option::Option<Self> {
                    #holding
                }
            }

            #[automatically_derived]
            #allow
            #[#krate::__private::async_trait]
            impl<'r> #krate::__private::FromRequest<'r> for #name {
                type Error = #krate::Error;

                async fn from_request(
                    request: &'r #krate::__private::Request<'_>,
                ) -> #krate::__private::Outcome<Self, #krate::Error> {
                    #krate::__private::admit(request).await
                }
            }

            #[automatically_derived]
            #allow
            impl #krate::__private::Sentinel for #name {
                fn abort(
                    rocket: &#krate::__private::Rocket<#krate::__private::Ignite>,
                ) -> bool {
                    <#krate::Session<#data> as #krate::__private::Sentinel>::abort(rocket)
                }
            }

            #[automatically_derived]
            #allow
            impl ::core::ops::Deref for #name {
                type Target = #target;

                fn deref(&self) -> &Self::Target {
                    #deref
                }
            }

            #deref_mut

            #[automatically_derived]
            #allow
            impl ::core::fmt::Debug for #name {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    ::core::fmt::Debug::fmt(&self.session, f)
                }
            }

            // Uses them all, whether the application does or not.
            #allow
            const _: () = {
                let _ = #name::session;
                let _ = #name::session_mut;
                let _ = #name::into_session;
            };
        };
    }
}
