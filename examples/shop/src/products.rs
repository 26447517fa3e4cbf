use std::collections::BTreeMap;

use rocket::serde::Serialize;
use rusqlite::{Connection, Result, params};

pub(crate) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS products (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        about TEXT NOT NULL,
        cents INTEGER NOT NULL,
        stock INTEGER NOT NULL CHECK (stock >= 0)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS orders (
        id INTEGER PRIMARY KEY,
        user TEXT NOT NULL REFERENCES users,
        product INTEGER NOT NULL REFERENCES products,
        quantity INTEGER NOT NULL,
        ordered_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
    ) STRICT;
    INSERT OR IGNORE INTO products VALUES
        (1, 'Mug', 'Stoneware, holds a large coffee.', 1800, 40),
        (2, 'Bowl', 'For soup, or for keys.', 2400, 25),
        (3, 'Teapot', 'Pours without a drip.', 5900, 8),
        (4, 'Vase', 'For three flowers, not for thirty.', 3200, 12),
        (5, 'Plate', 'Speckled, and flat to the rim.', 2100, 30),
        (6, 'Jug', 'One litre, one handle.', 3600, 3);
";

#[derive(Serialize)]
#[serde(crate = "rocket::serde")]
pub(crate) struct Product {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) cents: u32,
    pub(crate) stock: u32,
}

pub(crate) fn all(db: &Connection) -> Result<Vec<Product>> {
    let mut select =
        db.prepare("SELECT id, name, about, cents, stock FROM products ORDER BY id")?;
    let products = select.query_map([], |row| {
        Ok(Product {
            id: row.get(0)?,
            name: row.get(1)?,
            about: row.get(2)?,
            cents: row.get(3)?,
            stock: row.get(4)?,
        })
    })?;
    products.collect()
}

pub(crate) fn exists(db: &Connection, id: u32) -> Result<bool> {
    let select = "SELECT EXISTS (SELECT 1 FROM products WHERE id = ?1)";
    db.query_row(select, [id], |row| row.get(0))
}

pub(crate) fn set_stock(db: &Connection, id: u32, stock: u32) -> Result<()> {
    let update = "UPDATE products SET stock = ?2 WHERE id = ?1";
    db.execute(update, [id, stock]).map(drop)
}

/// Orders the whole cart or nothing. `false`: something is out of stock.
pub(crate) fn order(db: &mut Connection, user: &str, cart: &BTreeMap<u32, u32>) -> Result<bool> {
    let order = db.transaction()?;
    for (product, quantity) in cart {
        let update = "UPDATE products SET stock = stock - ?2 WHERE id = ?1 AND stock >= ?2";
        if order.execute(update, [product, quantity])? == 0 {
            return Ok(false); // what was dropped is rolled back
        }
        let insert = "INSERT INTO orders (user, product, quantity) VALUES (?1, ?2, ?3)";
        order.execute(insert, params![user, product, quantity])?;
    }
    order.commit()?;
    Ok(true)
}
