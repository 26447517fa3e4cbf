//! Tools for tests of sessions.
#![allow(
    dead_code,
    reason = "a box of tools: with some features, or some tests left out, not each is used"
)]

pub(crate) mod clock;
pub(crate) mod cluster;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod log;
pub(crate) mod lossy;
pub(crate) mod near;
pub(crate) mod own;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod redis;
pub(crate) mod secrets;
pub(crate) mod sentinel;
pub(crate) mod servers;
pub(crate) mod tls;
