//! What a session type declares: the trait that `#[session]` implements, and its data.

use std::fmt;
use std::time::Duration;

use crate::changes::{Change, Changes, Rule, parse_counter};
use crate::error::Error;
use crate::field::Field;
use crate::record::Fields;

/// A declared session type. Implemented by `#[session]`, not by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a session",
    label = "no session type",
    note = "put `#[session]` on the struct: `#[session] struct {Self} {{ … }}`"
)]
pub trait SessionData: Sized + Send + Sync + 'static {
    /// Everything that was declared.
    const SCHEMA: &'static Schema<Self>;
}

/// Everything that a session type declares.
pub struct Schema<T: 'static> {
    name: &'static str,
    options: Options,
    fields: &'static [Field<T>],
    defaults: fn() -> T,
}

impl<T> Schema<T> {
    /// The session type `name` with these fields, which start as `defaults` says.
    #[must_use]
    pub const fn new(
        name: &'static str,
        options: Options,
        fields: &'static [Field<T>],
        defaults: fn() -> T,
    ) -> Self {
        Self {
            name,
            options,
            fields,
            defaults,
        }
    }

    /// The name under which its sessions are stored and configured.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The options declared on the struct.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// A session in which nothing was stored yet.
    #[must_use]
    pub fn defaults(&self) -> T {
        (self.defaults)()
    }

    /// Every name under which a field may be stored, sorted: what a load asks for.
    #[must_use]
    pub fn stored_names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.fields.iter().flat_map(Field::names).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The session that these stored fields make, and the names of those that could not be read:
    /// they have their default, and what is stored stays until they are written.
    #[must_use]
    pub fn decode(&self, stored: &Fields) -> (T, Vec<&'static str>) {
        let mut data = self.defaults();
        let unreadable = self.decode_into(&mut data, stored);
        (data, unreadable)
    }

    /// Sets those fields of a session that are stored here, and tells which could not be read.
    pub fn decode_into(&self, data: &mut T, stored: &Fields) -> Vec<&'static str> {
        let mut unreadable = Vec::new();
        if stored.is_empty() {
            return unreadable;
        }
        for field in self.fields {
            let Some(bytes) = field.names().find_map(|name| stored.get(name)) else {
                continue;
            };
            if field.codec.decode(data, bytes).is_err() {
                unreadable.push(field.name);
            }
        }
        unreadable
    }

    /// All fields of a session, encoded. A `None` whose default is `None` is absent.
    ///
    /// # Errors
    ///
    /// If the `Serialize` of a field fails.
    pub fn encode(&self, data: &T) -> Result<Fields, Error> {
        let encoded = self.fields.iter().map(|field| {
            let bytes = field.codec.encode(data);
            let bytes = bytes.map_err(|error| Error::encode(field.name, error))?;
            let present = bytes != NULL || !self.defaults_to_null(field);
            Ok(present.then_some((field.name.into(), bytes)))
        });
        encoded.filter_map(Result::transpose).collect()
    }

    /// What turns the session that was encoded as `before` into the one encoded as `after`, where
    /// `stored` is what the store held when it was read.
    ///
    /// # Errors
    ///
    /// If a counter moved further than it can count.
    pub fn changes(
        &self,
        stored: &Fields,
        before: &Fields,
        after: &Fields,
    ) -> Result<Changes, Error> {
        let mut changes = Changes::diff(before, after, |name| self.rule(name, stored))?;
        for field in self.fields {
            if changes.get(field.name).is_none() {
                continue;
            }
            // A value found under an old name moves to the present one as soon as it changes.
            for alias in field.aliases {
                if stored.get(alias).is_some() {
                    changes.insert((*alias).into(), Change::Unset);
                }
            }
        }
        Ok(changes)
    }

    /// Whether these changes change who is logged in: `Some(true)` where somebody is after them.
    #[must_use]
    pub fn identity_change(&self, changes: &Changes) -> Option<bool> {
        let field = self.fields.iter().find(|field| field.is_identity)?;
        let change = changes.get(field.name)?;
        Some(*change != Change::Unset)
    }

    /// A counter whose stored value cannot be read is replaced: nothing can be added to it.
    fn rule(&self, name: &str, stored: &Fields) -> Rule {
        let field = self.fields.iter().find(|field| field.name == name);
        let rule = field.map_or(Rule::Last, |field| field.rule);
        let found = field.and_then(|field| field.names().find_map(|name| stored.get(name)));
        match found {
            Some(bytes) if rule != Rule::Last && parse_counter(bytes).is_none() => Rule::Last,
            _ => rule,
        }
    }

    fn defaults_to_null(&self, field: &Field<T>) -> bool {
        let default = field.codec.encode(&self.defaults());
        default.is_ok_and(|bytes| bytes == NULL)
    }
}

impl<T> fmt::Debug for Schema<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema")
            .field("name", &self.name)
            .field("options", &self.options)
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

const NULL: &[u8] = b"null";

/// What a session type declares about lifetimes and cookie; `None`: the default.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// The cookie's name.
    pub cookie: Option<&'static str>,
    /// The longest silence allowed.
    pub idle: Option<Duration>,
    /// The longest life allowed.
    pub absolute: Option<Duration>,
    /// How much of the idle time may pass before a read extends it.
    pub touch: Option<Duration>,
    /// The cookie's `SameSite`.
    pub same_site: Option<SameSite>,
    /// The cookie's `Secure`.
    pub secure: Option<bool>,
    /// The cookie's `Path`.
    pub path: Option<&'static str>,
    /// The cookie's `Domain`.
    pub domain: Option<&'static str>,
    /// Whether the cookie outlives the browser's session.
    pub persistent: Option<bool>,
}

/// With which requests from other sites a browser sends the cookie (RFC 6265bis, 5.6.7).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "RFC 6265bis defines exactly these")]
pub enum SameSite {
    /// Only when a link is followed to this site.
    Lax,
    /// With all; needs `Secure`.
    None,
    /// With none.
    Strict,
}

macro_rules! declared_options {
    ($($name:ident: $type:ty),* $(,)?) => {
        impl Options {
            /// Every option at its default.
            #[must_use]
            pub const fn new() -> Self {
                Self { $($name: None),* }
            }

            $(
                #[doc = concat!("The same options with `", stringify!($name), "` declared.")]
                #[must_use]
                pub const fn $name(self, $name: $type) -> Self {
                    Self { $name: Some($name), ..self }
                }
            )*
        }
    };
}

declared_options! {
    cookie: &'static str,
    idle: Duration,
    absolute: Duration,
    touch: Duration,
    same_site: SameSite,
    secure: bool,
    path: &'static str,
    domain: &'static str,
    persistent: bool,
}
