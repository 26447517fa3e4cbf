//! Every mistake that the macro can find, with its message.

use std::fmt;

use crate::check::Conflict;

/// What is wrong with a declaration. Every message ends with what to write instead.
///
/// `key` is always the option in question, as the user wrote it.
#[derive(Debug)]
pub(crate) enum Mistake<'a> {
    AbsoluteTooShort(&'a str),
    AliasTwice(&'a str),
    Conflict(&'a Conflict),
    CookieName(&'a str),
    CookieNameEmpty,
    Domain(&'a str),
    DomainEmpty,
    Duplicate(&'a str),
    DurationTooShort(&'a str),
    DurationUnreadable(&'a str, &'a str, &'a str),
    FieldNameEmpty,
    FieldNameReserved(&'a str, char),
    Generic,
    GroupAlone(&'a str),
    GroupEmpty,
    HostPrefixDomain(&'a str),
    HostPrefixPath(&'a str),
    IdentityTwice(&'a str),
    IdleTooLong(&'a str),
    NameOfField(&'a str, &'a str),
    NameOfSession(&'a str),
    NameOfSessionEmpty,
    NotAStruct,
    NotNamedFields,
    OnErrorUnknown(&'a str),
    OptionOfField(&'a str, &'a str),
    OptionOfStruct(&'a str),
    OptionUnknown(&'a str, &'a [&'a str]),
    OptionUnknownNear(&'a str, &'a str),
    Path(&'a str),
    PathRelative(&'a str),
    Reference,
    SameSiteNone,
    SameSiteUnknown(&'a str),
    SecurePrefix(&'a str),
    Syntax,
    SyntaxList,
    TouchTooLong(&'a str),
    Value(&'a str, &'a str, &'a str),
}

impl fmt::Display for Mistake<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The syntax of the attribute.
            Self::Syntax => write!(
                f,
                "this is no option; write options like `counter` or `idle = \"30m\"`, with commas between them"
            ),
            Self::SyntaxList => {
                write!(f, "options stand in parentheses; write `#[session(…)]`")
            }
            Self::OptionUnknown(key, known) => {
                write!(
                    f,
                    "unknown option `{key}`; write one of `{}`",
                    known.join("`, `")
                )
            }
            Self::OptionUnknownNear(key, near) => {
                write!(f, "unknown option `{key}`; did you mean `{near}`?")
            }
            Self::OptionOfField(key, form) => write!(
                f,
                "`{key}` is an option of a field; write `#[session({form})]` on the field that it is for"
            ),
            Self::OptionOfStruct(key) => write!(
                f,
                "`{key}` is an option of the whole session; write it in the `#[session(…)]` on the struct"
            ),
            Self::Duplicate(key) => write!(f, "`{key}` is declared twice; remove one of them"),
            Self::Value(key, wanted, example) => {
                write!(f, "`{key}` takes {wanted}; write `{example}`")
            }
            Self::DurationUnreadable(text, reason, key) => {
                write!(
                    f,
                    "\"{text}\" is no duration ({reason}); write for example `{key} = \"30m\"`"
                )
            }
            Self::DurationTooShort(key) => {
                write!(
                    f,
                    "`{key}` must be longer than nothing; write `{key} = \"1ms\"` or more"
                )
            }
            Self::SameSiteUnknown(text) => write!(
                f,
                "`{text}` is no value of `same_site`; write \"Lax\", \"Strict\" or \"None\""
            ),
            Self::OnErrorUnknown(text) => write!(
                f,
                "`{text}` is no value of `on_error`; write \"default\", \"drop_session\" or \"error\""
            ),

            // The item.
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
                "a session is one type, known when it is compiled; remove the parameters and write the types out, owned ones like `String`"
            ),
            Self::Reference => write!(
                f,
                "a field that is stored cannot borrow what it is read from; write an owned type, like `String` for `&str`"
            ),

            // The session's own options.
            Self::NameOfSession(name) => write!(
                f,
                "`{name}` cannot be part of a key in the store; write a `name = \"…\"` of lowercase letters, digits and `_`"
            ),
            Self::NameOfSessionEmpty => write!(
                f,
                "a session needs a name; write a `name = \"…\"` of lowercase letters, digits and `_`"
            ),
            Self::CookieName(name) => write!(
                f,
                "`{name}` cannot be a cookie's name; write letters, digits, `-` and `_` (RFC 6265, 4.1.1)"
            ),
            Self::CookieNameEmpty => {
                write!(
                    f,
                    "a cookie needs a name; write for example `cookie = \"id\"`"
                )
            }
            Self::HostPrefixPath(name) => write!(
                f,
                "browsers refuse a cookie `{name}` with any path but \"/\"; remove `path`, or the prefix `__Host-`"
            ),
            Self::HostPrefixDomain(name) => write!(
                f,
                "browsers refuse a cookie `{name}` with a domain; remove `domain`, or write `__Secure-` for `__Host-`"
            ),
            Self::SecurePrefix(name) => write!(
                f,
                "browsers refuse a cookie `{name}` that is not secure; remove `secure = false`, or the prefix"
            ),
            Self::SameSiteNone => write!(
                f,
                "browsers refuse `SameSite=None` without `Secure`, also while you develop; write `same_site = \"None\", secure`"
            ),
            Self::PathRelative(path) => {
                write!(
                    f,
                    "`{path}` is no cookie path: it must begin with `/`; write `path = \"/\"`"
                )
            }
            Self::Path(path) => write!(
                f,
                "`{path}` is no cookie path; write `path = \"/\"`, or another of ASCII without `;` and control characters"
            ),
            Self::Domain(domain) => write!(
                f,
                "`{domain}` is no domain; write the host alone, like `domain = \"example.com\"`, without scheme, port and path"
            ),
            Self::DomainEmpty => write!(
                f,
                "an empty domain says nothing; remove `domain`, so that only this host gets the cookie"
            ),
            Self::IdleTooLong(absolute) => write!(
                f,
                "`idle` is longer than `absolute` ({absolute}), so it could never end a session; write a shorter `idle` or a longer `absolute`"
            ),
            Self::AbsoluteTooShort(idle) => write!(
                f,
                "`absolute` is shorter than `idle` ({idle}); write a shorter `idle` too, or a longer `absolute`"
            ),
            Self::TouchTooLong(idle) => write!(
                f,
                "`touch` is longer than `idle` ({idle}), so that reading could never keep a session alive; write a shorter `touch`"
            ),

            // The fields.
            Self::Conflict(conflict) => {
                let Conflict {
                    first,
                    second,
                    reason,
                    remedy,
                } = conflict;
                write!(f, "`{first}` excludes `{second}`: {reason}; {remedy}")
            }
            Self::GroupAlone(group) => write!(
                f,
                "no other field is in the group {group:?}; put `group = {group:?}` on the other fields too, or remove it"
            ),
            Self::GroupEmpty => write!(
                f,
                "a group needs a name; write for example `group = \"address\"`"
            ),
            Self::IdentityTwice(first) => write!(
                f,
                "`{first}` is the identity already; remove one `identity`, or write one `Option` of a type that holds both"
            ),
            Self::NameOfField(name, owner) => write!(
                f,
                "`{name}` is a stored name of the field `{owner}` already; write another name"
            ),
            Self::AliasTwice(name) => {
                write!(
                    f,
                    "this field is read under `{name}` already; remove this `alias`"
                )
            }
            Self::FieldNameEmpty => write!(
                f,
                "a stored name cannot be empty; write for example `rename = \"views\"`"
            ),
            Self::FieldNameReserved(name, '@') => write!(
                f,
                "`{name}` is reserved: `@` begins the names of metadata; write a name without it"
            ),
            Self::FieldNameReserved(name, ':') => write!(
                f,
                "`{name}` is reserved: `:` separates a field from its entries; write a name without it"
            ),
            Self::FieldNameReserved(name, _) => write!(
                f,
                "{name:?} cannot be read by an operator; write a name without control characters"
            ),
        }
    }
}
