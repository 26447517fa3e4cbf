use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use session_core::field::OnUnreadable;
use session_core::options::{Options, SameSite, WhenFull};
use syn::{Attribute, Data, DeriveInput, Expr, ExprPath, Fields, Meta};

use crate::code::Code;
use crate::entry::{Entry, Given, entries};
use crate::errors::Errors;
use crate::guard::Guard;
use crate::mistake::Mistake;

/// The options of a field, and whether each takes a value.
const OF_FIELD: &[(&str, bool)] = &[
    ("counter", false),
    ("max", false),
    ("min", false),
    ("entries", false),
    ("once", false),
    ("identity", false),
    ("guard", true),
    ("keep", false),
    ("encrypted", false),
    ("ttl", true),
    ("max_size", true),
    ("default", true),
    ("on_unreadable", true),
    ("migrate", true),
    ("rename", true),
    ("alias", true),
    ("skip", false),
];

macro_rules! struct_attrs {
    ($($option:ident: $type:ty = $read:ident($($example:literal)?)),* $(,)?) => {
        const OF_STRUCT: &[&str] = &["name", "parent", "guard", $(stringify!($option)),*];

        #[derive(Default)]
        pub(crate) struct StructAttrs {
            pub(crate) name: Attr<String>,
            pub(crate) parent: Attr<ExprPath>,
            pub(crate) guards: Vec<Given<Guard>>,
            $($option: Attr<$type>,)*
        }

        impl StructAttrs {
            fn set(&mut self, entry: &Entry, errors: &mut Errors) {
                match entry.key.to_string().as_str() {
                    "name" => self.name.set(entry, entry.text("visit", errors), errors),
                    "parent" => self.parent.set(entry, entry.session_type(errors), errors),
                    // The one option that may stand more than once.
                    "guard" => self.guards.extend(Guard::read(entry, errors)),
                    $(stringify!($option) => {
                        let given = entry.$read($($example,)? errors);
                        self.$option.set(entry, given, errors);
                    })*
                    key => match OF_FIELD.iter().find(|(known, _)| *known == key) {
                        Some((_, takes_value)) => {
                            let form = match takes_value {
                                true => entry.form(),
                                false => key.to_owned(),
                            };
                            let mistake = Mistake::OptionOfField(key, &form);
                            errors.report(entry.key.span(), &mistake);
                        }
                        None => entry.unknown(OF_STRUCT, errors),
                    },
                }
            }

            pub(crate) fn options(&self) -> Options<'_> {
                let mut options = Options::new();
                $(options.$option = self.$option.value().map(Declared::get);)*
                options
            }

            pub(crate) fn code(&self, krate: &TokenStream) -> TokenStream {
                let mut code = quote!(#krate::__private::Options::new());
                $(if let Some(value) = self.$option.value() {
                    let (name, value) = (format_ident!("{}", stringify!($option)), value.code(krate));
                    code.extend(quote!(.#name(#value)));
                })*
                code
            }

            pub(crate) fn span(&self, option: &str) -> Option<Span> {
                match option {
                    $(stringify!($option) => self.$option.get().map(|given| given.span),)*
                    _ => None,
                }
            }

            pub(crate) fn key(&self, option: &str) -> Option<Span> {
                match option {
                    $(stringify!($option) => self.$option.key(),)*
                    _ => None,
                }
            }

            /// Rules that compare a refused value with others have nothing to say.
            pub(crate) fn is_unreadable(&self, option: &str) -> bool {
                match option {
                    $(stringify!($option) => self.$option.is_unreadable(),)*
                    _ => false,
                }
            }
        }
    };
}

struct_attrs! {
    cookie: String = text("id"),
    idle: Duration = duration(),
    absolute: Duration = duration(),
    touch: Duration = duration(),
    remember: Duration = duration(),
    max_size: usize = size(),
    same_site: SameSite = same_site(),
    secure: bool = switch(),
    path: String = text("/"),
    domain: String = text("example.com"),
    persistent: bool = switch(),
    indexed: bool = switch(),
    devices: bool = switch(),
    max_sessions: usize = number(),
    when_full: WhenFull = when_full(),
}

impl StructAttrs {
    /// The macro's own arguments, then further `#[session(…)]` on the same struct.
    pub(crate) fn read(args: TokenStream, attrs: &[Attribute], errors: &mut Errors) -> Self {
        let mut read = Self::default();
        let mut list = entries(args, errors);
        list.extend(entries_in(attrs, errors));
        for entry in &list {
            read.set(entry, errors);
        }
        read
    }
}

trait Declared {
    type As<'v>
    where
        Self: 'v;

    fn get(&self) -> Self::As<'_>;
}

impl Declared for String {
    type As<'v> = &'v str;

    fn get(&self) -> &str {
        self
    }
}

macro_rules! declared_as_they_are {
    ($($type:ty),*) => {$(
        impl Declared for $type {
            type As<'v> = Self;

            fn get(&self) -> Self {
                *self
            }
        }
    )*};
}

declared_as_they_are!(Duration, SameSite, WhenFull, bool, usize);

#[derive(Default)]
pub(crate) struct FieldAttrs {
    pub(crate) counter: Attr<()>,
    pub(crate) max: Attr<()>,
    pub(crate) min: Attr<()>,
    pub(crate) entries: Attr<()>,
    pub(crate) once: Attr<()>,
    pub(crate) identity: Attr<()>,
    pub(crate) guard: Attr<Guard>,
    pub(crate) keep: Attr<()>,
    pub(crate) encrypted: Attr<()>,
    pub(crate) ttl: Attr<Duration>,
    pub(crate) max_size: Attr<usize>,
    pub(crate) default: Attr<Expr>,
    pub(crate) on_unreadable: Attr<OnUnreadable>,
    pub(crate) migrate: Attr<ExprPath>,
    pub(crate) rename: Attr<String>,
    pub(crate) aliases: Vec<Given<String>>,
    pub(crate) skip: Attr<()>,
}

impl FieldAttrs {
    pub(crate) fn read(attrs: &[Attribute], errors: &mut Errors) -> Self {
        let mut read = Self::default();
        for entry in &entries_in(attrs, errors) {
            match entry.key.to_string().as_str() {
                "counter" => read.counter.set(entry, entry.mark(errors), errors),
                "max" => read.max.set(entry, entry.mark(errors), errors),
                "min" => read.min.set(entry, entry.mark(errors), errors),
                "entries" => read.entries.set(entry, entry.mark(errors), errors),
                "once" => read.once.set(entry, entry.mark(errors), errors),
                "identity" => read.identity.set(entry, entry.mark(errors), errors),
                "guard" => read.guard.set(entry, Guard::read(entry, errors), errors),
                "keep" => read.keep.set(entry, entry.mark(errors), errors),
                "encrypted" => read.encrypted.set(entry, entry.mark(errors), errors),
                "max_size" => read.max_size.set(entry, entry.size(errors), errors),
                "ttl" => read.ttl.set(entry, entry.duration(errors), errors),
                "default" => read.default.set(entry, entry.expression(errors), errors),
                "on_unreadable" => {
                    read.on_unreadable
                        .set(entry, entry.on_unreadable(errors), errors)
                }
                "migrate" => read.migrate.set(entry, entry.function(errors), errors),
                "rename" => read.rename.set(entry, entry.text("views", errors), errors),
                "alias" => read.aliases.extend(entry.text("views", errors)),
                "skip" => read.skip.set(entry, entry.mark(errors), errors),
                key if OF_STRUCT.contains(&key) => {
                    errors.report(entry.key.span(), &Mistake::OptionOfStruct(key));
                }
                _ => {
                    let known: Vec<_> = OF_FIELD.iter().map(|(name, _)| *name).collect();
                    entry.unknown(&known, errors);
                }
            }
        }
        read
    }
}

/// An option that may stand once.
pub(crate) struct Attr<T> {
    given: Option<Given<T>>,
    is_written: bool,
}

impl<T> Attr<T> {
    pub(crate) fn get(&self) -> Option<&Given<T>> {
        self.given.as_ref()
    }

    pub(crate) fn value(&self) -> Option<&T> {
        self.get().map(|given| &given.value)
    }

    pub(crate) fn key(&self) -> Option<Span> {
        self.get().map(|given| given.key)
    }

    pub(crate) fn is_written(&self) -> bool {
        self.is_written
    }

    fn is_unreadable(&self) -> bool {
        self.is_written && self.given.is_none()
    }

    pub(crate) fn set(&mut self, entry: &Entry, given: Option<Given<T>>, errors: &mut Errors) {
        if self.is_written {
            let key = entry.key.to_string();
            let mistake = match key.as_str() {
                "guard" => Mistake::GuardTwice,
                key => Mistake::Duplicate(key),
            };
            errors.report(entry.key.span(), &mistake);
        } else {
            self.given = given;
            self.is_written = true;
        }
    }
}

impl<T> Default for Attr<T> {
    fn default() -> Self {
        Self {
            given: None,
            is_written: false,
        }
    }
}

fn entries_in(attrs: &[Attribute], errors: &mut Errors) -> Vec<Entry> {
    let mut found = Vec::new();
    for attr in attrs.iter().filter(|attr| is_ours(attr)) {
        match &attr.meta {
            Meta::Path(_) => {}
            Meta::List(list) => found.extend(entries(list.tokens.clone(), errors)),
            Meta::NameValue(pair) => {
                errors.report(pair.eq_token.span, &Mistake::SyntaxList);
            }
        }
    }
    found
}

fn is_ours(attr: &Attribute) -> bool {
    attr.path().is_ident("session")
}

pub(crate) fn strip(item: &mut DeriveInput) {
    item.attrs.retain(|attr| !is_ours(attr));
    match &mut item.data {
        Data::Struct(data) => strip_fields(&mut data.fields),
        Data::Enum(data) => {
            for variant in &mut data.variants {
                variant.attrs.retain(|attr| !is_ours(attr));
                strip_fields(&mut variant.fields);
            }
        }
        Data::Union(data) => {
            for field in &mut data.fields.named {
                field.attrs.retain(|attr| !is_ours(attr));
            }
        }
    }
}

fn strip_fields(fields: &mut Fields) {
    for field in fields {
        field.attrs.retain(|attr| !is_ours(attr));
    }
}
