#![deny(warnings)]

use rocket_typed_session::{SessionData, session};

#[session]
#[derive(Clone)]
struct Empty {}

#[session]
struct WithAWhereClause
where
    u64: Copy,
{
    views: [u64; {
        let borrowed = &1;
        *borrowed
    }],
}

#[derive(Default, serde::Deserialize, serde::Serialize)]
struct Tree {
    branches: Vec<Tree>,
}

#[session]
#[derive(serde::Deserialize, serde::Serialize)]
struct Recursive {
    #[session(skip)]
    before: Option<Box<Self>>,
    #[session(once)]
    after: Option<Box<Self>>,
    #[session(migrate = Self::grow)]
    tree: Tree,
}

impl Recursive {
    fn grow(_: &str) -> Option<Tree> {
        None
    }
}

#[session]
#[deprecated]
pub struct Old {
    #[deprecated]
    pub views: u64,
    #[deprecated]
    #[session(once)]
    pub challenge: Option<u64>,
}

#[rustfmt::skip]
#[session(idle = r"30m", cookie = r#"id"#, secure = true,)]
struct Commas {
    #[session(default = Vec::<(u8, u8)>::new(), alias = "old",)]
    pairs: Vec<(u8, u8)>,
    #[session(skip, default = std::time::Instant::now())]
    started: std::time::Instant,
    #[session(default = if true { 1 } else { 2 })]
    #[session()]
    views: u64,
}

macro_rules! declare {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$of_field:meta])* $field:ident: $ty:ty),* }) => {
        #[session]
        $(#[$meta])*
        $vis struct $name {
            $($(#[$of_field])* $field: $ty),*
        }
    };
}

declare! {
    /// By a macro.
    #[derive(Debug)]
    pub struct ByAMacro {
        #[session(counter)]
        views: u64,
        #[session(identity)]
        user: Option<String>
    }
}

#[test]
fn unusual_structs_are_sessions() {
    let _empty = Empty::SCHEMA.defaults().clone();
    assert_eq!(WithAWhereClause::SCHEMA.defaults().views, [0]);
    let recursive = Recursive::SCHEMA.defaults();
    assert!(recursive.before.is_none() && recursive.tree.branches.is_empty());
    let commas = Commas::SCHEMA.defaults();
    assert!(commas.pairs.is_empty() && commas.started <= std::time::Instant::now());
    assert_eq!(commas.views, 1);
    let names = format!("{:?}", ByAMacro::SCHEMA.wanted());
    assert_eq!(names, r#"Fields(["user", "views"])"#);
}
