//! Socket.IO client over a raw WebSocket, as cheap as possible: it reads only the first bytes of a payload.

use std::{
    cell::RefCell,
    io::{self, Error, ErrorKind},
    net::SocketAddr,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Maximum number of bytes of one read.
const CHUNK: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// One WebSocket in one namespace.
pub(crate) struct Client {
    stream: TcpStream,
    /// Beginning of a frame that is not complete yet.
    rest: Vec<u8>,
    namespace: String,
}

impl Client {
    /// Connects to a namespace, and waits until the client is accepted.
    pub(crate) async fn connect(address: SocketAddr, namespace: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {address}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
             Accept-Language: en\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut rest = Vec::new();
        let end = loop {
            if stream.read_buf(&mut rest).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        if !rest.starts_with(b"HTTP/1.1 101") {
            return Err(Error::other(String::from_utf8_lossy(&rest).into_owned()));
        }
        rest.drain(..end);
        let namespace = match namespace {
            "/" => String::new(),
            other => format!("{other},"),
        };
        let mut client = Self {
            stream,
            rest,
            namespace,
        };
        client
            .send(&frame(&format!("40{}", client.namespace)))
            .await?;
        let mut accepted = false;
        while !accepted {
            client
                .receive(|packet| accepted |= packet.starts_with(b"40"))
                .await?;
        }
        Ok(client)
    }

    /// Returns the frame of an event. `body` is its JSON, after an ack id if the event asks for an ack.
    pub(crate) fn event(&self, body: &str) -> Vec<u8> {
        frame(&format!("42{}{body}", self.namespace))
    }

    /// Sends a frame.
    pub(crate) async fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.stream.write_all(frame).await
    }

    /// Waits for packets, and passes each one that has arrived to `each`; answers pings itself.
    pub(crate) async fn receive(&mut self, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut pings = 0;
        let mut look = |packet: &[u8]| match packet {
            b"2" => pings += 1,
            packet => each(packet),
        };
        if !self.rest.is_empty() {
            let whole = packets(&self.rest, &mut look);
            self.rest.drain(..whole);
            if whole > 0 {
                return self.pong(pings).await;
            }
        }
        self.stream.readable().await?;
        BUFFER.with_borrow_mut(|buffer| {
            let read = match self.stream.try_read(buffer) {
                Ok(0) => return Err(Error::from(ErrorKind::UnexpectedEof)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                read => &buffer[..read?],
            };
            if self.rest.is_empty() {
                let whole = packets(read, &mut look);
                self.rest.extend_from_slice(&read[whole..]);
            } else {
                self.rest.extend_from_slice(read);
                let whole = packets(&self.rest, &mut look);
                self.rest.drain(..whole);
            }
            Ok(())
        })?;
        self.pong(pings).await
    }

    async fn pong(&mut self, pings: usize) -> io::Result<()> {
        for _ in 0..pings {
            self.send(&frame("3")).await?;
        }
        Ok(())
    }
}

/// Passes the payload of each complete frame of a server to `each`, and returns the total size of these frames.
fn packets(bytes: &[u8], each: &mut impl FnMut(&[u8])) -> usize {
    let mut at = 0;
    while let Some(&[_, length]) = bytes.get(at..at + 2) {
        let (header, length) = match length {
            126 => match bytes.get(at + 2..at + 4) {
                Some(&[a, b]) => (4, usize::from(u16::from_be_bytes([a, b]))),
                _ => break,
            },
            127 => match bytes.get(at + 2..at + 10).and_then(|b| b.try_into().ok()) {
                Some(length) => (10, u64::from_be_bytes(length) as usize),
                None => break,
            },
            short => (2, usize::from(short)),
        };
        let Some(payload) = bytes.get(at + header..at + header + length) else {
            break;
        };
        each(payload);
        at += header + length;
    }
    at
}

/// Returns a masked text frame.
pub(crate) fn frame(text: &str) -> Vec<u8> {
    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
    let mut frame = vec![0x81];
    match text.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        long => {
            frame.push(0x80 | 126);
            frame.extend((long as u16).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(
        text.bytes()
            .zip(MASK.into_iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}
