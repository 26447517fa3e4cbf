use deadpool_redis::redis::aio::{ConnectionLike as _, MultiplexedConnection};
use deadpool_redis::redis::{
    self, Arg, Cmd, ErrorKind, Pipeline, RedisResult, ServerErrorKind, Value,
};

/// A Lua script with one key.
pub(super) struct Script {
    source: &'static str,
    hash: String,
}

pub(super) struct ScriptCall {
    source: &'static str,
    pub(super) command: Cmd,
}

impl Script {
    pub(super) fn new(source: &'static str) -> Self {
        let hash = redis::Script::new(source).get_hash().to_owned();
        Self { source, hash }
    }

    pub(super) fn on(&self, key: &str) -> ScriptCall {
        let mut command = Cmd::with_capacity(24, 320);
        command.arg("EVALSHA").arg(&self.hash).arg(1).arg(key);
        let source = self.source;
        ScriptCall { source, command }
    }
}

impl ScriptCall {
    /// Calls the script by its hash. If the server does not know it, this sends the source.
    pub(super) async fn query(
        &self,
        mut connection: MultiplexedConnection,
        asking: bool,
    ) -> RedisResult<Value> {
        let reply = send(&mut connection, &self.command, asking).await;
        match reply {
            // The server did nothing, so no change is sent twice.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                let mut command = redis::cmd("EVAL");
                command.arg(self.source);
                for argument in self.command.args_iter().skip(2) {
                    if let Arg::Simple(bytes) = argument {
                        command.arg(bytes);
                    }
                }
                send(&mut connection, &command, asking).await
            }
            reply => reply,
        }
    }
}

async fn send(
    connection: &mut MultiplexedConnection,
    command: &Cmd,
    asking: bool,
) -> RedisResult<Value> {
    match asking {
        true => after_asking(connection, command).await,
        false => command.query_async(connection).await,
    }
}

/// For a node that is importing the slot. ASKING holds only for the next command, so they must go together.
pub(super) async fn after_asking(
    connection: &mut MultiplexedConnection,
    command: &Cmd,
) -> RedisResult<Value> {
    let mut pipeline = Pipeline::with_capacity(2);
    pipeline.cmd("ASKING").add_command(command.clone());
    let replies = connection.req_packed_commands(&pipeline, 0, 2).await?;
    let reply = replies.into_iter().next_back().unwrap_or(Value::Nil);
    reply.extract_error()
}
