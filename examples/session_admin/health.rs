//! The state and the faults of each server.

use std::collections::HashMap;

use rocket_typed_session::deadpool_redis::redis::RedisResult;
use rocket_typed_session::store::RedisStore;

use super::Answer;
use super::servers::Server;

/// In percent. A fuller server will soon refuse sessions.
const FULL: u64 = 90;

pub(crate) async fn health(store: &RedisStore) -> Answer {
    let mut faults = Vec::new();
    for info in store.masters().await? {
        let address = info.addr().to_string();
        let asked = async {
            let mut server = Server::connect(info).await?;
            look_at(&mut server).await
        };
        match asked.await {
            Ok(its) => faults.extend(its.into_iter().map(|fault| format!("{address}: {fault}"))),
            Err(error) => faults.push(format!("{address}: it does not answer: {error}")),
        }
    }
    match store.check().await {
        Ok(its) => faults.extend(its),
        // Already reported.
        Err(_) if !faults.is_empty() => {}
        Err(error) => faults.push(error.to_string()),
    }
    for fault in &faults {
        println!("fault: {fault}");
    }
    if faults.is_empty() {
        println!("all is well");
    }
    Ok(faults.is_empty())
}

/// Prints a server's state. Returns its faults.
async fn look_at(server: &mut Server) -> RedisResult<Vec<String>> {
    let info: String = server.ask(&["INFO", "all"]).await?;
    let info: HashMap<_, _> = info
        .lines()
        .filter_map(|line| line.split_once(':'))
        .collect();
    let word = |key: &str| info.get(key).copied().unwrap_or("?");
    let number = |key: &str| word(key).parse::<u64>().unwrap_or(0);
    let keys: u64 = info
        .iter()
        .filter(|(key, _)| key.starts_with("db"))
        .filter_map(|(_, value)| {
            value
                .strip_prefix("keys=")?
                .split(',')
                .next()?
                .parse::<u64>()
                .ok()
        })
        .sum();
    let (used, limit) = (number("used_memory"), number("maxmemory"));
    println!(
        "{}: version {}, {}, {}, {}",
        server.address,
        word("redis_version"),
        word("redis_mode"),
        word("role"),
        word("maxmemory_policy"),
    );
    println!(
        "  {keys} keys, {} of {}, {} of {} clients, {} replicas, {} keys evicted, {} clients refused",
        bytes(used),
        if limit == 0 {
            "any memory".into()
        } else {
            bytes(limit)
        },
        word("connected_clients"),
        word("maxclients"),
        word("connected_slaves"),
        word("evicted_keys"),
        word("rejected_connections"),
    );
    let mut faults = Vec::new();
    if limit != 0 && used > limit / 100 * FULL {
        faults.push(format!("it uses more than {FULL} % of its `maxmemory`"));
    }
    for key in ["rdb_last_bgsave_status", "aof_last_write_status"] {
        if word(key) == "err" {
            faults.push(format!(
                "it cannot save its data ({key}:err), see its own log"
            ));
        }
    }
    if word("cluster_enabled") == "1" {
        let cluster: RedisResult<String> = server.ask(&["CLUSTER", "INFO"]).await;
        match cluster {
            Ok(cluster) if cluster.contains("cluster_state:ok") => {}
            Ok(_) => faults.push("it says that the cluster is down".into()),
            Err(error) => println!("  it does not tell about the cluster: {error}"),
        }
    }
    Ok(faults)
}

fn bytes(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes {
        0..MIB => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}
