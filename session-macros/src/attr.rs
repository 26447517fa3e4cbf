//! The options of a struct and of its fields: read from its attributes, each where it stands.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use syn::{Attribute, Data, DeriveInput, Expr, ExprPath, Fields, Meta};

use crate::entry::{Entry, Given, OnError, SameSite, entries};
use crate::errors::Errors;
use crate::mistake::Mistake;

const OF_STRUCT: &[&str] = &[
    "name",
    "cookie",
    "idle",
    "absolute",
    "touch",
    "same_site",
    "secure",
    "path",
    "domain",
    "persistent",
];
const OF_FIELD: &[&str] = &[
    "counter", "max", "min", "entries", "once", "identity", "group", "ttl", "default", "on_error",
    "migrate", "rename", "alias", "skip",
];

/// The options on the struct.
#[derive(Default)]
pub(crate) struct StructAttrs {
    pub(crate) name: Attr<String>,
    pub(crate) cookie: Attr<String>,
    pub(crate) idle: Attr<Duration>,
    pub(crate) absolute: Attr<Duration>,
    pub(crate) touch: Attr<Duration>,
    pub(crate) same_site: Attr<SameSite>,
    pub(crate) secure: Attr<bool>,
    pub(crate) path: Attr<String>,
    pub(crate) domain: Attr<String>,
    pub(crate) persistent: Attr<bool>,
}

impl StructAttrs {
    /// Reads the macro's own arguments, then further `#[session(…)]` on the same struct.
    pub(crate) fn read(args: TokenStream, attrs: &[Attribute], errors: &mut Errors) -> Self {
        let mut read = Self::default();
        let mut list = entries(args, errors);
        list.extend(entries_in(attrs, errors));
        for entry in &list {
            match entry.key.to_string().as_str() {
                "name" => read.name.set(entry, entry.text("visit", errors), errors),
                "cookie" => read.cookie.set(entry, entry.text("id", errors), errors),
                "idle" => read.idle.set(entry, entry.duration(errors), errors),
                "absolute" => read.absolute.set(entry, entry.duration(errors), errors),
                "touch" => read.touch.set(entry, entry.duration(errors), errors),
                "same_site" => read.same_site.set(entry, entry.same_site(errors), errors),
                "secure" => read.secure.set(entry, entry.switch(errors), errors),
                "path" => read.path.set(entry, entry.text("/", errors), errors),
                "domain" => read
                    .domain
                    .set(entry, entry.text("example.com", errors), errors),
                "persistent" => read.persistent.set(entry, entry.switch(errors), errors),
                key if OF_FIELD.contains(&key) => {
                    let mistake = Mistake::OptionOfField(key, &entry.form());
                    errors.report(entry.key.span(), &mistake);
                }
                _ => entry.unknown(OF_STRUCT, errors),
            }
        }
        read
    }
}

/// The options on a field.
#[derive(Default)]
pub(crate) struct FieldAttrs {
    pub(crate) counter: Attr<()>,
    pub(crate) max: Attr<()>,
    pub(crate) min: Attr<()>,
    pub(crate) entries: Attr<()>,
    pub(crate) once: Attr<()>,
    pub(crate) identity: Attr<()>,
    pub(crate) group: Attr<String>,
    pub(crate) ttl: Attr<Duration>,
    pub(crate) default: Attr<Expr>,
    pub(crate) on_error: Attr<OnError>,
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
                "group" => read.group.set(entry, entry.text("address", errors), errors),
                "ttl" => read.ttl.set(entry, entry.duration(errors), errors),
                "default" => read.default.set(entry, entry.expression(errors), errors),
                "on_error" => read.on_error.set(entry, entry.on_error(errors), errors),
                "migrate" => read.migrate.set(entry, entry.function(errors), errors),
                "rename" => read.rename.set(entry, entry.text("views", errors), errors),
                // The one option that may stand more than once.
                "alias" => read.aliases.extend(entry.text("views", errors)),
                "skip" => read.skip.set(entry, entry.mark(errors), errors),
                key if OF_STRUCT.contains(&key) => {
                    errors.report(entry.key.span(), &Mistake::OptionOfStruct(key));
                }
                _ => entry.unknown(OF_FIELD, errors),
            }
        }
        read
    }
}

/// An option that may stand once. The only place that finds duplicates.
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

    /// Where it stands, if its value could be read.
    pub(crate) fn key(&self) -> Option<Span> {
        self.get().map(|given| given.key)
    }

    /// Whether it stands there, be its value readable or not.
    pub(crate) fn is_written(&self) -> bool {
        self.is_written
    }

    /// Whether it stands there with a value that was refused: rules that would compare it with
    /// others have nothing to say.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.is_written && self.given.is_none()
    }

    fn set(&mut self, entry: &Entry, given: Option<Given<T>>, errors: &mut Errors) {
        if self.is_written {
            let key = entry.key.to_string();
            errors.report(entry.key.span(), &Mistake::Duplicate(&key));
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

/// The entries of all `#[session(…)]` among these attributes.
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

/// The item without our attributes: what the compiler gets to see.
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
