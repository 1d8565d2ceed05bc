//! Scripts that query a database. Run `cargo run --example own_function`, and connect a Socket.IO client to
//! <http://127.0.0.1:3000>: it receives `user` with the result of the query.

#![allow(clippy::print_stdout, reason = "it says what it does")]

use std::{collections::BTreeMap, sync::Arc};

use patchcord::{
    Functions, Host, Signature,
    script::Memory,
    server::{Config, Server},
};
use tokio::sync::RwLock;

const SCRIPT: &str = r#"
fn on_connection(socket) {
    db::find_user(7, |err, name| { socket.emit("user", name); });
}
"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // In place of a connection pool. Scripts do not wait for the database: the closure is called with the result.
    let database = Arc::new(RwLock::new(BTreeMap::from([(7, "Ada".to_owned())])));
    let find_user = move |id: i64| {
        let database = database.clone();
        async move {
            let users = database.read().await;
            let user = users.get(&id).cloned();
            user.ok_or(format!("there is no user {id}"))
        }
    };
    let signature = Signature::new("find_user(id)").doc("Gives the name of a user.");
    let host = Host::builder()
        .loader(Memory::from([("main.rhai", SCRIPT)]))
        .module("db", Functions::new().async_function(signature, find_user))
        .build();
    // A script that does not load is announced as an event; all others serve.
    let _ = host.load().await;
    let mut config = Config::default();
    if let Some(port) = std::env::args().nth(1) {
        config.port = port.parse()?;
    }
    let mut server = Server::bind(host, &config).await?;
    println!("http://{}", server.address());
    server.join().await?;
    Ok(())
}
