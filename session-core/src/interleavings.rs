//! Small worlds of which every interleaving is tried: what requests, stores, networks, processes,
//! browsers and thieves may do, in every order, within bounds.
//!
//! - [`explore`] tries all interleavings of a world, breadth first.
//! - [`real`] calls the real code with small numbers instead of secrets and instants: the load,
//!   the plan, the update and the memory store are those that an application runs.
//! - [`commit`] is about messages: "one commit: sent once, never late".
//! - [`tokens`] is about cookies: who can open, end and overwrite what.
//! - [`near`] is about copies in a process: how old they may be, and what they may not miss.
//! - [`routes`] is about a cluster: which node is asked, and what is sent again.
//! - [`users`] is about all sessions of a user: which are listed, limited and ended.
//!
//! What the engine and a request do between two awaits is restated here as steps; each names the
//! function that it mirrors. For each rule there is a world without it, and a test that this world
//! breaks a claim. `INTERLEAVINGS=deep` tries larger worlds.

mod commit;
mod explore;
#[cfg(feature = "redis")]
mod near;
mod real;
#[cfg(feature = "redis")]
mod routes;
mod tokens;
mod users;

/// Whether the larger worlds are wanted.
fn is_deep() -> bool {
    std::env::var("INTERLEAVINGS").is_ok_and(|value| value == "deep")
}
