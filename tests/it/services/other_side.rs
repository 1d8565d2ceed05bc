//! Server that scripts send requests to, with good and bad answers.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

pub(super) struct OtherSide {
    pub(super) address: SocketAddr,
    /// Requests, as text.
    pub(super) requests: UnboundedReceiver<String>,
    /// Number of connections that are open.
    pub(super) open: Arc<AtomicUsize>,
}

impl OtherSide {
    pub(super) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, requests) = unbounded_channel();
        let open = Arc::<AtomicUsize>::default();
        let counted = open.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, counted) = (seen.clone(), counted.clone());
                tokio::spawn(async move {
                    counted.fetch_add(1, Ordering::SeqCst);
                    // The client may close the connection at any time.
                    let _ = serve(stream, &seen).await;
                    counted.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self {
            address,
            requests,
            open,
        }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits until a request has come, and returns it.
    pub(super) async fn request(&mut self) -> String {
        self.requests.recv().await.unwrap()
    }
}

async fn serve(mut stream: TcpStream, seen: &UnboundedSender<String>) -> std::io::Result<()> {
    loop {
        let Some(request) = read(&mut stream).await? else {
            return Ok(());
        };
        let path = request.split(' ').nth(1).unwrap().to_owned();
        let _ = seen.send(request.clone());
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        match path {
            "/json" => answer(&mut stream, "200 OK", r#"{"name":"Ada","age":36}"#).await?,
            "/echo" => answer(&mut stream, "200 OK", &request).await?,
            "/query" => answer(&mut stream, "200 OK", query).await?,
            "/slow" => {
                let soon = tokio::time::Instant::now() + std::time::Duration::from_millis(300);
                tokio::time::sleep_until(soon).await;
                answer(&mut stream, "200 OK", "").await?;
            }
            "/redirect" => {
                let head = "HTTP/1.1 302 Found\r\nlocation: /json\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(head.as_bytes()).await?;
            }
            "/headers" => {
                let head = "HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(head.as_bytes()).await?;
            }
            "/binary" => {
                let head = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n";
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(&[0xff, 0, 1]).await?;
            }
            "/hang" => return until_closed(&mut stream).await,
            "/hang-after-head" => {
                let head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc";
                stream.write_all(head.as_bytes()).await?;
                return until_closed(&mut stream).await;
            }
            "/claims-to-be-huge" => {
                let head = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n";
                stream.write_all(head.as_bytes()).await?;
                endless(&mut stream, &[b'x'; 4096]).await?;
            }
            "/endless" => {
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                stream.write_all(head.as_bytes()).await?;
                let chunk = [b"1000\r\n".as_slice(), &[b'x'; 4096], b"\r\n"].concat();
                endless(&mut stream, &chunk).await?;
            }
            "/endless-head" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
                endless(&mut stream, b"x-header: value\r\n").await?;
            }
            "/keys" => {
                let file = concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/tests/fixtures/jwt/tokens.json"
                );
                let tokens: serde_json::Value =
                    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
                answer(
                    &mut stream,
                    "200 OK",
                    &tokens["key_sets"]["rsa"].to_string(),
                )
                .await?;
            }
            "/interim" => {
                for _ in 0..3 {
                    stream.write_all(INTERIM).await?;
                }
                answer(&mut stream, "200 OK", "done").await?;
            }
            "/endless-interim" => endless(&mut stream, INTERIM).await?,
            "/malformed" => {
                stream.write_all(b"this is no HTTP\r\n\r\n").await?;
                return Ok(());
            }
            "/cut" => return Ok(()),
            "/cut-in-body" => {
                let head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc";
                stream.write_all(head.as_bytes()).await?;
                return Ok(());
            }
            status => {
                let status = status.trim_start_matches('/');
                answer(&mut stream, &format!("{status} X"), "").await?;
            }
        }
    }
}

/// Answer that comes before the answer to a request.
const INTERIM: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n";

async fn until_closed(stream: &mut TcpStream) -> std::io::Result<()> {
    while stream.read(&mut [0; 64]).await? > 0 {}
    Ok(())
}

async fn endless(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    loop {
        stream.write_all(bytes).await?;
    }
}

async fn answer(stream: &mut TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await
}

/// Reads a request; `None` at the end of the connection.
async fn read(stream: &mut TcpStream) -> std::io::Result<Option<String>> {
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    loop {
        // The beginning of TLS.
        if text.starts_with('\u{16}') {
            return Ok(Some("GET /malformed HTTP/1.1".to_owned()));
        }
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return Ok(Some(text));
            }
        }
        match stream.read(&mut buffer).await? {
            0 => return Ok(None),
            count => text += &String::from_utf8_lossy(&buffer[..count]),
        }
    }
}
