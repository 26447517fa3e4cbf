//! For testing sessions: a manual clock, a store that fails on demand, and the stores' contract as tests that
//! any store can run.

mod clock;
pub mod conformance;
mod faulty;
// Only for the tests of `rocket_typed_session`:
#[doc(hidden)]
pub mod mutations;

// The public interface is:
pub use self::clock::ManualClock;
pub use self::faulty::{Call, Fault, FaultyStore, HeldUp, Moment, Pause, Verb};
