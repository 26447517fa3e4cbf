use minijinja::context;
use minijinja::value::Serde;
use rocket::form::Form;
use rocket::response::Redirect;
use rocket::{FromForm, Route, State, get, post, routes};
use rocket_typed_session::{ReturnTo, Session, Sessions};

use crate::database::Database;
use crate::failure::Failure;
use crate::page::{Answer, Html, Page};
use crate::passwords::Passwords;
use crate::visit::{Admin, AdminVisit, Member, Staff, Visit};
use crate::{products, users};

pub(crate) fn routes() -> Vec<Route> {
    routes![login_page, login, leave, show, set_stock, log_out]
}

#[derive(FromForm)]
struct Login {
    password: String,
    next: ReturnTo,
}

/// `Member` redirects visitors to the login; `Staff` answers other users with 403.
#[get("/login?<next>")]
async fn login_page(
    _member: Member,
    _staff: Staff,
    page: Page,
    next: ReturnTo,
) -> Result<Html, Failure> {
    page.show("admin_login.html", context! { next => next.to_string() })
        .await
}

#[post("/login", data = "<login>")]
async fn login(
    login: Form<Login>,
    member: Member,
    _staff: Staff,
    page: Page,
    mut admin: Session<AdminVisit>,
    database: &State<Database>,
    passwords: &State<Passwords>,
) -> Result<Answer<ReturnTo>, Failure> {
    let Login { password, next } = login.into_inner();
    let id = member.clone();
    let user = database.call(move |db| users::with_id(db, &id)).await?;
    let stored = user.map(|user| user.password);
    if passwords.is_right(password, stored).await? {
        admin.log_in(member.clone());
        return Ok(Answer::Done(next));
    }
    let content = context! { reason => "This is not your password.", next => next.to_string() };
    page.refuse("admin_login.html", content).await
}

/// Ends only this session; a logout from the shop ends both.
#[post("/leave")]
fn leave(mut admin: Session<AdminVisit>) -> Redirect {
    admin.destroy();
    Redirect::to("/")
}

#[get("/")]
async fn show(
    _admin: Admin,
    page: Page,
    database: &State<Database>,
    sessions: Sessions<Visit>,
) -> Result<Html, Failure> {
    let products = database.call(|db| products::all(db)).await?;
    let mut rows = Vec::new();
    for user in database.call(|db| users::all(db)).await? {
        let count = sessions.of(user.id.clone()).count().await?;
        rows.push(context! { id => user.id, name => user.name, sessions => count });
    }
    let content = context! { products => Serde(products), users => rows };
    page.show("admin.html", content).await
}

#[derive(FromForm)]
struct Stock {
    product: u32,
    #[field(validate = range(..=9999))]
    stock: u32,
}

#[post("/stock", data = "<form>")]
async fn set_stock(
    form: Form<Stock>,
    _admin: Admin,
    database: &State<Database>,
) -> Result<Redirect, Failure> {
    let Stock { product, stock } = form.into_inner();
    let set = database.call(move |db| products::set_stock(db, product, stock));
    set.await?;
    Ok(Redirect::to("/admin"))
}

#[derive(FromForm)]
struct User {
    id: String,
}

#[post("/log-out", data = "<user>")]
async fn log_out(
    user: Form<User>,
    _admin: Admin,
    sessions: Sessions<Visit>,
) -> Result<Redirect, Failure> {
    sessions.of(user.into_inner().id).end_all().await?;
    Ok(Redirect::to("/admin"))
}
