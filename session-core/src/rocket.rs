//! What of Rocket only the crate of a type can implement: ids in paths and forms.

use rocket::form::{self, FromFormField, ValueField};
use rocket::request::FromParam;

use crate::token::{InvalidSessionId, SessionId};

/// `/devices/<id>`: anything else than an id forwards.
impl FromParam<'_> for SessionId {
    type Error = InvalidSessionId;

    fn from_param(param: &str) -> Result<Self, InvalidSessionId> {
        param.parse()
    }
}

/// A field of a form, or a query parameter.
impl<'v> FromFormField<'v> for SessionId {
    fn from_value(field: ValueField<'v>) -> form::Result<'v, Self> {
        let id = field.value.parse();
        id.map_err(|invalid: InvalidSessionId| form::Error::custom(invalid).into())
    }
}
