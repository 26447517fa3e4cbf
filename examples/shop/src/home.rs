use minijinja::context;
use minijinja::value::Serde;
use rocket::{Route, State, get, routes};

use crate::database::Database;
use crate::failure::Failure;
use crate::page::{Html, Page};
use crate::products;

pub(crate) fn routes() -> Vec<Route> {
    routes![show]
}

#[get("/")]
async fn show(page: Page, database: &State<Database>) -> Result<Html, Failure> {
    let products = database.call(|db| products::all(db)).await?;
    page.show("home.html", context! { products => Serde(products) })
        .await
}
