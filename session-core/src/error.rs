//! One opaque error: what went wrong in words, its kind by predicates, its cause by `source()`.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// Why a session could not be read or written.
///
/// Neither its `Display` nor its `Debug` contains a token, session data, or a store's URL, so it
/// can be logged as it is. "There is no such session" is a value, never an error.
///
/// # Introspection is limited
///
/// The kinds that a caller can act on have a predicate; all others are for the log.
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
    Decode,
    Encode,
    Gone,
    Overflow,
    Store,
    Timeout,
    Usage,
}

impl Error {
    /// The store could not be reached, refused, or answered what cannot be understood.
    pub fn store(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Store, message)
    }

    /// The store did not answer before the deadline: whether it did the work is unknown.
    pub fn timeout(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Timeout, message)
    }

    /// The session was ended, or its token rotated, while this request was under way.
    #[must_use]
    pub fn gone() -> Self {
        Self::new(
            Kind::Gone,
            "the session was ended or rotated by another request",
        )
    }

    /// What was read had been changed by another request before it could be written.
    #[must_use]
    pub fn conflict() -> Self {
        Self::new(
            Kind::Conflict,
            "other requests changed the session again and again while it was to be changed",
        )
    }

    /// A field that is declared with `on_error = "error"` could not be read.
    #[must_use]
    pub fn decode(field: &str) -> Self {
        let message = format!("field `{field}` cannot be read as what it is declared");
        Self::new(Kind::Decode, message)
    }

    /// A field could not be encoded.
    #[must_use]
    pub fn encode(field: &str, source: serde_json::Error) -> Self {
        let message = format!("field `{field}` cannot be encoded as JSON");
        Self::new(Kind::Encode, message).with_source(source)
    }

    /// A counter would leave the range of its type.
    #[must_use]
    pub fn overflow(field: &str) -> Self {
        let message = format!("counter `{field}` would leave the range of its type");
        Self::new(Kind::Overflow, message)
    }

    /// The application asked for what cannot be done at this point.
    pub fn usage(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// The same error with the error that caused it.
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

    /// Whether the store is to blame: unreachable, refusing, or too slow. Trying later may help.
    #[must_use]
    pub fn is_store(&self) -> bool {
        matches!(self.0.kind, Kind::Store | Kind::Timeout)
    }

    /// Whether the store did not answer in time, so that a write may or may not have happened.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.0.kind == Kind::Timeout
    }

    /// Whether the session was ended, or its token rotated, by another request in the meantime.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.kind == Kind::Gone
    }

    /// Whether other requests changed the session each time a transaction was tried.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.0.kind == Kind::Conflict
    }

    /// Whether a field that is declared with `on_error = "error"` could not be read.
    #[must_use]
    pub fn is_decode(&self) -> bool {
        self.0.kind == Kind::Decode
    }

    /// Whether a field's `Serialize` failed.
    #[must_use]
    pub fn is_encode(&self) -> bool {
        self.0.kind == Kind::Encode
    }

    /// Whether a counter would have left the range of its type. Nothing was written.
    #[must_use]
    pub fn is_overflow(&self) -> bool {
        self.0.kind == Kind::Overflow
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match &self.0.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
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
