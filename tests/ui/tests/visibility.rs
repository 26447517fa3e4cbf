#![deny(warnings, missing_docs, unreachable_pub, private_interfaces)]

//! What may see a session may see its fairing.

mod outer {
    pub(crate) mod inner {
        #[rocket_typed_session::session]
        pub(crate) struct OfTheCrate {
            pub(crate) views: u64,
        }

        #[rocket_typed_session::session(guard(Reader = has_views))]
        pub(super) struct OfTheParent {
            pub(super) views: u64,
            #[session(identity, guard = Member)]
            pub(super) user: Option<u64>,
            #[session(once)]
            pub(super) challenge: Option<u8>,
        }

        fn has_views(of_the_parent: &OfTheParent) -> bool {
            of_the_parent.views > 0
        }

        #[rocket_typed_session::session]
        pub(in crate::outer) struct OfAPath {
            pub(in crate::outer) views: u64,
        }

        #[rocket_typed_session::session]
        struct Private {
            views: u64,
        }

        pub(crate) fn private() {
            let _fairing = Private::fairing();
        }
    }

    pub(crate) fn seen_from_the_parent() {
        let _take = inner::OfTheParent::take_challenge;
        let _guards = (inner::Member::session, inner::Reader::into_session);
        let _fairings = (inner::OfTheParent::fairing(), inner::OfAPath::fairing());
        let _csrf = (inner::OfTheParent::csrf(), inner::OfAPath::csrf());
    }
}

/// Seen by everyone.
#[rocket_typed_session::session]
pub struct Public {
    /// Counted.
    pub views: u64,
    #[session(once)]
    of_a_type_that_others_cannot_see: Option<Hidden>,
}

#[derive(serde::Deserialize, serde::Serialize)]
struct Hidden;

#[test]
fn a_session_is_as_visible_as_its_struct() {
    let _fairings = (Public::fairing(), outer::inner::OfTheCrate::fairing());
    outer::inner::private();
    outer::seen_from_the_parent();
}
