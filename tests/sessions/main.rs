//! What an application and its visitors see of sessions.
#![expect(
    clippy::needless_pass_by_value,
    reason = "Rocket hands guards over by value"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so best by stopping there"
)]

mod admin;
mod app;
mod attacks;
mod cancel;
mod clocks;
mod cluster;
mod commits;
mod conformance;
mod contract;
mod cookies;
mod crowds;
mod csrf;
mod deploy;
mod differential;
mod documents;
mod encrypted;
mod events;
mod everywhere;
mod example;
mod failures;
mod faults;
mod fixation;
mod guards;
mod guide;
mod histories;
mod identity;
#[cfg(feature = "testing")]
mod kit;
mod launch;
mod lifecycle;
mod lifetimes;
mod logs;
mod measure;
mod members;
mod memory;
mod model;
mod near;
mod operation;
mod orders;
mod outage;
mod parents;
mod races;
mod redis;
mod refusals;
mod rename;
mod responses;
mod restarts;
mod rosters;
mod rules;
mod secrets;
mod streams;
mod support;
mod tokens;
mod topologies;
mod traffic;
mod unreadable;
mod unstorable;
mod users;
mod wire;
