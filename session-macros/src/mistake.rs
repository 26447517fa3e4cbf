use std::fmt;

use crate::check::Conflict;

/// Every message ends with what to write instead. `key` is the option in question.
#[derive(Debug)]
pub(crate) enum Mistake<'a> {
    AliasTwice(&'a str),
    Conflict(&'a Conflict),
    DerivedDefault,
    Duplicate(&'a str),
    FieldNameEmpty,
    FieldNameReserved(&'a str, char),
    Generic,
    OfIdentity(&'a str),
    GuardAsync(&'a str),
    GuardOfAll(&'a str),
    GuardOfField,
    GuardOfIdentity(&'a str),
    GuardRedirect(&'a str),
    GuardTwice,
    GuardStatusAndRedirect,
    GuardWithin,
    GuardWithinTooShort,
    IdentityTwice(&'a str),
    NameOfField(&'a str, &'a str),
    NameOfSession(&'a str),
    NameOfSessionEmpty,
    NotAStruct,
    NotNamedFields,
    /// In `session-core`'s words.
    OfOption(&'a str),
    OnUnreadableUnknown(&'a str),
    OptionOfField(&'a str, &'a str),
    ParentOfItself,
    OptionOfStruct(&'a str),
    OptionUnknown(&'a str, &'a str),
    Reference,
    SizeZero,
    Syntax,
    SyntaxList,
    TtlTooShort,
    Value(&'a str, &'a str, &'a str),
}

impl fmt::Display for Mistake<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax => write!(
                f,
                "this is not an option; write options like `counter` or `idle = \"30m\"`, with commas between them"
            ),
            Self::SyntaxList => {
                write!(f, "options go in parentheses; write `#[session(…)]`")
            }
            Self::OptionUnknown(key, advice) => {
                write!(f, "unknown option `{key}`; {advice}")
            }
            Self::OptionOfField("ttl", form) => write!(
                f,
                "`ttl` is an option of a field; for the whole session, write `idle`; for a field, write `#[session({form})]` on it"
            ),
            Self::OptionOfField(key, form) => write!(
                f,
                "`{key}` is an option of a field; write `#[session({form})]` on that field"
            ),
            Self::OptionOfStruct(key) => write!(
                f,
                "`{key}` is an option of the whole session; write it in the `#[session(…)]` on the struct"
            ),
            Self::Duplicate(key) => write!(f, "`{key}` is declared twice; remove one of them"),
            Self::Value(key, wanted, example) => {
                write!(f, "`{key}` takes {wanted}; write `{example}`")
            }
            Self::OnUnreadableUnknown(text) => write!(
                f,
                "`{text}` is not a value of `on_unreadable`; write \"default\", \"drop_session\" or \"error\""
            ),

            Self::NotAStruct => write!(
                f,
                "only a struct can be a session; write `#[session] struct … {{ … }}`"
            ),
            Self::NotNamedFields => write!(
                f,
                "a session stores its fields by name; write `struct … {{ name: Type, … }}`"
            ),
            Self::Generic => write!(
                f,
                "a session cannot be generic; remove the parameters and write concrete, owned types like `String`"
            ),
            Self::Reference => write!(
                f,
                "a stored field cannot borrow; write an owned type, like `String` for `&str`"
            ),

            Self::DerivedDefault => write!(
                f,
                "`#[session]` implements `Default` from the declaration; remove `Default` from the derive"
            ),

            Self::OfOption(message) => f.write_str(message),
            Self::NameOfSession(name) => write!(
                f,
                "`{name}` cannot be part of a key in the store; write a `name = \"…\"` of lowercase letters, digits and `_` (for the cookie's name, write `cookie`)"
            ),
            Self::ParentOfItself => write!(
                f,
                "a session cannot be its own parent; write another session type, or remove `parent`"
            ),
            Self::NameOfSessionEmpty => write!(
                f,
                "a session needs a name; write a `name = \"…\"` of lowercase letters, digits and `_`"
            ),

            Self::OfIdentity(option) => write!(
                f,
                "`{option}` requires users; mark the field that says who is logged in with `#[session(identity)]`"
            ),

            Self::GuardOfAll(name) => write!(
                f,
                "`{name}` would admit everybody; write `guard({name} = function)`, `guard({name}, within = \"5m\")`, or `guard = {name}` on the identity"
            ),
            Self::GuardOfField => write!(
                f,
                "only the field marked `identity` can have a guard; write `guard(Name = function)` on the struct"
            ),
            Self::GuardOfIdentity(name) => write!(
                f,
                "a guard on the identity admits every user; for a condition, write `guard({name} = function)` on the struct"
            ),
            Self::GuardAsync(name) => write!(
                f,
                "`async` requires a function; write `guard({name} = function, async)`"
            ),
            Self::GuardTwice => write!(
                f,
                "an identity has one guard; write `guard(Name = function, …)` on the struct for another"
            ),
            Self::GuardWithin => write!(
                f,
                "`within` counts from the login, so it requires users; mark the field that says who is logged in with `#[session(identity)]`"
            ),
            Self::GuardWithinTooShort => {
                write!(
                    f,
                    "`within` is too short; write for example `within = \"5m\"`"
                )
            }
            Self::GuardStatusAndRedirect => write!(
                f,
                "a redirect has a status of its own, 303; remove `status` or `redirect`"
            ),
            Self::GuardRedirect(path) => write!(
                f,
                "`{path}` is not a path on this host; write one like `redirect = \"/login\"`"
            ),

            Self::Conflict(conflict) => {
                let Conflict {
                    first,
                    second,
                    reason,
                    remedy,
                } = conflict;
                write!(f, "`{first}` excludes `{second}`: {reason}; {remedy}")
            }
            Self::TtlTooShort => {
                write!(f, "`ttl` is too short; write `ttl = \"1ms\"` or more")
            }
            Self::SizeZero => write!(
                f,
                "`max_size` is too small for any value; write for example `max_size = \"64KiB\"`"
            ),
            Self::IdentityTwice(first) => write!(
                f,
                "`{first}` is already the identity; remove one: a role is a field of its own. If only both name a user, write one `Option` of a type that holds both"
            ),
            Self::NameOfField(name, owner) => write!(
                f,
                "the field `{owner}` is already stored as `{name}`; write another name"
            ),
            Self::AliasTwice(name) => {
                write!(
                    f,
                    "this field is already read as `{name}`; remove this `alias`"
                )
            }
            Self::FieldNameEmpty => write!(
                f,
                "a stored name cannot be empty; write for example `rename = \"views\"`"
            ),
            Self::FieldNameReserved(name, '@') => write!(
                f,
                "`{name}` is reserved, because `@` marks metadata; write a name without it"
            ),
            Self::FieldNameReserved(name, ':') => write!(
                f,
                "`{name}` is reserved, because `:` separates a field from its entries; write a name without it"
            ),
            Self::FieldNameReserved(name, _) => write!(
                f,
                "{name:?} cannot be read by an operator; write a name without control characters"
            ),
        }
    }
}
