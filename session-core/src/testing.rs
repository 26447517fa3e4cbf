//! For testing sessions: a manual clock, a store that fails on demand, and the contract of stores as tests
//! for any store.

mod clock;
pub mod conformance;
mod faulty;
// For the tests of `rocket_typed_session`:
#[doc(hidden)]
pub mod mutations;

pub use self::clock::ManualClock;
pub use self::faulty::{Call, Fault, FaultyStore, HeldUp, Moment, Pause, Verb};
