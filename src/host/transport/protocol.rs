//! Format of Engine.IO and Socket.IO on the wire. An Engine.IO packet begins with its type. In a message, a Socket.IO
//! packet follows, which begins with a type of its own: `42["event"]` is an event in a message.

/// Version of Engine.IO, as `EIO` in the query of a request.
pub(super) const VERSION: &str = "4";

/// First byte of a session's first packet, which tells the client its id.
pub(super) const OPEN: u8 = b'0';
/// Packet with which either side closes the session.
pub(super) const CLOSE: &str = "1";
/// First byte of a Socket.IO packet.
pub(super) const MESSAGE: u8 = b'4';
/// Packet that ends an upgrade: a WebSocket replaces polling.
pub(super) const UPGRADE: &str = "5";
/// First byte of an attachment in a payload of the polling transport, as base64. On a WebSocket, an attachment is a
/// binary frame.
pub(super) const ATTACHMENT: u8 = b'b';
/// Separator of the packets in a payload of the polling transport.
pub(super) const SEPARATOR: u8 = 0x1e;

/// Behind [`MESSAGE`]: a client asks for a namespace, or the server grants it.
pub(super) const CONNECT: u8 = b'0';
/// Behind [`MESSAGE`]: an event.
pub(super) const EVENT: u8 = b'2';
/// Behind [`MESSAGE`]: the answer to an event.
pub(super) const ACK: u8 = b'3';
/// Behind [`MESSAGE`]: an event with attachments, whose number comes next.
pub(super) const BINARY_EVENT: u8 = b'5';
/// Behind [`MESSAGE`]: an answer with attachments, whose number comes next.
pub(super) const BINARY_ACK: u8 = b'6';

/// End of the number of attachments.
pub(super) const ATTACHMENTS_END: char = '-';
/// End of a namespace's name.
pub(super) const NAMESPACE_END: u8 = b',';
/// Namespace of a packet that names none. The names of all others begin with it.
pub(super) const ROOT: &str = "/";

/// Start of a CONNECT packet.
pub(super) const CONNECT_START: [u8; 2] = [MESSAGE, CONNECT];

/// Maximum length of a namespace's name, in bytes. Of a longer name, only the beginning is read.
pub(super) const MAX_NAMESPACE: usize = 256;

/// Returns the namespace of a CONNECT, as socketioxide will read it; `None` for any other packet.
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
