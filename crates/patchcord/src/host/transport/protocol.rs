//! Format of Engine.IO and Socket.IO on the wire. An Engine.IO packet begins with its type. If the type is that of a
//! message, a Socket.IO packet follows, which begins with its own type: `42["event"]` is an event in a message.

/// Version of Engine.IO, as `EIO` in the query of a request.
pub(super) const VERSION: &str = "4";

/// First byte of a session's first packet, which contains the session id.
pub(super) const OPEN: u8 = b'0';
/// First byte of the packet with which either side closes the session.
pub(super) const CLOSE: u8 = b'1';
/// First byte of the packet by which the server checks that the client is alive.
pub(super) const PING: u8 = b'2';
/// First byte of the client's answer to [`PING`].
pub(super) const PONG: u8 = b'3';
/// First byte of a Socket.IO packet.
pub(super) const MESSAGE: u8 = b'4';
/// Packet that ends an upgrade: a WebSocket replaces polling.
pub(super) const UPGRADE: &[u8] = b"5";
/// Packet that answers a poll if there is nothing else to send.
pub(super) const NOOP: &[u8] = b"6";
/// Packet by which a client tests a WebSocket before it upgrades to it.
pub(super) const PROBE: &[u8] = b"2probe";
/// Answer to [`PROBE`].
pub(super) const PROBED: &[u8] = b"3probe";
/// First byte of an attachment in a payload of the polling transport, as base64. On a WebSocket, an attachment is a
/// binary frame.
pub(super) const ATTACHMENT: u8 = b'b';
/// Separator of the packets in a payload of the polling transport.
pub(super) const SEPARATOR: u8 = 0x1e;

/// Type after [`MESSAGE`]: a client connects to a namespace, or the server accepts that.
pub(super) const CONNECT: u8 = b'0';
/// Type after [`MESSAGE`]: either side ends a socket.
pub(super) const DISCONNECT: u8 = b'1';
/// Type after [`MESSAGE`]: an event.
pub(super) const EVENT: u8 = b'2';
/// Type after [`MESSAGE`]: the answer to an event.
pub(super) const ACK: u8 = b'3';
/// Type after [`MESSAGE`]: the server rejects a CONNECT.
pub(super) const CONNECT_ERROR: u8 = b'4';
/// Type after [`MESSAGE`]: an event with attachments, whose number comes next.
pub(super) const BINARY_EVENT: u8 = b'5';
/// Type after [`MESSAGE`]: an answer with attachments, whose number comes next.
pub(super) const BINARY_ACK: u8 = b'6';

/// Character after the number of attachments.
pub(super) const ATTACHMENTS_END: char = '-';
/// Byte after the name of a namespace.
pub(super) const NAMESPACE_END: u8 = b',';
/// Namespace of a packet that names none. The names of all other namespaces begin with it.
pub(super) const ROOT: &str = "/";

/// Maximum length of a namespace's name, in bytes.
pub(super) const MAX_NAMESPACE: usize = 256;
