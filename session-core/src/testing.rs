//! For tests of sessions: a clock that they move, a store that fails on demand, and the contract of
//! stores, as tests that every store can run.

mod clock;
pub mod conformance;
mod faulty;

// The public interface is:
pub use self::clock::ManualClock;
pub use self::faulty::{Call, Fault, FaultyStore, HeldUp, Moment, Pause, Verb};
