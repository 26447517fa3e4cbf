//! The cart, which several tabs may change at once, and the order.

use std::convert::Infallible;
use std::mem;

use minijinja::context;
use minijinja::value::Serde;
use rocket::form::Form;
use rocket::http::Accept;
use rocket::response::Redirect;
use rocket::serde::json::{Value, json};
use rocket::{Either, FromForm, Route, State, get, post, routes};
use rocket_typed_session::Session;

use crate::database::Database;
use crate::failure::Failure;
use crate::page::{Html, Page, items};
use crate::products;
use crate::visit::{Member, Visit};

pub(crate) fn routes() -> Vec<Route> {
    routes![show, add, set, order]
}

/// Of one product.
pub(crate) const MOST: u32 = 20;

#[get("/")]
async fn show(page: Page, database: &State<Database>) -> Result<Html, Failure> {
    let mut products = database.call(|db| products::all(db)).await?;
    products.retain(|product| page.visit.cart.contains_key(&product.id));
    let quantity = |id| page.visit.cart.get(&id).copied().unwrap_or_default();
    let total: u32 = products
        .iter()
        .map(|product| product.cents * quantity(product.id))
        .sum();
    let rows: Vec<_> = products
        .into_iter()
        .map(|product| context! { quantity => quantity(product.id), product => Serde(product) })
        .collect();
    page.show("cart.html", context! { rows, total, most => MOST })
        .await
}

#[derive(FromForm)]
struct Add {
    product: u32,
}

/// Adds one piece. The result depends on the quantity, so this is a transaction: concurrent clicks add up. A
/// script gets JSON, a form the page.
#[post("/add", data = "<add>")]
async fn add(
    add: Form<Add>,
    mut visit: Session<Visit>,
    accept: Option<&Accept>,
    database: &State<Database>,
) -> Result<Either<Value, Redirect>, Failure> {
    let product = add.product;
    if database
        .call(move |db| products::exists(db, product))
        .await?
    {
        let one_more = |visit: &mut Visit| -> Result<(), Infallible> {
            let quantity = visit.cart.entry(product).or_default();
            *quantity = MOST.min(*quantity + 1);
            Ok(())
        };
        visit.transact(one_more).await?;
    }
    match accept.is_some_and(|accept| accept.preferred().is_json()) {
        true => Ok(Either::Left(json!({ "items": items(&visit) }))),
        false => Ok(Either::Right(Redirect::to("/"))),
    }
}

#[derive(FromForm)]
struct Set {
    product: u32,
    quantity: u32,
}

/// Sets a quantity. That needs no transaction: tabs that set different products keep both.
#[post("/set", data = "<set>")]
fn set(set: Form<Set>, mut visit: Session<Visit>) -> Redirect {
    match set.quantity {
        0 => {
            visit.cart.remove(&set.product);
        }
        // Only `add` puts in new products: it checks that they exist.
        quantity => {
            if let Some(stored) = visit.cart.get_mut(&set.product) {
                *stored = MOST.min(quantity);
            }
        }
    }
    Redirect::to("/cart")
}

/// The transaction empties the cart, so only one of two concurrent orders gets it.
#[post("/order")]
async fn order(
    member: Member,
    mut visit: Session<Visit>,
    database: &State<Database>,
) -> Result<Redirect, Failure> {
    let take = |visit: &mut Visit| Ok::<_, Infallible>(mem::take(&mut visit.cart));
    let cart = visit.transact(take).await?;
    if cart.is_empty() {
        return Ok(Redirect::to("/cart"));
    }
    let (user, wanted) = (member.clone(), cart.clone());
    let ordered = database
        .call(move |db| products::order(db, &user, &wanted))
        .await;
    if let Ok(true) = ordered {
        visit.notice = Some("Thank you for your order.".into());
        return Ok(Redirect::to("/"));
    }
    // Puts the cart back and stores it now, because after a 5xx nothing more is stored. Another tab may have
    // added something.
    let put_back = |visit: &mut Visit| {
        for (product, quantity) in &cart {
            *visit.cart.entry(*product).or_default() += quantity;
        }
        Ok::<_, Infallible>(())
    };
    visit.transact(put_back).await?;
    ordered?;
    visit.notice = Some("We do not have that many any more.".into());
    Ok(Redirect::to("/cart"))
}
