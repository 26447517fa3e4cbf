use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;
use crate::field::codec::{accessor, entries};
use crate::options::Options;

#[derive(Default)]
struct Visit {
    views: u64,
    look: Option<Look>,
    cart: BTreeMap<String, Item>,
    tags: Vec<Option<String>>,
}

#[derive(Deserialize, Serialize)]
enum Look {
    Dark,
    Own { color: String, size: Option<u8> },
    Number(u32),
}

#[derive(Deserialize, Serialize)]
struct Item(u32);

const SCHEMA: &Schema<Visit> = &Schema::new(
    "visit",
    Options::new(),
    &[
        Field::new(
            "views",
            "u64",
            &const { accessor::<u64, Visit>(|v| &v.views, |v| &mut v.views) },
        )
        .counter::<u64>(),
        Field::new(
            "look",
            "Option<Look>",
            &const { accessor::<Option<Look>, Visit>(|v| &v.look, |v| &mut v.look) },
        )
        .aliases(&["theme"]),
        Field::new(
            "cart",
            "BTreeMap<String, Item>",
            &const { entries::<BTreeMap<String, Item>, Visit>(|v| &v.cart, |v| &mut v.cart) },
        ),
        Field::new(
            "tags",
            "Vec<Option<String>>",
            &const { accessor::<Vec<Option<String>>, Visit>(|v| &v.tags, |v| &mut v.tags) },
        )
        .encrypted(),
    ],
);

fn looks(look: Look) -> Visit {
    Visit {
        look: Some(look),
        ..Visit::default()
    }
}

#[test]
fn without_samples_only_the_default_has_a_shape() {
    assert_eq!(
        SCHEMA.layout(&[]),
        "views: u64 = number, counter\n\
         look: Option<Look> = null, alias theme\n\
         cart: BTreeMap<String,Item>, entries\n\
         tags: Vec<Option<String>> = [], encrypted"
    );
}

#[test]
fn samples_show_what_maps_options_and_variants_hold() {
    let samples = [
        looks(Look::Own {
            color: "red".into(),
            size: Some(1),
        }),
        looks(Look::Number(1)),
        looks(Look::Dark),
        Visit {
            cart: BTreeMap::from([("tea".into(), Item(1)), ("milk".into(), Item(2))]),
            tags: vec![None, Some("a".into())],
            ..Visit::default()
        },
    ];
    let layout = SCHEMA.layout(&samples);
    assert_eq!(
        layout,
        "views: u64 = number, counter\n\
         look: Option<Look> = null | string | \
         {Number?: number, Own?: {color: string, size: number}}, alias theme\n\
         cart: BTreeMap<String,Item> = {number}, entries\n\
         tags: Vec<Option<String>> = [null | string], encrypted"
    );
    let mut reversed = samples;
    reversed.reverse();
    assert_eq!(SCHEMA.layout(&reversed), layout);
}

#[test]
fn a_changed_shape_is_told() {
    let pinned = "
        look: Option<Look> = null, alias theme
        views: u64 = number, counter
        cart: BTreeMap<String,Item>, entries
        tags: Vec<Option<String>> = [], encrypted
    ";
    assert_eq!(SCHEMA.compare_layout(&[], pinned), Ok(()));
    let advice = SCHEMA.compare_layout(&[looks(Look::Dark)], pinned);
    let advice = advice.unwrap_err();
    assert!(advice.contains("= null | string, alias theme"), "{advice}");
    assert!(advice.contains("migrate"), "{advice}");
    assert_eq!(advice.matches("\n- ").count(), 1, "{advice}");
}

#[test]
fn a_field_that_becomes_encrypted_has_advice_of_its_own() {
    let plain = SCHEMA.layout(&[]).replace(ENCRYPTED, "");
    let advice = SCHEMA.compare_layout(&[], &plain).unwrap_err();
    assert!(
        advice.contains("is not read") && advice.contains("copy the value"),
        "{advice}"
    );
    assert!(!advice.contains("migrate"), "{advice}");
}
