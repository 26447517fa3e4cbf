//! What a session type declares: the trait that `#[session]` implements, and its data.

use std::fmt;

use crate::changes::{Change, Changes, Expired};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::field::{Codec, Field, OnError};
use crate::options::Options;
use crate::record::{Fields, Name};
use crate::rule::{self, Counter, Rule};
use crate::store::{Expected, Wanted};

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

/// A session as it was read.
#[derive(Debug)]
#[non_exhaustive]
pub struct Decoded<T> {
    /// The data; what could not be read has its default.
    pub data: T,
    /// The fields that could not be read, and what that does.
    pub faults: Vec<(&'static str, OnError)>,
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

    pub(crate) const fn fields(&self) -> &'static [Field<T>] {
        self.fields
    }

    /// A session in which nothing was stored yet.
    #[must_use]
    pub fn defaults(&self) -> T {
        (self.defaults)()
    }

    /// What a load asks a store for.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        let is_map = |field: &Field<T>| matches!(field.codec, Codec::Entries(_));
        if self.fields.iter().any(is_map) {
            return Wanted::All;
        }
        let names = self.fields.iter().flat_map(|field| {
            let names = field.names().map(Name::from);
            names.chain(field.deadline_name())
        });
        let mut names: Vec<Name> = names.collect();
        names.sort_unstable();
        Wanted::Fields(names)
    }

    /// The session that these stored fields make at this instant.
    #[must_use]
    pub fn decode(&self, stored: &Fields, now: Timestamp) -> Decoded<T> {
        let mut data = self.defaults();
        let faults = self.decode_into(&mut data, stored, now);
        Decoded { data, faults }
    }

    /// Sets those fields of a session that are stored here, and tells which could not be read.
    pub fn decode_into(
        &self,
        data: &mut T,
        stored: &Fields,
        now: Timestamp,
    ) -> Vec<(&'static str, OnError)> {
        let mut faults = Vec::new();
        if stored.is_empty() {
            return faults;
        }
        for field in self.fields {
            if expired(field, stored, now).is_none() && !field.decode(data, stored) {
                faults.push((field.name, field.on_error));
            }
        }
        faults
    }

    /// All fields of a session, encoded. A `None` whose default is `None` is absent.
    ///
    /// # Errors
    ///
    /// If the `Serialize` of a field fails.
    pub fn encode(&self, data: &T) -> Result<Fields, Error> {
        let mut encoded = Vec::with_capacity(self.fields.len());
        for field in self.fields {
            let start = encoded.len();
            field.encode(data, &mut encoded)?;
            let is_null = encoded[start..].iter().any(|(_, value)| value == NULL);
            if is_null && self.defaults_to_null(field) {
                encoded.truncate(start);
            }
        }
        Ok(encoded.into_iter().collect())
    }

    /// What turns the session that was encoded as `before` into the one encoded as `after`, where
    /// `stored` is what the store held when it was read, and now is `now`.
    ///
    /// # Errors
    ///
    /// If a counter moved further than it can count.
    pub fn changes(
        &self,
        stored: &Fields,
        before: &Fields,
        after: &Fields,
        now: Timestamp,
    ) -> Result<Changes, Error> {
        let mut changes = Changes::diff(before, after, |name| self.rule(name, stored))?;
        if self.switches_user(before, after) {
            self.forget_previous_user(&mut changes)?;
        }
        if changes.is_empty() {
            return Ok(changes);
        }
        self.complete_groups(&mut changes, after);
        for field in self.fields {
            move_from_aliases(field, &mut changes);
            if let Some(name) = field.deadline_name() {
                set_deadline(field, name, &mut changes, now);
            }
            if let Some(expired) = expired(field, stored, now) {
                changes.expire(expired);
            }
        }
        Ok(changes)
    }

    /// Whether a value of the field `name` is stored at this instant.
    #[must_use]
    pub fn holds(&self, stored: &Fields, name: &str, now: Timestamp) -> bool {
        let field = self.fields.iter().find(|field| field.name == name);
        field.is_some_and(|field| {
            let mut names = field.names();
            names.any(|name| stored.get(name).is_some()) && expired(field, stored, now).is_none()
        })
    }

    /// What must still be stored for everything that was read to be unchanged.
    #[must_use]
    pub fn expected(&self, stored: &Fields) -> Expected {
        let mut expected = Expected::default();
        for field in self.fields {
            match field.codec {
                Codec::Entries(_) => {
                    let prefixes = field.names().map(|name| format!("{name}:"));
                    for prefix in prefixes {
                        let entries: Vec<_> = stored.with_prefix(&prefix).collect();
                        expected.counts.push((prefix.clone(), entries.len()));
                        expected
                            .fields
                            .extend(entries.into_iter().map(|(key, value)| {
                                (format!("{prefix}{key}").into(), Some(value.to_vec()))
                            }));
                    }
                }
                Codec::Value(_) => {
                    let names = field.names().map(Name::from).chain(field.deadline_name());
                    expected.fields.extend(names.map(|name| {
                        let value = stored.get(&name).map(<[u8]>::to_vec);
                        (name, value)
                    }));
                }
            }
        }
        expected
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

    /// What this request did not write was the previous user's, also what another request stored in
    /// the meantime: none of it is left. Counters are set to where they begin anew: a guard that
    /// still has the previous user's would go on from there.
    fn forget_previous_user(&self, changes: &mut Changes) -> Result<(), Error> {
        let defaults = self.encode(&self.defaults())?;
        for field in self.fields {
            if !matches!(field.rule, Rule::Counter(_)) {
                continue;
            }
            let (name, default) = (field.name, defaults.get(field.name));
            let value = match changes.get(name) {
                Some(Change::Add { delta, counter, .. }) => {
                    Some(counter.moved(name, default, *delta, 0)?)
                }
                Some(_) => continue,
                None => default.map(<[u8]>::to_vec),
            };
            changes.insert(name.into(), value.map_or(Change::Unset, Change::Set));
        }
        changes.clear();
        Ok(())
    }

    /// If one field of a group changes, all of them are written, as this request has them; but not
    /// what it still has of the previous user.
    fn complete_groups(&self, changes: &mut Changes, after: &Fields) {
        if changes.clears() {
            return;
        }
        let changed = |field: &&Field<T>| changes.get(field.name).is_some();
        let groups = self
            .fields
            .iter()
            .filter(changed)
            .filter_map(|field| field.group);
        let groups: Vec<_> = groups.collect();
        for field in self.fields {
            let grouped = field.group.is_some_and(|group| groups.contains(&group));
            if grouped && changes.get(field.name).is_none() {
                let value = after.get(field.name);
                let change = value.map_or(Change::Unset, |value| Change::Set(value.to_vec()));
                changes.insert(field.name.into(), change);
            }
        }
    }

    /// An integer that cannot be read is replaced: nothing can be added to it.
    fn rule(&self, name: &str, stored: &Fields) -> Rule {
        let Some(field) = self.fields.iter().find(|field| field.name == name) else {
            return Rule::Last;
        };
        let mut values = field.names().filter_map(|name| stored.get(name));
        match field.rule {
            Rule::Counter(Counter { range, .. }) if values.all(rule::is_integer) => {
                let aliases = field.aliases;
                Rule::Counter(Counter { range, aliases })
            }
            Rule::Max | Rule::Min if values.all(rule::is_integer) => field.rule,
            Rule::Counter(_) | Rule::Last | Rule::Max | Rule::Min => Rule::Last,
        }
    }

    fn defaults_to_null(&self, field: &Field<T>) -> bool {
        let mut encoded = Vec::new();
        let default = field.encode(&self.defaults(), &mut encoded);
        default.is_ok() && encoded.iter().any(|(_, value)| value == NULL)
    }
}

