//! Ids in Rocket's paths and forms. The orphan rule keeps these impls in this crate.

use rocket::form::{self, FromFormField, ValueField};
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
