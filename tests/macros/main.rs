//! What `#[session]` declares is what the schema says.

mod lints;
mod once;
mod options;
mod schema;
