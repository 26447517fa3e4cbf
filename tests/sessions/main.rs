//! What an application and its visitors see of sessions, grouped by the README's guarantees; SECURITY.md has
//! the same table.
#![expect(
    clippy::needless_pass_by_value,
    reason = "Rocket hands guards over by value"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so best by stopping there"
)]

mod app;
mod site;
mod support;

// 1. Concurrent requests do not lose each other's changes.
mod crowds;
mod guards;
mod histories;
mod model;
mod orders;
mod races;
mod rules;
mod streams;

// 2. A logout is final.
mod cancel;
mod commits;
mod everywhere;
mod faults;
mod lifecycle;
mod parents;

// 3. A login changes the token.
mod fixation;
mod identity;
mod tokens;

// 4. Store calls are few.
mod cluster;
mod measure;
mod redis;
mod traffic;

// 5. A deploy keeps what it can read.
mod deploy;
mod rename;
mod unreadable;

// 6. An outage looks like an outage.
mod failures;
mod launch;
mod operation;
mod outage;
mod refusals;
mod restarts;
mod topologies;
mod unstorable;
mod wire;

// 7. A copy of the store opens no session.
mod encrypted;
mod secrets;

// 8. All stores behave the same.
mod conformance;
mod differential;
mod memory;
mod rosters;

// 9. One user's session never becomes another's.
mod members;
mod users;

// 10. The clocks of your machines do not matter.
mod clocks;
mod lifetimes;

// 11. A thief cannot keep the user out.
mod attacks;

// 12. With a near cache, a GET may miss what another process stored within the time that you allow, and nothing older.
mod near;

// What a response says, and what a request must say.
mod cookies;
mod csrf;
mod responses;

// What operators and developers see.
mod admin;
mod contract;
mod documents;
mod events;
mod example;
mod guide;
#[cfg(feature = "testing")]
mod kit;
mod logs;
