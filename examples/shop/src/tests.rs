//! The shop in several browsers. A kit replaces the session store and the clock.

use std::collections::BTreeMap;

use rocket::http::{ContentType, Cookie, Header, Status};
use rocket::local::asynchronous::{Client, LocalRequest, LocalResponse};
use rocket_typed_session::testing::{TestKit, same_origin};

use crate::database::Database;
use crate::passwords::Passwords;
use crate::users;
use crate::visit::{AdminVisit, Visit};

mod accounts;
mod admin;
mod cart;
mod devices;
mod pages;

const PASSWORD: &str = "correct horse battery";

struct Shop {
    kit: TestKit,
    client: Client,
}

impl Shop {
    async fn open() -> Self {
        let kit = TestKit::new();
        let rocket = kit.install(crate::rocket());
        let client = Client::untracked(rocket).await;
        let client = client.expect("a rocket that launches");
        Self { kit, client }
    }

    fn browser(&self) -> Browser<'_> {
        Browser {
            shop: self,
            jar: BTreeMap::new(),
        }
    }

    /// A browser with a new, logged-in user, and the user's id.
    async fn member(&self, name: &'static str) -> (Browser<'_>, String) {
        let user = self.database().call(move |db| users::add(db, name, "-"));
        let id = user.await.expect("an answer").expect("a new name").id;
        let visit = Visit {
            user: Some(id.clone()),
            name: name.to_owned(),
            ..Visit::default()
        };
        let mut browser = self.browser();
        browser.keep(self.kit.seed(self.client.rocket(), visit).await);
        (browser, id)
    }

    /// A browser with a logged-in staff member.
    async fn staff(&self) -> Browser<'_> {
        let passwords: &Passwords = self.client.rocket().state().expect("passwords");
        let hash = passwords.hash(PASSWORD.to_owned()).await.expect("a hash");
        let add = move |db: &mut rusqlite::Connection| users::add_staff(db, "boss", &hash);
        self.database().call(add).await.expect("a new name");
        let mut browser = self.browser();
        let form = format!("name=boss&password={PASSWORD}");
        assert_eq!(browser.post("/login", &form).await.status, Status::SeeOther);
        browser
    }

    fn database(&self) -> &Database {
        self.client.rocket().state().expect("a database")
    }

    async fn visit(&self, browser: &Browser<'_>) -> Option<Visit> {
        let cookie = browser.jar.get("id")?;
        self.kit.read(self.client.rocket(), cookie).await
    }
}

struct Answer {
    status: Status,
    location: Option<String>,
    text: String,
}

struct Browser<'s> {
    shop: &'s Shop,
    jar: BTreeMap<String, Cookie<'static>>,
}

impl<'s> Browser<'s> {
    async fn get(&mut self, path: &str) -> Answer {
        let request = self.shop.client.get(path.to_owned());
        self.send(request).await
    }

    async fn post(&mut self, path: &str, form: &str) -> Answer {
        let request = self.form(path, form).header(same_origin());
        self.send(request).await
    }

    /// Without cookies or `Sec-Fetch-Site`.
    fn form(&self, path: &str, form: &str) -> LocalRequest<'s> {
        let request = self.shop.client.post(path.to_owned());
        request.header(ContentType::Form).body(form)
    }

    async fn send(&mut self, request: LocalRequest<'s>) -> Answer {
        let response = self.with_cookies(request).dispatch().await;
        self.receive(response).await
    }

    fn with_cookies(&self, request: LocalRequest<'s>) -> LocalRequest<'s> {
        let path = request.uri().path().to_string();
        let is_for = |cookie: &&Cookie<'static>| path.starts_with(cookie.path().unwrap_or("/"));
        request.cookies(self.jar.values().filter(is_for).cloned())
    }

    async fn receive(&mut self, response: LocalResponse<'_>) -> Answer {
        for cookie in response.cookies().iter() {
            self.keep(cookie.clone().into_owned());
        }
        let location = response.headers().get_one("Location").map(str::to_owned);
        Answer {
            status: response.status(),
            location,
            text: response.into_string().await.unwrap_or_default(),
        }
    }

    fn keep(&mut self, cookie: Cookie<'static>) {
        let name = cookie.name().to_owned();
        match cookie.max_age().is_some_and(|age| age.is_zero()) {
            true => self.jar.remove(&name),
            false => self.jar.insert(name, cookie),
        };
    }
}

fn user_agent(text: &'static str) -> Header<'static> {
    Header::new("User-Agent", text)
}
