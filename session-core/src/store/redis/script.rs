//! A Lua script on the server.

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{self, Arg, Cmd, ErrorKind, RedisResult, ServerErrorKind, Value};

/// A script of one key.
pub(super) struct Script {
    source: &'static str,
    hash: String,
}

/// A script with its arguments.
pub(super) struct ScriptCall {
    source: &'static str,
    /// By its hash, as the server knows it.
    pub(super) command: Cmd,
}

impl Script {
    pub(super) fn new(source: &'static str) -> Self {
        let hash = redis::Script::new(source).get_hash().to_owned();
        Self { source, hash }
    }

    pub(super) fn on(&self, key: &str) -> ScriptCall {
        // Room for a usual call, so that it need not grow.
        let mut command = Cmd::with_capacity(24, 320);
        command.arg("EVALSHA").arg(&self.hash).arg(1).arg(key);
        let source = self.source;
        ScriptCall { source, command }
    }
}

impl ScriptCall {
    /// Calls it. A server that does not know the script gets its source, and knows it from then on.
    /// So a flush of scripts does no harm.
    pub(super) async fn query(&self, connection: &mut MultiplexedConnection) -> RedisResult<Value> {
        let reply = self.command.query_async(connection).await;
        match reply {
            // The server says that it did nothing, so this sends nothing twice.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                let mut command = redis::cmd("EVAL");
                command.arg(self.source);
                for argument in self.command.args_iter().skip(2) {
                    if let Arg::Simple(bytes) = argument {
                        command.arg(bytes);
                    }
                }
                command.query_async(connection).await
            }
            reply => reply,
        }
    }
}
