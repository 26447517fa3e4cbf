//! For tests of sessions: a clock that they move, a store that fails on demand, and the contract of
//! stores, as tests that every store can run.

mod clock;
pub mod conformance;
mod faulty;
// For the tests of `rocket_typed_session` alone:
#[doc(hidden)]
pub mod mutations;

// The public interface is:
pub use self::clock::ManualClock;
pub use self::faulty::{Call, Fault, FaultyStore, HeldUp, Moment, Pause, Verb};
