//! Scripts beside namespaces in Rust, on a `SocketIo` of the application. Run `cargo run --example attach`, and connect
//! a Socket.IO client to <http://127.0.0.1:3000/rust> or <http://127.0.0.1:3000/script>: it receives `hello`.

#![allow(clippy::print_stdout, reason = "it says what it does")]

use axum::Router;
use patchcord::{Host, Options, script::Memory, socketioxide::extract::SocketRef};
use tower::Layer;

const SCRIPT: &str = r#"fn on_connection(socket) { socket.emit("hello", "from a script"); }"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (layer, io) = Options::default().socket_io().build_layer();
    io.ns("/rust", async |socket: SocketRef| {
        drop(socket.emit("hello", "from Rust"));
    });

    let host = Host::builder()
        .loader(Memory::from([("script.rhai", SCRIPT)]))
        .on_event(|event| eprintln!("{event:?}")) // an `AttachWarning` reports a guarantee that does not hold
        .build();
    // A script that does not load is announced as an event; all others serve.
    let _ = host.load().await;
    host.attach(&io)?;

    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:3000");
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    // `Router::layer` does not work here, because it would start a new engine for each connection.
    let app = Router::new().fallback_service(layer.layer(Router::new()));
    axum::serve(listener, app).await?;
    Ok(())
}
