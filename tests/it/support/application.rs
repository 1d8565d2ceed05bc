//! An application with a Socket.IO server of its own, to which a host is attached.

use std::net::SocketAddr;

use axum::Router;
use patchcord::{
    Host, HostBuilder, HostEvent,
    script::Memory,
    socketioxide::{
        SocketIo, SocketIoBuilder,
        adapter::{Adapter, LocalAdapter},
        extract::{Data, SocketRef},
        layer::SocketIoLayer,
    },
};
use socketioxide_core::adapter::{DefinedAdapter, Spawnable};
use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};
use tower::Layer;

use super::server::{Client, TEST_TIMEOUT};

/// Application with a Socket.IO server of its own.
pub(crate) struct Program<A: Adapter = LocalAdapter> {
    pub(crate) address: SocketAddr,
    pub(crate) io: SocketIo<A>,
    pub(crate) host: Host,
    pub(crate) events: UnboundedReceiver<HostEvent>,
}

impl Program {
    /// Returns an application that has `/rust`, with scripts attached.
    pub(crate) async fn new(
        files: &[(&str, &str)],
        build: impl FnOnce(HostBuilder) -> HostBuilder,
    ) -> Self {
        let scripts: Memory = files.iter().map(|(name, text)| (*name, *text)).collect();
        let server = patchcord::testing::options().socket_io();
        Self::on(server, |builder| build(builder.loader(scripts))).await
    }
}

impl<A: Adapter + DefinedAdapter> Program<A> {
    pub(crate) async fn on(
        server: SocketIoBuilder<A>,
        build: impl FnOnce(HostBuilder) -> HostBuilder,
    ) -> Self {
        let (tell, events) = unbounded_channel();
        let builder = Host::builder()
            .options(patchcord::testing::options())
            .on_event(move |event| drop(tell.send(event.clone())));
        let host = build(builder).build();
        let _ = host.load().await;
        let (layer, io) = server.build_layer();
        io.ns("/rust", async |socket: SocketRef<A>| {
            socket.on(
                "double",
                async |socket: SocketRef<A>, Data(n): Data<i64>| {
                    drop(socket.emit("doubled", &(n * 2)));
                },
            );
            drop(socket.emit("ready", "it listens"));
        })
        .spawn();
        host.attach(&io).unwrap();
        Self {
            address: serve(layer).await,
            io,
            host,
            events,
        }
    }

    pub(crate) async fn client(&self) -> Client {
        let address = self.address;
        Client::at(&format!(
            "ws://{address}/socket.io/?EIO=4&transport=websocket"
        ))
        .await
    }

    pub(crate) async fn announced<T>(
        &mut self,
        mut wanted: impl FnMut(HostEvent) -> Option<T>,
    ) -> T {
        let search = async {
            loop {
                if let Some(found) = wanted(self.events.recv().await.expect("the host is gone")) {
                    return found;
                }
            }
        };
        let found = tokio::time::timeout(TEST_TIMEOUT, search).await;
        found.expect("nothing of the kind was announced")
    }

    pub(crate) fn warnings(&mut self) -> Vec<String> {
        let mut warnings = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            if let HostEvent::AttachWarning { error: problem } = event {
                warnings.push(problem);
            }
        }
        warnings
    }
}

pub(crate) async fn serve<A: Adapter>(layer: SocketIoLayer<A>) -> SocketAddr {
    let app = Router::new().fallback_service(layer.layer(Router::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// Connects to `/rust`, and waits for its handler: socketioxide starts a handler after it has answered the CONNECT, and
/// loses events that arrive before the handler listens.
pub(crate) async fn connect_to_rust(client: &mut Client) {
    client.connect("/rust,").await;
    client.until(|packet| packet.contains("ready")).await;
}

/// Script that most tests serve as `/chat`.
pub(crate) const CHAT: &str = r#"
fn on_handshake(socket) {
    if socket.handshake.auth.name == "mallory" { throw "not you"; }
}
fn on_connection(socket) {
    let n = 0;
    socket.join("room");
    socket.emit("from", socket.handshake.address);
    socket.on("add", |x| { n += x; n });
    socket.on("say", |text| { io.to("room").emit("said", text); });
    socket.on("ask", || { socket.emit("question", blob(2, 65), |answer| { socket.emit("answered", answer); }); });
    socket.on("rooms", || [socket.rooms.len(), io.rooms.len(), socket.rooms.contains(socket.id)]);
    socket.on("bye", || socket.disconnect());
    socket.on("disconnect", |reason| print(reason));
}
"#;
