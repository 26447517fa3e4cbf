//! What `#[session]` generates.

mod lints;
mod once;
mod options;
mod schema;
