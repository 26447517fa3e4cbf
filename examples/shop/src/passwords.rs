use std::thread::available_parallelism;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use rocket::tokio::sync::Semaphore;
use rocket::tokio::task::spawn_blocking;

use crate::failure::Failure;

pub(crate) struct Passwords {
    /// A hash briefly takes 19 MiB and a core. Without a limit of one for each core, strangers could fill the
    /// memory.
    turns: Semaphore,
    /// The hash for users who do not exist.
    nobody: String,
}

impl Passwords {
    pub(crate) fn new() -> Result<Self, String> {
        Ok(Self {
            turns: Semaphore::new(available_parallelism().map_or(1, usize::from)),
            nobody: hash(&random_text()?)?,
        })
    }

    pub(crate) fn generate(&self) -> Result<String, String> {
        random_text()
    }

    pub(crate) async fn hash(&self, password: String) -> Result<String, Failure> {
        let hashed = self.in_turn(move || hash(&password)).await?;
        hashed.map_err(Failure::internal)
    }

    /// Without a stored password, `false` takes the same time.
    pub(crate) async fn is_right(
        &self,
        password: String,
        stored: Option<String>,
    ) -> Result<bool, Failure> {
        let is_known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.nobody.clone());
        let is_equal = self.in_turn(move || {
            let stored = PasswordHash::new(&stored);
            stored.is_ok_and(|stored| {
                let verified = Argon2::default().verify_password(password.as_bytes(), &stored);
                verified.is_ok()
            })
        });
        Ok(is_equal.await? && is_known)
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let _turn = self.turns.acquire().await.map_err(Failure::internal)?;
        spawn_blocking(work).await.map_err(Failure::internal)
    }
}

/// Argon2id, with a random salt. The hash contains its parameters.
fn hash(password: &str) -> Result<String, String> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map_or_else(|error| Err(error.to_string()), |hash| Ok(hash.to_string()))
}

fn random_text() -> Result<String, String> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes.map(|byte| format!("{byte:02x}")).concat())
}