/// The field, if it was stored with a deadline that has passed.
fn expired<T>(field: &Field<T>, stored: &Fields, now: Timestamp) -> Option<Expired> {
    let deadline_name = field.deadline_name()?;
    let deadline = stored.get(&deadline_name)?;
    let millis = str::from_utf8(deadline).ok()?.parse().ok()?;
    let is_over = now >= Timestamp::from_millis(millis);
    is_over.then(|| Expired::new(field.name.into(), deadline_name, deadline.to_vec()))
}

/// A field that has a deadline gets it with each change, and loses it with its value.
fn set_deadline<T>(field: &Field<T>, name: Name, changes: &mut Changes, now: Timestamp) {
    let deadline = match (changes.get(field.name), field.ttl) {
        (None, _) | (_, None) => return,
        (Some(Change::Unset), Some(_)) => Change::Unset,
        (Some(_), Some(ttl)) => {
            let deadline = now.plus(ttl).as_millis().to_string();
            Change::Set(deadline.into_bytes())
        }
    };
    changes.insert(name, deadline);
}

/// A value that an older build stored under an old name moves to the present one with the first
/// change. So what is found under an old name is always newer than what is under the present one.
fn move_from_aliases<T>(field: &Field<T>, changes: &mut Changes) {
    let prefix = format!("{}:", field.name);
    // A counter takes along by itself what is under its old names.
    let moves = |change: &Change| !matches!(change, Change::Add { .. });
    let changed = changes.iter().filter(|(_, change)| moves(change));
    let changed: Vec<Name> = changed.map(|(name, _)| name.clone()).collect();
    for name in changed {
        let suffix = match field.codec {
            Codec::Entries(_) => name.strip_prefix(&prefix).map(|key| format!(":{key}")),
            Codec::Value(_) => (name == field.name).then(String::new),
        };
        let Some(suffix) = suffix else { continue };
        for alias in field.aliases {
            changes.insert(format!("{alias}{suffix}").into(), Change::Unset);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::accessor;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    #[derive(Debug, Default, PartialEq)]
    struct Visit {
        views: u8,
        user: Option<String>,
        theme: String,
        limit: Option<u32>,
        width: u8,
        height: u8,
    }

    const SCHEMA: &Schema<Visit> = &Schema::new(
        "visit",
        Options::new(),
        &[
            Field::new(
                "views",
                "u8",
                &const { accessor::<u8, Visit>(|v| &v.views, |v| &mut v.views) },
            )
            .counter::<u8>(),
            Field::new(
                "user",
                "Option<String>",
                &const { accessor::<Option<String>, Visit>(|v| &v.user, |v| &mut v.user) },
            )
            .identity::<Option<String>>(),
            Field::new(
                "theme",
                "String",
                &const { accessor::<String, Visit>(|v| &v.theme, |v| &mut v.theme) },
            )
            .aliases(&["colour", "color"]),
            Field::new(
                "limit",
                "Option<u32>",
                &const { accessor::<Option<u32>, Visit>(|v| &v.limit, |v| &mut v.limit) },
            ),
            Field::new(
                "width",
                "u8",
                &const { accessor::<u8, Visit>(|v| &v.width, |v| &mut v.width) },
            )
            .group("size"),
            Field::new(
                "height",
                "u8",
                &const { accessor::<u8, Visit>(|v| &v.height, |v| &mut v.height) },
            )
            .group("size"),
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
        let mut data = SCHEMA.decode(fields, NOW).data;
        let before = SCHEMA.encode(&data).unwrap();
        change(&mut data);
        let after = SCHEMA.encode(&data).unwrap();
        SCHEMA.changes(fields, &before, &after, NOW).unwrap()
    }

    fn set(value: &str) -> Option<Change> {
        Some(Change::Set(value.as_bytes().to_vec()))
    }

    #[test]
    fn absent_fields_have_their_default_and_defaults_of_none_are_absent() {
        let Decoded { data, faults } = SCHEMA.decode(&Fields::new(), NOW);
        assert_eq!(data.limit, Some(10));
        assert!(faults.is_empty());
        let encoded = SCHEMA.encode(&data).unwrap();
        assert_eq!(encoded.get("user"), None);
        assert_eq!(encoded.get("limit"), Some(b"10".as_slice()));
    }

    #[test]
    fn none_is_stored_where_the_default_is_something() {
        let changes = changes(&Fields::new(), |visit| visit.limit = None);
        assert_eq!(changes.get("limit").cloned(), set("null"));
        let data = SCHEMA.decode(&stored(&[("limit", "null")]), NOW).data;
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
        // An older build has written it again after it was moved.
        let both = stored(&[("color", "\"red\""), ("theme", "\"blue\"")]);
        assert_eq!(SCHEMA.decode(&both, NOW).data.theme, "red");
        let fields = stored(&[("color", "\"red\"")]);
        assert_eq!(SCHEMA.decode(&fields, NOW).data.theme, "red");
        assert!(
            changes(&fields, |visit| visit.user = Some("a".into()))
                .get("color")
                .is_none()
        );
        let changes = changes(&fields, |visit| visit.theme = "blue".into());
        assert_eq!(changes.get("theme").cloned(), set("\"blue\""));
        assert_eq!(changes.get("color"), Some(&Change::Unset));
        assert_eq!(changes.get("colour"), Some(&Change::Unset));
    }

    #[test]
    fn what_cannot_be_read_has_its_default_and_stays_until_it_is_written() {
        let fields = stored(&[("views", "\"many\""), ("theme", "7"), ("limit", "{}")]);
        let Decoded { data, faults } = SCHEMA.decode(&fields, NOW);
        assert_eq!(data, SCHEMA.defaults());
        let faults: Vec<_> = faults.into_iter().map(|(name, _)| name).collect();
        assert_eq!(faults, ["views", "theme", "limit"]);
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
            ("width", "3"),
            ("height", "4"),
        ]);
        let changes = changes(&fields, |visit| {
            visit.user = Some("bob".into());
            visit.views += 1;
            visit.width = 8;
        });
        assert_eq!(SCHEMA.identity_change(&changes), Some(true));
        // A request of the first user may have stored more in the meantime.
        let mut after = fields;
        after.insert("theme".into(), b"\"bright\"".to_vec());
        after.insert("of another build".into(), b"1".to_vec());
        changes.apply(&mut after).unwrap();
        let expected = [("views", "1"), ("user", "\"bob\""), ("width", "8")];
        assert_eq!(after, stored(&expected));
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
