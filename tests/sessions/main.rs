//! What an application and its visitors see of sessions.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so best by stopping there"
)]

mod example;
mod support;
