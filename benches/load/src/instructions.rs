//! Instructions and allocations of one request. Both repeat to about one per cent, whatever the machine does.

use std::io;
use std::path::Path;
use std::process::Command;

use crate::http::Client;
use crate::load::exactly;
use crate::profile::{self, Profile};
use crate::server::{Kind, Route, Server};

#[derive(Clone)]
pub(crate) struct Cost {
    pub(crate) kind: Kind,
    pub(crate) route: Route,
    /// `None` without valgrind.
    pub(crate) instructions: Option<f64>,
    pub(crate) profile: Profile,
    pub(crate) allocations: f64,
}

/// With fewer, occasional work of the process shows.
const REQUESTS: u64 = 1_000;

/// `counting` has the programs with the counting allocator.
pub(crate) async fn costs(
    kind: Kind,
    programs: &Path,
    counting: &Path,
    folder: &Path,
) -> io::Result<Vec<Cost>> {
    let mut costs = Vec::new();
    let routes = Route::ALL.into_iter().filter(|route| route.is_of(kind));
    let server = Server::start(kind, counting).await?;
    let cookie = server.log_in(1).await?.remove(0);
    for route in routes {
        exactly(&server, route, &cookie, REQUESTS).await?;
        let before = allocations(&server).await?;
        exactly(&server, route, &cookie, REQUESTS).await?;
        let allocations = (allocations(&server).await? - before) / REQUESTS as f64;
        costs.push(Cost {
            kind,
            route,
            instructions: None,
            profile: Profile::new(),
            allocations,
        });
    }
    if Command::new("valgrind").arg("--version").output().is_ok() {
        count_instructions(kind, programs, folder, &mut costs).await?;
    }
    Ok(costs)
}

async fn allocations(server: &Server) -> io::Result<f64> {
    let mut client = Client::connect(server.port, "").await?;
    client
        .ok("/allocations")
        .await?
        .parse()
        .map_err(io::Error::other)
}

/// Callgrind counts in one process. On command, it writes and resets its count.
async fn count_instructions(
    kind: Kind,
    programs: &Path,
    folder: &Path,
    costs: &mut [Cost],
) -> io::Result<()> {
    let out = folder.join(format!("callgrind.{}", kind.program));
    let to = format!("--callgrind-out-file={}", out.display());
    let wrapper = ["valgrind", "--quiet", "--tool=callgrind", &to];
    let server = Server::start_with(kind, programs, &wrapper, &[]).await?;
    let cookie = server.log_in(1).await?.remove(0);
    let mut dumps = 0;
    for cost in costs {
        exactly(&server, cost.route, &cookie, REQUESTS / 5).await?;
        dump(&server, &out, &mut dumps)?;
        exactly(&server, cost.route, &cookie, REQUESTS).await?;
        let dump = dump(&server, &out, &mut dumps)?;
        cost.profile = profile::read(&dump, REQUESTS);
        cost.instructions = Some(cost.profile.values().sum());
    }
    Ok(())
}

fn dump(server: &Server, out: &Path, dumps: &mut u32) -> io::Result<String> {
    let id = server.process.id().to_string();
    Command::new("callgrind_control")
        .args(["--dump", &id])
        .output()?;
    *dumps += 1;
    let mut path = out.as_os_str().to_owned();
    path.push(format!(".{dumps}"));
    let text = std::fs::read_to_string(&path)?;
    std::fs::remove_file(&path)?;
    Ok(text)
}
