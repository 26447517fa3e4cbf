use std::sync::{Arc, Mutex, PoisonError};

use rocket::fairing::{AdHoc, Fairing};
use rocket::tokio::task::spawn_blocking;
use rocket::{Build, Rocket};
use rusqlite::Connection;

use crate::failure::Failure;
use crate::passwords::Passwords;
use crate::{products, users};

/// One shared connection: a query takes microseconds.
#[derive(Clone)]
pub(crate) struct Database(Arc<Mutex<Connection>>);

impl Database {
    /// In memory without a path.
    fn open(path: Option<&str>) -> rusqlite::Result<Self> {
        let db = match path {
            Some(path) => Connection::open(path)?,
            None => Connection::open_in_memory()?,
        };
        db.execute_batch(users::TABLE)?;
        db.execute_batch(products::TABLES)?;
        Ok(Self(Arc::new(Mutex::new(db))))
    }

    /// Runs a query where it may block.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let connection = Arc::clone(&self.0);
        let answer = spawn_blocking(move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            query(&mut connection)
        });
        answer
            .await
            .map_err(Failure::internal)?
            .map_err(Failure::internal)
    }
}

/// Opens the database under the configuration key `shop`, and adds the first account.
pub(crate) fn fairing() -> impl Fairing {
    AdHoc::try_on_ignite("Shop database", async |rocket| {
        match prepare(&rocket).await {
            Ok((database, passwords)) => Ok(rocket.manage(database).manage(passwords)),
            Err(error) => {
                rocket::error!("{error}");
                Err(rocket)
            }
        }
    })
}

async fn prepare(rocket: &Rocket<Build>) -> Result<(Database, Passwords), String> {
    let config = rocket.figment();
    let path: Option<String> = match config.contains("shop") {
        true => config
            .extract_inner("shop")
            .map_err(|error| error.to_string())?,
        false => None,
    };
    let database = Database::open(path.as_deref()).map_err(|error| error.to_string())?;
    let passwords = Passwords::new()?;
    let failed = |_| "the first account cannot be made";
    if !database
        .call(|db| users::has_staff(db))
        .await
        .map_err(failed)?
    {
        let password = passwords.generate()?;
        let hash = passwords.hash(password.clone()).await.map_err(failed)?;
        let added = database.call(move |db| users::add_staff(db, "admin", &hash));
        added.await.map_err(failed)?;
        println!("Log in as `admin` with the password `{password}`. It is shown only now.");
    }
    Ok((database, passwords))
}
