//! Scripts ask a database. Run `cargo run --example own_function` and connect a Socket.IO client to
//! <http://127.0.0.1:3000>: it gets `user` with what the database has.

use std::{collections::BTreeMap, sync::Arc};

use patchcord::{Host, script::Memory, server::Config};
use tokio::sync::RwLock;

const SCRIPT: &str = r#"
fn on_connection(socket) {
    find_user(7, |err, name| { socket.emit("user", name); });
}
"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // What a connection pool would be. Nothing in a script waits for it: the closure is called when it has answered.
    let database = Arc::new(RwLock::new(BTreeMap::from([(7, "Ada".to_owned())])));
    let find_user = move |id: i64| {
        let database = database.clone();
        async move {
            let users = database.read().await;
            users
                .get(&id)
                .cloned()
                .ok_or(format!("there is no user {id}"))
        }
    };
    Host::builder()
        .loader(Memory::from([("main.rhai", SCRIPT)]))
        .async_function("find_user", find_user)
        .build()
        .serve(&Config::default())
        .await
}
