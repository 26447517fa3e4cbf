//! The cart: a map with separately stored entries.

use rocket::form::{Form, FromForm};
use rocket::http::Status;
use rocket::response::Redirect;
use rocket::response::content::RawHtml;
use rocket::{get, post, uri};
use rocket_typed_session::Session;

use crate::{LONGEST_NAME, Visit, page};

/// A cart fills the store, so it has a limit. Concurrent requests may slightly exceed it.
pub(crate) const MOST_ITEMS: usize = 1_000;
pub(crate) const MOST_OF_AN_ITEM: u32 = 99;

#[get("/")]
pub(crate) fn show(visit: Session<Visit>) -> RawHtml<String> {
    page::cart(&visit, None)
}

#[derive(FromForm)]
pub(crate) struct Put<'r> {
    #[field(default = "")]
    item: &'r str,
    #[field(default = "1")]
    quantity: &'r str,
}

/// Sets a quantity, so a repeated request changes nothing.
#[post("/", data = "<form>")]
pub(crate) fn put(
    mut visit: Session<Visit>,
    form: Form<Put<'_>>,
) -> Result<Redirect, (Status, RawHtml<String>)> {
    match accepted(&visit, &form) {
        Ok((item, quantity)) => {
            visit.cart.insert(item.into(), quantity);
            Ok(Redirect::to(uri!("/cart", show)))
        }
        Err((field, reason)) => {
            let refused = page::Refused {
                item: form.item,
                quantity: form.quantity,
                field,
                reason,
            };
            let page = page::cart(&visit, Some(refused));
            Err((Status::UnprocessableEntity, page))
        }
    }
}

#[derive(FromForm)]
pub(crate) struct Remove<'r> {
    #[field(default = "")]
    item: &'r str,
}

#[post("/remove", data = "<form>")]
pub(crate) fn remove(mut visit: Session<Visit>, form: Form<Remove<'_>>) -> Redirect {
    visit.cart.remove(form.item);
    Redirect::to(uri!("/cart", show))
}

/// The item and its quantity, or the refused field and the reason.
fn accepted<'f>(visit: &Visit, form: &Put<'f>) -> Result<(&'f str, u32), (&'static str, String)> {
    let item = form.item.trim();
    if !(1..=LONGEST_NAME).contains(&item.chars().count()) {
        let reason = format!("An item takes 1 to {LONGEST_NAME} characters.");
        return Err(("item", reason));
    }
    if visit.cart.len() >= MOST_ITEMS && !visit.cart.contains_key(item) {
        let reason = format!("The cart is full: it takes {MOST_ITEMS} items.");
        return Err(("item", reason));
    }
    match form.quantity.trim().parse() {
        Ok(quantity) if (1..=MOST_OF_AN_ITEM).contains(&quantity) => Ok((item, quantity)),
        _ => Err(("quantity", format!("A quantity is 1 to {MOST_OF_AN_ITEM}."))),
    }
}
