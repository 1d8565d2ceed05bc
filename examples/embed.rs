//! Application with scripts. Run `cargo run --example embed`, open <http://127.0.0.1:3000/visits>, and connect a
//! Socket.IO client to the same address. Then edit `examples/scripts/main.rhai` and save.

#![allow(clippy::print_stdout, reason = "it says what it does")]

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use axum::{Router, routing::get, serve::ListenerExt};
use patchcord::Host;

static VISITS: AtomicI64 = AtomicI64::new(0);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Scripts can call `save_visit()`. It is an effect, so that a save of the script does not count as a visit.
    let host = Host::builder()
        .scripts(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/scripts"))
        .effect("save_visit", || VISITS.fetch_add(1, Relaxed) + 1)
        .build();
    // A script that does not load is announced as an event; all others serve.
    let _ = host.load().await;
    let _watching = host.watch()?;
    let app = Router::new().route(
        "/visits",
        get(|| async { VISITS.load(Relaxed).to_string() }),
    );
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:3000");
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    // Without `TCP_NODELAY`, the kernel would delay small events to send them together.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, host.service(app)?).await?;
    Ok(())
}
