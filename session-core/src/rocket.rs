//! Ids in Rocket's paths, forms and `uri!`. The orphan rule keeps these impls in this crate.

use std::fmt;

use rocket::form::{self, FromFormField, ValueField};
use rocket::http::impl_from_uri_param_identity;
use rocket::http::uri::fmt::{Formatter, Part, UriDisplay};
use rocket::request::FromParam;

use crate::token::{InvalidSessionId, SessionId};

/// `/devices/<id>`: forwards if it is not an id.
impl FromParam<'_> for SessionId {
    type Error = InvalidSessionId;

    fn from_param(param: &str) -> Result<Self, InvalidSessionId> {
        param.parse()
    }
}

/// A form field or a query parameter.
impl<'v> FromFormField<'v> for SessionId {
    fn from_value(field: ValueField<'v>) -> form::Result<'v, Self> {
        let id = field.value.parse();
        id.map_err(|invalid: InvalidSessionId| form::Error::custom(invalid).into())
    }
}

/// `uri!(end(session.id))`.
impl<P: Part> UriDisplay<P> for SessionId {
    fn fmt(&self, f: &mut Formatter<'_, P>) -> fmt::Result {
        f.write_value(self.to_string())
    }
}

impl_from_uri_param_identity!(SessionId);
