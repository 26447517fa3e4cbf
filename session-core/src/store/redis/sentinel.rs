//! Asks all sentinels at once for the master, and takes the answer that most give.
//!
//! A frozen one costs no time, and one that was cut off does not lead back to an old master.

use std::fmt;
use std::time::Duration;

use deadpool_redis::redis::{self, AsyncConnectionConfig, Client, ConnectionInfo, RedisResult};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::dial::{Address, at};
use super::error::{no_master, of_redis, timed_out};
use crate::error::Error;

const TIMEOUT: Duration = Duration::from_millis(500);

pub(super) struct Sentinels {
    /// The sentinels' name for the master.
    name: String,
    sentinels: Vec<ConnectionInfo>,
    /// How to connect to the master, wherever it is.
    server: ConnectionInfo,
}

impl Sentinels {
    pub(super) fn new(
        name: String,
        sentinels: Vec<ConnectionInfo>,
        server: ConnectionInfo,
    ) -> Self {
        Self {
            name,
            sentinels,
            server,
        }
    }

    pub(super) async fn master(&self) -> Result<ConnectionInfo, Error> {
        let mut asking = JoinSet::new();
        for sentinel in &self.sentinels {
            let (sentinel, name) = (sentinel.clone(), self.name.clone());
            asking.spawn(async move {
                let answer = timeout(TIMEOUT, ask(sentinel, name)).await;
                answer.map_err(|_| timed_out(false))?
            });
        }
        let mut named = Vec::new();
        let mut failure = None;
        while let Some(answer) = asking.join_next().await {
            match answer {
                Ok(Ok(address)) => named.extend(address),
                Ok(Err(error)) => failure = Some(error),
                // Only when the runtime ends.
                Err(_) => {}
            }
            if let Some(address) = elected(&named, self.sentinels.len(), asking.len()) {
                return Ok(at(&self.server, address));
            }
        }
        Err(failure.unwrap_or_else(|| no_master(&self.name)))
    }
}

impl fmt::Display for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentinels = self.sentinels.iter().map(|info| info.addr().to_string());
        let sentinels: Vec<_> = sentinels.collect();
        write!(
            f,
            "`{}` of the sentinels {}",
            self.name,
            sentinels.join(", ")
        )
    }
}

/// `None`: it does not know this master.
async fn ask(sentinel: ConnectionInfo, name: String) -> Result<Option<Address>, Error> {
    let asking = async {
        let client = Client::open(sentinel)?;
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = connecting.await?;
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        command.query_async(&mut connection).await
    };
    let address: RedisResult<Option<Address>> = asking.await;
    address.map_err(|error| of_redis(false, error))
}

/// The address that most sentinels name, once the others cannot change it.
fn elected(named: &[Address], all: usize, waiting: usize) -> Option<&Address> {
    let votes = |address: &Address| named.iter().filter(|named| *named == address).count();
    let elected = named.iter().max_by_key(|address| votes(address))?;
    (votes(elected) > all / 2 || waiting == 0).then_some(elected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_most_sentinels_say_counts() {
        let (old, new) = (("old".to_owned(), 1), ("new".to_owned(), 2));
        let (old, new) = (&old, &new);
        for (named, waiting, expected) in [
            (vec![], 0, None),
            (vec![old], 2, None),
            (vec![old, new], 1, None),
            (vec![new, new], 1, Some(new)),
            (vec![old, new, new], 0, Some(new)),
            // The others do not answer.
            (vec![old], 0, Some(old)),
        ] {
            let named: Vec<Address> = named.into_iter().cloned().collect();
            assert_eq!(elected(&named, 3, waiting), expected, "{named:?}");
        }
    }
}
