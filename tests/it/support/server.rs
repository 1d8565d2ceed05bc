//! A server in this process, and raw clients of it.

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use patchcord::{
    Host, HostBuilder, HostEvent,
    script::Memory,
    server::{Config, Server},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// Time limit of a wait: longer than anything here takes, so only a failing test waits for it.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Server of some scripts on a free port, with the events of its host.
pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    pub(crate) events: UnboundedReceiver<HostEvent>,
}

impl Running {
    pub(crate) async fn new(
        files: &[(&str, &str)],
        build: impl FnOnce(HostBuilder) -> HostBuilder,
    ) -> Self {
        let scripts: Memory = files.iter().map(|(name, text)| (*name, *text)).collect();
        Self::reloadable(|builder| build(builder.loader(scripts)))
            .await
            .0
    }

    /// Starts a server, and returns it with its host, for reloads.
    pub(crate) async fn reloadable(build: impl FnOnce(HostBuilder) -> HostBuilder) -> (Self, Host) {
        Self::configured(build, |_| {}).await
    }

    /// Starts a server with a different configuration, and returns it with its host.
    pub(crate) async fn configured(
        build: impl FnOnce(HostBuilder) -> HostBuilder,
        change: impl FnOnce(&mut Config),
    ) -> (Self, Host) {
        let (tell, events) = unbounded_channel();
        let builder = Host::builder()
            .options(patchcord::testing::options())
            .on_event(move |event| drop(tell.send(event.clone())));
        let host = build(builder).build();
        let _ = host.load().await;
        let mut config = Config::default();
        config.port = 0;
        change(&mut config);
        let server = Server::bind(host.clone(), &config).await.unwrap();
        let running = Self {
            address: server.address(),
            server,
            events,
        };
        (running, host)
    }

    /// Wraps a server that the test has bound; the events of its host are not received.
    pub(crate) fn at(server: Server) -> Self {
        Self {
            address: server.address(),
            server,
            events: unbounded_channel().1,
        }
    }

    pub(crate) async fn websocket(&self) -> Client {
        Client::at(&format!(
            "ws://{}/socket.io/?EIO=4&transport=websocket",
            self.address
        ))
        .await
    }

    /// Waits for the next event that `wanted` accepts.
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
        tokio::time::timeout(TEST_TIMEOUT, search)
            .await
            .expect("nothing of the kind was announced")
    }

    /// Returns all events that were announced and have not been taken yet.
    pub(crate) fn announced_so_far(&mut self) -> Vec<HostEvent> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }

    /// Sends one raw HTTP request on a connection of its own, and returns the response.
    pub(crate) async fn http(&self, request: &str) -> String {
        http(self.address, request).await
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        get(self.address, path).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> String {
        post(self.address, path, body).await
    }
}

/// Sends one raw HTTP request on a connection of its own, and returns the response.
pub(crate) async fn http(address: SocketAddr, request: &str) -> String {
    String::from_utf8(http_bytes(address, request).await).unwrap()
}

/// Sends one raw HTTP request, and returns the response as bytes.
pub(crate) async fn http_bytes(address: SocketAddr, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = request.replace("{host}", &address.to_string());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    tokio::time::timeout(TEST_TIMEOUT, stream.read_to_end(&mut response))
        .await
        .expect("no answer")
        .unwrap();
    response
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n\r\n");
    http(address, &head).await
}

pub(crate) async fn post(address: SocketAddr, path: &str, body: &str) -> String {
    let head = format!("POST {path} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n");
    let request = format!(
        "{head}Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    http(address, &request).await
}

/// WebSocket client that sends and receives packets.
pub(crate) struct Client(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    pub(crate) async fn at(url: &str) -> Self {
        Self(connect_async(url).await.unwrap().0)
    }

    pub(crate) async fn send(&mut self, packet: &str) {
        self.0.send(Message::text(packet)).await.unwrap();
    }

    /// Returns the next packet except pings, which it answers; `None` when the server has closed the connection.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            match tokio::time::timeout(TEST_TIMEOUT, self.0.next())
                .await
                .expect("the server sent nothing")
            {
                Some(Ok(Message::Text(text))) if text == "2" => self.send("3").await,
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Binary(bytes))) => return Some(format!("binary {bytes:?}")),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Connects to a namespace, and returns the id of the socket.
    pub(crate) async fn connect(&mut self, namespace: &str) -> String {
        self.send(&format!("40{namespace}")).await;
        let answer = self.until(|packet| packet.starts_with("40")).await;
        answer
            .split("\"sid\":\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .to_owned()
    }

    /// Sends a packet, unless the connection has ended.
    pub(crate) async fn try_send(
        &mut self,
        packet: &str,
    ) -> Result<(), Box<dyn std::error::Error>> {
        Ok(self.0.send(Message::text(packet)).await?)
    }

    /// Returns the next packet that is wanted; `None` when the server has closed the connection.
    pub(crate) async fn try_until(&mut self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        loop {
            let packet = self.next().await?;
            if wanted(&packet) {
                return Some(packet);
            }
        }
    }

    pub(crate) async fn until(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let packet = self.next().await.expect("the server closed the connection");
            if wanted(&packet) {
                return packet;
            }
        }
    }
}

pub(crate) fn sid(handshake: &str) -> &str {
    handshake
        .split("\"sid\":\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
}

pub(crate) const ECHO: &str = r#"fn on_connection(socket) {
    socket.emit("hello", socket.id);
    socket.on("echo", |x| { socket.emit("echo", x); x });
    socket.on("disconnect", |reason| { print(reason); });
}"#;

/// Returns the value of a header of an answer.
pub(crate) fn says(answer: &str, name: &str) -> Option<String> {
    let head = answer.split("\r\n\r\n").next()?;
    let line = head
        .lines()
        .find(|line| line.to_lowercase().starts_with(&format!("{name}: ")))?;
    Some(line.split_once(": ")?.1.to_owned())
}
