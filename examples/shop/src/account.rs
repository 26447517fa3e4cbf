use minijinja::context;
use rocket::form::Form;
use rocket::response::Redirect;
use rocket::{FromForm, Route, State, get, post, routes};
use rocket_typed_session::{ReturnTo, Session};

use crate::browser::Browser;
use crate::database::Database;
use crate::failure::Failure;
use crate::page::{Answer, Html, Page};
use crate::passwords::Passwords;
use crate::users::{self, User};
use crate::visit::Visit;

pub(crate) fn routes() -> Vec<Route> {
    routes![login_page, login, register_page, register, logout]
}

#[derive(FromForm)]
struct Account {
    name: String,
    password: String,
    remember: bool,
    next: ReturnTo,
}

#[get("/login?<next>")]
async fn login_page(page: Page, next: ReturnTo) -> Result<Html, Failure> {
    let content = context! { action => "login", next => next.to_string() };
    page.show("login.html", content).await
}

/// Neither the answer nor its time tells whether the name or the password was wrong.
#[post("/login", data = "<account>")]
async fn login(
    account: Form<Account>,
    mut page: Page,
    browser: Browser,
    database: &State<Database>,
    passwords: &State<Passwords>,
) -> Result<Answer<ReturnTo>, Failure> {
    let account = account.into_inner();
    let name = account.name.clone();
    let user = database.call(move |db| users::with_name(db, &name)).await?;
    let stored = user.as_ref().map(|user| user.password.clone());
    let is_right = passwords.is_right(account.password.clone(), stored).await?;
    match user.filter(|_| is_right) {
        Some(user) => {
            welcome(&mut page.visit, user, &account, &browser);
            Ok(Answer::Done(account.next))
        }
        None => refuse(page, "login", account, "The name or the password is wrong.").await,
    }
}

#[get("/register?<next>")]
async fn register_page(page: Page, next: ReturnTo) -> Result<Html, Failure> {
    let content = context! { action => "register", next => next.to_string() };
    page.show("login.html", content).await
}

#[post("/register", data = "<account>")]
async fn register(
    account: Form<Account>,
    mut page: Page,
    browser: Browser,
    database: &State<Database>,
    passwords: &State<Passwords>,
) -> Result<Answer<ReturnTo>, Failure> {
    let account = account.into_inner();
    if let Some(reason) = fault(&account) {
        return refuse(page, "register", account, reason).await;
    }
    let name = account.name.clone();
    let password = passwords.hash(account.password.clone()).await?;
    let user = database.call(move |db| users::add(db, &name, &password));
    match user.await? {
        Some(user) => {
            welcome(&mut page.visit, user, &account, &browser);
            Ok(Answer::Done(account.next))
        }
        None => refuse(page, "register", account, "This name is taken.").await,
    }
}

#[post("/logout")]
fn logout(mut visit: Session<Visit>) -> Redirect {
    visit.destroy();
    Redirect::to("/")
}

/// The session gets a new token, and keeps its cart.
fn welcome(visit: &mut Session<Visit>, user: User, account: &Account, browser: &Browser) {
    visit.set_label(browser.name());
    visit.log_in(user.id);
    if account.remember {
        visit.remember();
    }
    visit.notice = Some(format!("Welcome, {}.", user.name));
    visit.name = user.name;
}

fn fault(account: &Account) -> Option<&'static str> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    if !(2..=30).contains(&account.name.len()) || !account.name.chars().all(is_plain) {
        return Some("A name has 2 to 30 letters, digits or hyphens.");
    }
    if !(10..=200).contains(&account.password.chars().count()) {
        return Some("A password has at least 10 characters, and at most 200.");
    }
    None
}

async fn refuse(
    page: Page,
    action: &str,
    account: Account,
    reason: &str,
) -> Result<Answer<ReturnTo>, Failure> {
    let next = account.next.to_string();
    let content = context! {
        action, reason, next, name => account.name, remember => account.remember
    };
    page.refuse("login.html", content).await
}
