use rusqlite::{Connection, OptionalExtension as _, Result, Row};

/// Ids are random and never reused: a session refers to one, and may outlive the account.
pub(crate) const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS users (
        id TEXT PRIMARY KEY DEFAULT (lower(hex(randomblob(16)))),
        name TEXT NOT NULL UNIQUE COLLATE NOCASE,
        password TEXT NOT NULL,
        is_staff INTEGER NOT NULL DEFAULT FALSE
    ) STRICT;
";

pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) name: String,
    /// The hash.
    pub(crate) password: String,
}

/// `None` if the name is taken.
pub(crate) fn add(db: &Connection, name: &str, password: &str) -> Result<Option<User>> {
    let insert = "INSERT INTO users (name, password) VALUES (?1, ?2)
        ON CONFLICT DO NOTHING RETURNING id, name, password";
    db.query_row(insert, [name, password], user).optional()
}

pub(crate) fn add_staff(db: &Connection, name: &str, password: &str) -> Result<()> {
    let insert = "INSERT INTO users (name, password, is_staff) VALUES (?1, ?2, TRUE)";
    db.execute(insert, [name, password]).map(drop)
}

pub(crate) fn with_name(db: &Connection, name: &str) -> Result<Option<User>> {
    let select = "SELECT id, name, password FROM users WHERE name = ?1";
    db.query_row(select, [name], user).optional()
}

pub(crate) fn with_id(db: &Connection, id: &str) -> Result<Option<User>> {
    let select = "SELECT id, name, password FROM users WHERE id = ?1";
    db.query_row(select, [id], user).optional()
}

pub(crate) fn all(db: &Connection) -> Result<Vec<User>> {
    let mut select = db.prepare("SELECT id, name, password FROM users ORDER BY name")?;
    select.query_map([], user)?.collect()
}

pub(crate) fn is_staff(db: &Connection, id: &str) -> Result<bool> {
    let select = "SELECT EXISTS (SELECT 1 FROM users WHERE id = ?1 AND is_staff)";
    db.query_row(select, [id], |row| row.get(0))
}

pub(crate) fn has_staff(db: &Connection) -> Result<bool> {
    let select = "SELECT EXISTS (SELECT 1 FROM users WHERE is_staff)";
    db.query_row(select, [], |row| row.get(0))
}

fn user(row: &Row<'_>) -> Result<User> {
    Ok(User {
        id: row.get(0)?,
        name: row.get(1)?,
        password: row.get(2)?,
    })
}
