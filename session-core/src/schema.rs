//! What a session type declares: the trait that `#[session]` implements, and its data.

use std::fmt;
use std::time::Duration;

use crate::changes::{Change, Changes, Rule, add, parse_counter};
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
        if self.switches_user(before, after) {
            self.forget_previous_user(&mut changes, before)?;
        }
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

    /// Whether one user's session becomes another user's, without a logout in between.
    fn switches_user(&self, before: &Fields, after: &Fields) -> bool {
        let identity = self.fields.iter().find(|field| field.is_identity);
        identity.is_some_and(|field| {
            let (before, after) = (before.get(field.name), after.get(field.name));
            before.is_some() && after.is_some() && before != after
        })
    }

    /// What this request did not write was the previous user's: it goes back to its default.
    fn forget_previous_user(&self, changes: &mut Changes, before: &Fields) -> Result<(), Error> {
        let defaults = self.encode(&self.defaults())?;
        for field in self.fields.iter().filter(|field| !field.is_identity) {
            let default = defaults.get(field.name);
            let change = match changes.get(field.name) {
                None if before.get(field.name) == default => continue,
                None => default.map_or(Change::Unset, |default| Change::Set(default.to_vec())),
                Some(Change::Add { delta, range, .. }) => {
                    let sum = add(field.name, default, *delta, 0, *range)?;
                    Change::Set(sum)
                }
                Some(Change::Set(_) | Change::Unset) => continue,
            };
            changes.insert(field.name.into(), change);
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::accessor;
    use crate::record::Name;

    #[derive(Debug, Default, PartialEq)]
    struct Visit {
        views: u8,
        user: Option<String>,
        theme: String,
        limit: Option<u32>,
    }

    const SCHEMA: &Schema<Visit> = &Schema::new(
        "visit",
        Options::new(),
        &[
            Field::new(
                "views",
                &const { accessor::<u8, Visit>(|v| &v.views, |v| &mut v.views) },
            )
            .counter::<u8>(),
            Field::new(
                "user",
                &const { accessor::<Option<String>, Visit>(|v| &v.user, |v| &mut v.user) },
            )
            .identity::<Option<String>>(),
            Field::new(
                "theme",
                &const { accessor::<String, Visit>(|v| &v.theme, |v| &mut v.theme) },
            )
            .aliases(&["colour", "color"]),
            Field::new(
                "limit",
                &const { accessor::<Option<u32>, Visit>(|v| &v.limit, |v| &mut v.limit) },
            ),
        ],
        || Visit {
            limit: Some(10),
            ..Visit::default()
        },
    );

    fn stored(fields: &[(&'static str, &str)]) -> Fields {
        let fields = fields.iter();
        fields
            .map(|(name, value)| (Name::from(*name), value.as_bytes().to_vec()))
            .collect()
    }

    /// What `change` does to the session that is stored like this.
    fn changes(fields: &Fields, change: impl FnOnce(&mut Visit)) -> Changes {
        let (mut data, _) = SCHEMA.decode(fields);
        let before = SCHEMA.encode(&data).unwrap();
        change(&mut data);
        SCHEMA
            .changes(fields, &before, &SCHEMA.encode(&data).unwrap())
            .unwrap()
    }

    fn set(value: &str) -> Option<Change> {
        Some(Change::Set(value.as_bytes().to_vec()))
    }

    #[test]
    fn absent_fields_have_their_default_and_defaults_of_none_are_absent() {
        let (data, unreadable) = SCHEMA.decode(&Fields::new());
        assert_eq!(data.limit, Some(10));
        assert!(unreadable.is_empty());
        let encoded = SCHEMA.encode(&data).unwrap();
        assert_eq!(encoded.get("user"), None);
        assert_eq!(encoded.get("limit"), Some(b"10".as_slice()));
    }

    #[test]
    fn none_is_stored_where_the_default_is_something() {
        let changes = changes(&Fields::new(), |visit| visit.limit = None);
        assert_eq!(changes.get("limit").cloned(), set("null"));
        let (data, _) = SCHEMA.decode(&stored(&[("limit", "null")]));
        assert_eq!(data.limit, None);
    }

    #[test]
    fn only_what_differs_is_a_change() {
        let fields = stored(&[("views", "3"), ("theme", "\"dark\"")]);
        assert!(changes(&fields, |visit| visit.theme = "dark".into()).is_empty());
        let changes = changes(&fields, |visit| visit.views += 2);
        assert_eq!(changes.iter().count(), 1);
        assert!(matches!(
            changes.get("views"),
            Some(Change::Add {
                delta: 2,
                base: 3,
                ..
            })
        ));
    }

    #[test]
    fn an_old_name_is_read_and_moved_by_the_next_write() {
        let fields = stored(&[("color", "\"red\"")]);
        assert_eq!(SCHEMA.decode(&fields).0.theme, "red");
        assert!(
            changes(&fields, |visit| visit.user = Some("a".into()))
                .get("color")
                .is_none()
        );
        let changes = changes(&fields, |visit| visit.theme = "blue".into());
        assert_eq!(changes.get("theme").cloned(), set("\"blue\""));
        assert_eq!(changes.get("color"), Some(&Change::Unset));
        assert_eq!(changes.get("colour"), None);
    }

    #[test]
    fn what_cannot_be_read_has_its_default_and_stays_until_it_is_written() {
        let fields = stored(&[("views", "\"many\""), ("theme", "7"), ("limit", "{}")]);
        let (data, unreadable) = SCHEMA.decode(&fields);
        assert_eq!(data, SCHEMA.defaults());
        assert_eq!(unreadable, ["views", "theme", "limit"]);
        assert_eq!(
            changes(&fields, |visit| visit.limit = Some(1))
                .iter()
                .count(),
            1
        );
        // Nothing can be added to what is no number.
        assert_eq!(
            changes(&fields, |visit| visit.views = 1)
                .get("views")
                .cloned(),
            set("1")
        );
    }

    #[test]
    fn nothing_of_one_user_is_left_to_the_next() {
        let fields = stored(&[
            ("views", "9"),
            ("user", "\"alice\""),
            ("theme", "\"dark\""),
            ("limit", "99"),
        ]);
        let changes = changes(&fields, |visit| {
            visit.user = Some("bob".into());
            visit.views += 1;
        });
        assert_eq!(changes.get("views").cloned(), set("1"));
        assert_eq!(changes.get("theme").cloned(), set("\"\""));
        assert_eq!(changes.get("limit").cloned(), set("10"));
        assert_eq!(SCHEMA.identity_change(&changes), Some(true));
    }

    #[test]
    fn a_login_keeps_what_the_visitor_had() {
        let fields = stored(&[("views", "9"), ("theme", "\"dark\"")]);
        let changes = changes(&fields, |visit| visit.user = Some("alice".into()));
        assert_eq!(changes.iter().count(), 1);
        assert_eq!(SCHEMA.identity_change(&changes), Some(true));
    }

    #[test]
    fn a_logout_by_hand_is_a_change_of_identity() {
        let fields = stored(&[("user", "\"alice\"")]);
        let changes = changes(&fields, |visit| visit.user = None);
        assert_eq!(SCHEMA.identity_change(&changes), Some(false));
    }
}
