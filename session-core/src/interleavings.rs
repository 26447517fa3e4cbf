//! Exhaustive models: what requests, stores, networks, processes, browsers and thieves may do, in every
//! order, within bounds.
//!
//! - [`explore`] searches a world, breadth first.
//! - [`real`] calls the real load, plan, update and memory store, with small numbers instead of secrets and
//!   instants.
//! - [`commit`] is about messages: "one commit: sent once, never late".
//! - [`tokens`] is about cookies: who can open, end and overwrite what.
//! - [`near`] is about copies in a process: how old they may be, and what they may not miss.
//! - [`routes`] is about a cluster: which node is asked, and what is sent again.
//! - [`users`] is about all sessions of a user: which are listed, limited and ended.
//!
//! The steps restate what the engine and a request do between two awaits; each names the function that it
//! mirrors. The `Claim` constants say what must hold. Each `Mutant` leaves out one rule, and a test expects
//! that this breaks a claim. `INTERLEAVINGS=deep` tries larger worlds.

mod commit;
mod explore;
#[cfg(feature = "redis")]
mod near;
mod real;
#[cfg(feature = "redis")]
mod routes;
mod tokens;
mod users;

fn is_deep() -> bool {
    std::env::var("INTERLEAVINGS").is_ok_and(|value| value == "deep")
}
