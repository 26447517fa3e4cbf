use std::collections::BTreeMap;

use rocket_typed_session::session;

/// As in the servers of `benches/run`.
#[session]
pub(crate) struct Visit {
    #[session(counter)]
    pub(crate) views: u64,
    #[session(identity)]
    pub(crate) user: Option<String>,
    pub(crate) theme: String,
    pub(crate) language: String,
    pub(crate) region: String,
    pub(crate) last_page: String,
    pub(crate) greeting: String,
}

#[session(name = "shop", cookie = "shop")]
pub(crate) struct Shop {
    #[session(entries)]
    pub(crate) cart: BTreeMap<String, String>,
}

pub(crate) const ENTRIES: usize = 1_000;

pub(crate) fn visit() -> Visit {
    Visit {
        views: 41,
        user: Some("user-0".into()),
        theme: "dark".into(),
        language: "en-GB".into(),
        region: "europe-west".into(),
        last_page: "/products/tea/green".into(),
        greeting: "Welcome back to the shop".into(),
    }
}

pub(crate) fn shop() -> Shop {
    let items = (0..ENTRIES).map(|item| (format!("item-{item}"), "sixteen letters.".into()));
    Shop {
        cart: items.collect(),
    }
}
