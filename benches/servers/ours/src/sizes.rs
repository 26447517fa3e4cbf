//! Sessions of other sizes: `FIELDS=5`, `FIELDS=50`, or `ENTRIES=1000` in the environment. Only one each,
//! because every attached type costs a little in each request.

use std::collections::BTreeMap;
use std::env;

use rocket::{Build, Rocket, get, routes};
use rocket_typed_session::{Session, session};

/// `None` if the environment sets no size.
pub(crate) fn rocket() -> Option<Rocket<Build>> {
    let fields = env::var("FIELDS").ok();
    Some(match fields.as_deref() {
        Some("5") => five::rocket(),
        Some("50") => fifty::rocket(),
        Some(fields) => panic!("no session has {fields} fields"),
        None => entries::rocket(env::var("ENTRIES").ok()?.parse().expect("a number")),
    })
}

/// A session of four fields and these.
macro_rules! fields {
    ($($more:ident)*) => {
        use rocket::{Build, Rocket, get, routes};
        use rocket_typed_session::{Session, session};

        #[session]
        struct Visit {
            #[session(counter)]
            views: u64,
            #[session(identity)]
            user: Option<String>,
            theme: String,
            last_page: String,
            $($more: String,)*
        }

        #[get("/read")]
        fn read(visit: Session<Visit>) -> String {
            let user = visit.user.as_deref().unwrap_or("nobody");
            format!("views={} user={user} theme={}", visit.views, visit.theme)
        }

        #[get("/set?<to>")]
        fn set(mut visit: Session<Visit>, to: String) -> &'static str {
            visit.last_page = to;
            "set"
        }

        #[get("/login?<user>")]
        fn login(mut visit: Session<Visit>, user: String) -> &'static str {
            visit.log_in(user);
            visit.views = 1;
            visit.theme = "dark".into();
            visit.last_page = "/products/tea/green".into();
            $(visit.$more = super::VALUE.into();)*
            "in"
        }

        pub(super) fn rocket() -> Rocket<Build> {
            let routes = routes![crate::bare, read, set, login];
            rocket::build().attach(Visit::fairing()).mount("/", routes)
        }
    };
}

const VALUE: &str = "sixteen letters.";

mod five {
    fields!(language);
}

mod fifty {
    fields! {
        language
        field_06 field_07 field_08 field_09 field_10 field_11 field_12 field_13 field_14
        field_15 field_16 field_17 field_18 field_19 field_20 field_21 field_22 field_23
        field_24 field_25 field_26 field_27 field_28 field_29 field_30 field_31 field_32
        field_33 field_34 field_35 field_36 field_37 field_38 field_39 field_40 field_41
        field_42 field_43 field_44 field_45 field_46 field_47 field_48 field_49 field_50
    }
}

mod entries {
    use rocket::State;

    use super::*;

    #[session]
    struct Shop {
        #[session(identity)]
        user: Option<String>,
        #[session(entries)]
        cart: BTreeMap<String, String>,
    }

    struct Entries(usize);

    #[get("/read")]
    fn read(shop: Session<Shop>) -> String {
        let user = shop.user.as_deref().unwrap_or("nobody");
        format!("user={user} entries={}", shop.cart.len())
    }

    #[get("/set?<to>")]
    fn set(mut shop: Session<Shop>, to: String) -> &'static str {
        shop.cart.insert("item-0".into(), to);
        "set"
    }

    #[get("/login?<user>")]
    fn login(mut shop: Session<Shop>, user: String, entries: &State<Entries>) -> &'static str {
        shop.log_in(user);
        let items = (0..entries.0).map(|item| (format!("item-{item}"), VALUE.into()));
        shop.cart = items.collect();
        "in"
    }

    pub(super) fn rocket(entries: usize) -> Rocket<Build> {
        let routes = routes![crate::bare, read, set, login];
        let rocket = rocket::build().manage(Entries(entries));
        rocket.attach(Shop::fairing()).mount("/", routes)
    }
}
