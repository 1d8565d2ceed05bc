//! Socket.IO server as in the documentation of socketioxide, and one whose handler runs where patchcord's handlers run.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc};

use axum::{Router, serve::ListenerExt};
use serde_json::Value;
use socketioxide::{
    SocketIo,
    adapter::LocalAdapter,
    extract::{AckSender, Data, SocketRef},
    handler::{FromMessageParts, MessageHandler},
    socket::Socket,
};
use tokio::net::TcpListener;

/// Serves until the process ends. `/` and `/chat` answer like the scripts; `/inline` acks every event at once.
pub(crate) async fn serve() -> io::Result<()> {
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", async |socket: SocketRef| {
        socket.on("echo", async |socket: SocketRef, Data::<Value>(value)| {
            // Nothing can be sent to a client that has left.
            let _ = socket.emit("echo", &value);
        });
    });
    io.ns("/chat", async |socket: SocketRef| {
        socket.on("say", async |io: SocketIo, Data::<Value>(text)| {
            if let Some(chat) = io.of("/chat") {
                let _ = chat.emit("said", &text).await;
            }
        });
    });
    io.ns("/inline", async |socket: SocketRef| {
        socket.on_fallback::<_, Inline>(Inline);
    });
    let listener = listen().await?;
    // Patchcord and Node set this option too.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, Router::new().layer(layer)).await
}

/// Binds a free port and says which.
pub(super) async fn listen() -> io::Result<TcpListener> {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(listener)
}

/// A handler that does nothing but ack, in the task that reads the packet.
struct Inline;

impl MessageHandler<LocalAdapter, Self> for Inline {
    fn call(
        &self,
        socket: Arc<Socket>,
        mut packet: socketioxide::handler::Value,
        ack: Option<i64>,
    ) {
        let sender: Result<AckSender, Infallible> =
            AckSender::from_message_parts(&socket, &mut packet, &ack);
        let Ok(sender) = sender;
        let _ = sender.send(&());
    }
}
