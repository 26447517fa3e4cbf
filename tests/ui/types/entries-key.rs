use std::collections::{BTreeMap, HashMap};

use rocket_typed_session::session;

#[derive(Eq, Hash, Ord, PartialEq, PartialOrd)]
struct Article(u64);

#[session]
struct Visit {
    #[session(entries)]
    cart: BTreeMap<Article, u32>,
}

#[session]
struct Shop {
    #[session(entries)]
    seen: HashMap<Vec<u8>, u32>,
}

fn main() {}
