//! One opaque error, with predicates for its kinds.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt::{self, Write as _};
use std::sync::Arc;

/// Why a session could not be read or written.
///
/// You can log it: it shows no token, session data, or store's URL. A missing session is a value, never an
/// error. Kinds that a caller can act on have a predicate.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: Kind,
    message: Cow<'static, str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Conflict,
    Csrf,
    Decode,
    Encode,
    Full,
    Gone,
    LoginEnded,
    NoParent,
    Overflow,
    ParentReplaced,
    Refused,
    Store,
    TooLarge,
    Unknown,
    Usage,
}

impl Error {
    /// The store was unreachable, or refused. A write was definitely not done.
    pub fn store(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Store, message)
    }

    /// A write may have been done, or may be done until its deadline.
    pub fn unknown(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Unknown, message)
    }

    /// Another request ended the session or replaced its token.
    #[must_use]
    pub fn gone() -> Self {
        Self::new(
            Kind::Gone,
            "the session was ended or rotated by another request",
        )
    }

    /// Nobody knows which session a logout means.
    #[must_use]
    pub fn refused() -> Self {
        Self::new(
            Kind::Refused,
            "a logout came with cookies that do not say which session to end; send it again",
        )
    }

    /// The request may come from another site. `reason` says what it lacks.
    #[must_use]
    pub fn csrf(reason: &'static str) -> Self {
        Self::new(Kind::Csrf, reason)
    }

    #[must_use]
    pub(crate) fn login_ended() -> Self {
        Self::new(
            Kind::LoginEnded,
            "all sessions of the user were ended while this login was under way; log in again",
        )
    }

    #[must_use]
    pub(crate) fn full() -> Self {
        Self::new(
            Kind::Full,
            "the user has as many sessions as `max_sessions` allows; one of them must end first",
        )
    }

    #[must_use]
    pub(crate) fn no_parent(parent: &str) -> Self {
        let message = format!(
            "the session needs a parent of type `{parent}`, and the visitor has none stored: let the \
             visitor log in there first, and `save` that session if both begin in one request"
        );
        Self::new(Kind::NoParent, message)
    }

    #[must_use]
    pub(crate) fn parent_replaced() -> Self {
        Self::new(
            Kind::ParentReplaced,
            "the parent session has just ended or got another token; send the login again",
        )
    }

    /// Other requests changed what a transaction had read.
    #[must_use]
    pub fn conflict() -> Self {
        Self::new(
            Kind::Conflict,
            "other requests kept changing the session during a transaction",
        )
    }

    /// A field with `on_unreadable = "error"` could not be read.
    #[must_use]
    pub fn decode(field: &str) -> Self {
        let message = format!("{} cannot be read as its declared type", described(field));
        Self::new(Kind::Decode, message)
    }

    /// A field could not be encoded.
    #[must_use]
    pub fn encode(field: &str, source: serde_json::Error) -> Self {
        let message = format!("field `{field}` cannot be encoded as JSON");
        Self::new(Kind::Encode, message).with_source(source)
    }

    /// A field's value could not be read back.
    #[must_use]
    pub fn unstorable(field: &str, reason: &str) -> Self {
        let message = format!("field `{field}` cannot be stored: {reason}");
        Self::new(Kind::Encode, message)
    }

    /// A counter would leave the range of its type.
    #[must_use]
    pub fn overflow(field: &str) -> Self {
        let message = format!("counter `{field}` would leave the range of its type");
        Self::new(Kind::Overflow, message)
    }

    /// Sizes are in bytes.
    #[must_use]
    pub(crate) fn too_large(what: &str, size: usize, limit: usize) -> Self {
        let message = format!(
            "{what} would take {size} bytes, but its limit is {limit}; the old value stays. Store less, \
             or declare a larger `max_size`"
        );
        Self::new(Kind::TooLarge, message)
    }

    /// The application asked for something impossible at this point.
    pub fn usage(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(Arc::new(Inner {
            kind: self.0.kind,
            message: self.0.message.clone(),
            source: Some(source.into()),
        }))
    }

    fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Inner {
            kind,
            message: message.into(),
            source: None,
        }))
    }

    /// Whether the store was unreachable, refusing or too slow. Trying later may help. Also true for an
    /// unknown outcome.
    #[must_use]
    pub fn is_store(&self) -> bool {
        matches!(self.0.kind, Kind::Store | Kind::Unknown)
    }

    /// Whether the outcome of a write is unknown: it was done once or not at all.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.0.kind == Kind::Unknown
    }

    /// Whether another request ended the session or replaced its token.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.kind == Kind::Gone
    }

    /// Whether a login was refused because the user has as many sessions as allowed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.kind == Kind::Full
    }

    /// Whether a logout was refused because its cookies do not say which session to end; or a login, because
    /// all the user's sessions were ended meanwhile, or its parent's token was just replaced.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(
            self.0.kind,
            Kind::LoginEnded | Kind::ParentReplaced | Kind::Refused
        )
    }

    pub(crate) fn is_parent_replaced(&self) -> bool {
        self.0.kind == Kind::ParentReplaced
    }

    pub(crate) fn is_login_ended(&self) -> bool {
        self.0.kind == Kind::LoginEnded
    }

    /// Whether a session could not begin because the visitor has no session of its `parent` type.
    #[must_use]
    pub fn is_without_parent(&self) -> bool {
        self.0.kind == Kind::NoParent
    }

    /// Whether other requests changed the session during each try of a transaction.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.0.kind == Kind::Conflict
    }

    /// Whether the request was refused because it may come from another site.
    #[must_use]
    pub fn is_csrf(&self) -> bool {
        self.0.kind == Kind::Csrf
    }

    /// Whether a field with `on_unreadable = "error"` could not be read.
    #[must_use]
    pub fn is_decode(&self) -> bool {
        self.0.kind == Kind::Decode
    }

    /// Whether a field's value cannot be written as JSON or read back.
    #[must_use]
    pub fn is_encode(&self) -> bool {
        self.0.kind == Kind::Encode
    }

    /// Whether a field or the session would exceed its `max_size`.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.0.kind == Kind::TooLarge
    }

    /// Whether a counter would leave the range of its type. Nothing was written.
    #[must_use]
    pub fn is_overflow(&self) -> bool {
        self.0.kind == Kind::Overflow
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = OneLine(f);
        line.write_str(&self.0.message)?;
        match &self.0.source {
            Some(source) => write!(line, ": {source}"),
            None => Ok(()),
        }
    }
}

/// Escapes control characters: a server's text could begin another line of a log.
struct OneLine<'f, 'b>(&'f mut fmt::Formatter<'b>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(char::is_control) {
            match part.char_indices().next_back() {
                Some((at, last)) if last.is_control() => {
                    self.0.write_str(&part[..at])?;
                    write!(self.0, "{}", last.escape_default())?;
                }
                _ => self.0.write_str(part)?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({self})", self.0.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.0.source.as_deref()?;
        Some(source)
    }
}

/// The part after a colon is the key of an entry: data.
pub(crate) fn described(stored: &str) -> String {
    match stored.split_once(':') {
        Some((field, _)) => format!("an entry of `{field}`"),
        None => format!("field `{stored}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_whatever_a_server_says() {
        let error = Error::store("it said\u{7}").with_source("no\r\nERROR: lies\n\u{1b}[31m, é");
        assert_eq!(
            error.to_string(),
            "it said\\u{7}: no\\r\\nERROR: lies\\n\\u{1b}[31m, é"
        );
    }

    #[test]
    fn the_key_of_an_entry_is_not_told() {
        assert_eq!(described("cart:tea:a"), "an entry of `cart`");
        assert_eq!(described("cart"), "field `cart`");
    }
}
