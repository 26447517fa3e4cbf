use proc_macro2::Span;

use crate::errors::Errors;
use crate::mistake::Mistake;
use crate::model::Field;

#[derive(Debug)]
pub(crate) struct Conflict {
    pub(crate) first: &'static str,
    pub(crate) second: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) remedy: String,
}

impl Conflict {
    /// How `first` excludes `second`, which comes later in [`written`]; `None` if it does not.
    fn between(first: &'static str, second: &'static str) -> Option<Self> {
        let remove_one = || "remove one of them".to_owned();
        let remove_second = || format!("remove `{second}`");
        let (reason, remedy) = match (first, second) {
            ("skip", "default") => return None,
            ("skip", _) => ("a skipped field is never stored", remove_one()),

            ("identity", "counter") => ("an identity is not counted", remove_one()),
            ("identity", "max" | "min") => ("an identity is not compared", remove_one()),
            ("identity", "entries") => ("an identity is one user", remove_one()),
            ("identity", "once") => ("a user stays logged in until the logout", remove_one()),
            ("identity", "ttl") => (
                "a user stays logged in as long as the session lives",
                "remove it, and declare `idle` or `absolute` on the struct".to_owned(),
            ),
            ("identity", "keep") => ("the next user would find it", remove_second()),
            ("once", "keep") => ("a value for one user is not for the next", remove_second()),
            ("identity", "encrypted") => (
                "the library finds a user's sessions by it",
                "remove it, and store the secret part in another field".to_owned(),
            ),
            ("counter" | "max" | "min", "encrypted") => {
                ("the store cannot merge what it cannot read", remove_one())
            }
            ("identity", "default") => ("a new session has no user", remove_second()),

            ("counter" | "max" | "min" | "entries", "max" | "min" | "entries" | "once") => {
                ("a field merges in one way", remove_one())
            }
            ("entries", "ttl") => (
                "a deadline is for one stored value, and here each entry is one",
                remove_one(),
            ),
            ("entries", "on_unreadable" | "migrate") => (
                "an entry that cannot be read is left out, the others are kept",
                remove_second(),
            ),
            ("entries", "default") => ("a map without entries is empty", remove_second()),
            ("once", "default") => (
                "a taken value would come back as the default",
                remove_second(),
            ),
            _ => return None,
        };
        Some(Self {
            first,
            second,
            reason,
            remedy,
        })
    }
}

/// Each option is refused once, for the first that excludes it.
pub(super) fn conflicts(field: &Field<'_>, errors: &mut Errors) {
    let written = written(field);
    for (at, (second, span)) in written.iter().enumerate() {
        let mut firsts = written.iter().take(at);
        let conflict = firsts.find_map(|(first, _)| Conflict::between(first, second));
        if let Some(conflict) = conflict {
            errors.report(*span, &Mistake::Conflict(&conflict));
        }
    }
}

/// Each option stands before those that it can exclude.
fn written(field: &Field<'_>) -> Vec<(&'static str, Span)> {
    let attrs = &field.attrs;
    let options = [
        ("skip", attrs.skip.key()),
        ("identity", attrs.identity.key()),
        ("counter", attrs.counter.key()),
        ("max", attrs.max.key()),
        ("min", attrs.min.key()),
        ("entries", attrs.entries.key()),
        ("once", attrs.once.key()),
        ("keep", attrs.keep.key()),
        ("encrypted", attrs.encrypted.key()),
        ("max_size", attrs.max_size.key()),
        ("ttl", attrs.ttl.key()),
        ("on_unreadable", attrs.on_unreadable.key()),
        ("migrate", attrs.migrate.key()),
        ("default", attrs.default.key()),
        ("rename", attrs.rename.key()),
        ("alias", attrs.aliases.first().map(|alias| alias.key)),
    ];
    let options = options.into_iter();
    options
        .filter_map(|(option, key)| Some((option, key?)))
        .collect()
}
