//! WebSockets as raw streams of bytes.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::server::Running;

/// Returns a masked text frame, as clients send them.
pub(crate) fn frame(text: &str) -> Vec<u8> {
    masked(0x81, text.as_bytes())
}

/// Returns a masked frame. `head` has its kind and its flags.
pub(crate) fn masked(head: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![head];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    let bytes = payload.iter().zip(MASK.iter().cycle());
    frame.extend(bytes.map(|(byte, mask)| byte ^ mask));
    frame
}

/// Opens a WebSocket as a raw stream of bytes.
pub(crate) async fn raw(running: &Running) -> TcpStream {
    raw_at(running.address).await
}

pub(crate) async fn raw_at(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = upgrade_request(address);
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Returns a request for a WebSocket.
pub(crate) fn upgrade_request(address: SocketAddr) -> String {
    format!(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

pub(crate) async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(end) {
        let mut chunk = [0; 16 * 1024];
        let count = stream.read(&mut chunk).await.unwrap();
        assert!(count > 0, "closed after {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&chunk[..count]);
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// Returns a client that is in `/`, does not read, and has a small receive buffer.
pub(crate) async fn stalled_client(running: &Running) -> TcpStream {
    stalled_client_at(running.address).await
}

pub(crate) async fn stalled_client_at(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let request = upgrade_request(address);
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.write_all(&frame("40")).await.unwrap();
    read_until(&mut stream, "40{").await;
    stream
}
