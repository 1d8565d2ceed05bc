//! What Engine.IO and Socket.IO write on the wire. An Engine.IO packet begins with its type; that of a message has a
//! Socket.IO packet behind it, which begins with a type of its own: `42["event"]` is an event in a message.

/// The version of Engine.IO, as the query of a request has it in `EIO`.
pub(super) const VERSION: &str = "4";

/// Begins the first packet of a session, which tells the client its id.
pub(super) const OPEN: u8 = b'0';
/// The packet of one that closes the session.
pub(super) const CLOSE: &str = "1";
/// Begins a packet of Socket.IO.
pub(super) const MESSAGE: u8 = b'4';
/// The packet that ends an upgrade: a WebSocket takes over from polling.
pub(super) const UPGRADE: &str = "5";
/// Begins an attachment in a payload of the polling transport, as base64; by a WebSocket it is a binary frame.
pub(super) const ATTACHMENT: u8 = b'b';
/// Between the packets of a payload of the polling transport.
pub(super) const SEPARATOR: u8 = 0x1e;

/// Behind [`MESSAGE`]: a client asks for a namespace, or is told that it may have it.
pub(super) const CONNECT: u8 = b'0';
/// Behind [`MESSAGE`]: an event.
pub(super) const EVENT: u8 = b'2';
/// Behind [`MESSAGE`]: the answer to an event.
pub(super) const ACK: u8 = b'3';
/// Behind [`MESSAGE`]: an event with attachments, whose number comes next.
pub(super) const BINARY_EVENT: u8 = b'5';
/// Behind [`MESSAGE`]: an answer with attachments, whose number comes next.
pub(super) const BINARY_ACK: u8 = b'6';

/// Behind the number of attachments.
pub(super) const ATTACHMENTS_END: char = '-';
/// Behind the name of a namespace.
pub(super) const NAMESPACE_END: u8 = b',';
/// The namespace of a packet that names none; the names of others begin with it.
pub(super) const ROOT: &str = "/";

/// The start of a packet that is a CONNECT.
pub(super) const CONNECT_START: [u8; 2] = [MESSAGE, CONNECT];

/// Maximum length of a namespace's name, in bytes; of a longer one only the beginning is read.
pub(super) const MAX_NAMESPACE: usize = 256;

/// The namespace of a CONNECT, as the Socket.IO crate will read it; `None` for any other packet.
pub(super) fn connect(packet: &[u8]) -> Option<String> {
    let rest = packet.strip_prefix(&CONNECT_START)?;
    let rest = rest.get(..MAX_NAMESPACE).unwrap_or(rest);
    let name = match rest.starts_with(ROOT.as_bytes()) {
        true => rest.split(|byte| *byte == NAMESPACE_END).next(),
        false => None,
    };
    let name = name.unwrap_or(ROOT.as_bytes());
    Some(String::from_utf8_lossy(name).into_owned())
}
