//! What `#[session]` declares is what the schema says.

mod lints;
mod schema;
