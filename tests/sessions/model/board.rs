//! A session with one field for each way to merge.

use std::collections::BTreeMap;

use rocket_typed_session::session;

#[session(idle = "30m", absolute = "12h", touch = "3m", cookie = "board")]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Board {
    #[session(counter)]
    pub(crate) count: i64,
    #[session(max)]
    pub(crate) best: u64,
    #[session(entries)]
    pub(crate) marks: BTreeMap<String, u64>,
    #[session(once)]
    pub(crate) flash: Option<u64>,
    #[session(identity)]
    pub(crate) user: Option<u8>,
    pub(crate) note: u64,
    pub(crate) theme: u64,
}
