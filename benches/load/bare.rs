//! Server with the minimum cost of an echo: a read and a write on the socket, and nothing that Socket.IO requires.
//!
//! It answers the handshakes with fixed text, and then each frame of a client with the frame of an `echo`.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::stock::listen;

/// Response to a handshake with the sample key that every client of these benchmarks sends.
const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Serves until the process ends, and answers each event with `reply`.
pub(crate) async fn serve(reply: &str) -> io::Result<()> {
    let listener = listen().await?;
    let reply = server_frame(reply);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let reply = reply.clone();
        // An error of a client ends only its own task.
        tokio::spawn(async move { drop(echo(stream, &reply).await) });
    }
}

async fn echo(mut stream: TcpStream, reply: &[u8]) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    let mut read = 0;
    while !buffer[..read].ends_with(b"\r\n\r\n") {
        read += stream.read(&mut buffer[read..]).await?;
    }
    stream.write_all(SWITCHING).await?;
    stream.write_all(&server_frame("0{}")).await?;
    // Reads the CONNECT, which is so small that it arrives at once.
    let _ = stream.read(&mut buffer).await?;
    stream.write_all(&server_frame("40{}")).await?;
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        // All frames of a client have one size, so they can be counted by their bytes. The division ignores a frame
        // that has not arrived completely.
        let length = usize::from(buffer[1] & 0x7f) + 6;
        for _ in 0..read / length {
            stream.write_all(reply).await?;
        }
    }
}

fn server_frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, text.len() as u8];
    frame.extend(text.bytes());
    frame
}
