//! What a session type declares about lifetimes and cookie.

use std::time::Duration;

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
