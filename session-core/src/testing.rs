//! What tests of sessions need: a clock that they move, and the contract of stores as tests that
//! every store can run.

mod clock;
pub mod conformance;

// The public interface is:
pub use self::clock::ManualClock;
