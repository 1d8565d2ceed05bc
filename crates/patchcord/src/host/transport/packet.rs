//! Head of a Socket.IO packet: its type, the number of its attachments, its namespace, its id. JSON follows.

use bytes::Bytes;
use tokio::time::Instant;

use super::protocol::{
    ACK, ATTACHMENTS_END, BINARY_ACK, BINARY_EVENT, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT,
    MESSAGE, NAMESPACE_END, ROOT,
};

/// Kind of a packet from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Request to connect to a namespace.
    Connect,
    /// End of a socket, requested by the client.
    Disconnect,
    /// Event of the client.
    Event,
    /// Answer to an event of the server.
    Ack,
}

/// Socket.IO packet of a client, without the type of the Engine.IO packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) kind: Kind,
    /// Number of attachments that follow the packet.
    pub(super) attachments: usize,
    pub(super) namespace: &'a str,
    /// Ack id: that of an event that asks for an ack, or of the ack itself.
    pub(super) id: Option<i64>,
    /// JSON text, which may be empty.
    pub(super) payload: &'a str,
}

impl<'a> Packet<'a> {
    /// Parses the head of a packet. Returns `None` if it is invalid, by the rules of Node's parser.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (kind, is_binary) = match *text.as_bytes().first()? {
            CONNECT => (Kind::Connect, false),
            DISCONNECT => (Kind::Disconnect, false),
            EVENT => (Kind::Event, false),
            ACK => (Kind::Ack, false),
            BINARY_EVENT => (Kind::Event, true),
            BINARY_ACK => (Kind::Ack, true),
            _ => return None,
        };
        let rest = text.get(1..)?;
        let (attachments, rest) = match is_binary {
            true => {
                let (count, rest) = rest.split_once(ATTACHMENTS_END)?;
                // Node's parser requires at least one.
                (number(count).filter(|count| *count > 0)?, rest)
            }
            false => (0, rest),
        };
        let (namespace, rest) = match rest.starts_with(ROOT) {
            true => rest
                .split_once(char::from(NAMESPACE_END))
                .unwrap_or((rest, "")),
            false => (ROOT, rest),
        };
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (id, payload) = rest.split_at(digits);
        Some(Self {
            kind,
            attachments,
            namespace,
            id: match id.is_empty() {
                true => None,
                false => Some(id.parse().ok()?),
            },
            payload,
        })
    }
}

/// Packet of a client whose attachments have not all arrived.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) text: Box<str>,
    pub(super) since: Instant,
    /// Number of attachments that belong to the packet.
    pub(super) expected: usize,
    pub(super) attachments: Vec<Bytes>,
}

/// Parses a number that consists of digits only.
fn number(text: &str) -> Option<usize> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// Returns the answer to a CONNECT that is accepted. `pid` is the secret with which the client may come back.
pub(super) fn connected(namespace: &str, id: &str, pid: Option<&str>) -> String {
    let end = end_of(namespace);
    let (message, kind) = (char::from(MESSAGE), char::from(CONNECT));
    // The ids need no escape: they consist of letters, digits, `-` and `_`.
    let pid = pid.map_or_else(String::new, |pid| format!(",\"pid\":\"{pid}\""));
    format!("{message}{kind}{end}{{\"sid\":\"{id}\"{pid}}}")
}

/// Returns the answer to a CONNECT that is rejected.
pub(super) fn refused(namespace: &str, reason: &str) -> String {
    let end = end_of(namespace);
    let (message, kind) = (char::from(MESSAGE), char::from(CONNECT_ERROR));
    let reason = serde_json::json!({ "message": reason });
    format!("{message}{kind}{end}{reason}")
}

/// Returns the text of a namespace in a packet, with the character that ends it.
fn end_of(namespace: &str) -> String {
    match namespace {
        ROOT => String::new(),
        other => format!("{other}{}", char::from(NAMESPACE_END)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet<'a>(
        kind: Kind,
        attachments: usize,
        namespace: &'a str,
        id: Option<i64>,
        payload: &'a str,
    ) -> Option<Packet<'a>> {
        Some(Packet {
            kind,
            attachments,
            namespace,
            id,
            payload,
        })
    }

    #[test]
    fn each_part_of_a_head_is_read() {
        let of = Packet::parse;
        assert_eq!(of("0"), packet(Kind::Connect, 0, "/", None, ""));
        assert_eq!(
            of("0/chat,{\"a\":1}"),
            packet(Kind::Connect, 0, "/chat", None, "{\"a\":1}")
        );
        assert_eq!(of("0/chat"), packet(Kind::Connect, 0, "/chat", None, ""));
        assert_eq!(
            of("1/chat,"),
            packet(Kind::Disconnect, 0, "/chat", None, "")
        );
        assert_eq!(
            of("2[\"a,b\"]"),
            packet(Kind::Event, 0, "/", None, "[\"a,b\"]")
        );
        assert_eq!(
            of("212[\"a\"]"),
            packet(Kind::Event, 0, "/", Some(12), "[\"a\"]")
        );
        assert_eq!(
            of("52-/chat,7[\"a\"]"),
            packet(Kind::Event, 2, "/chat", Some(7), "[\"a\"]")
        );
        assert_eq!(of("31[]"), packet(Kind::Ack, 0, "/", Some(1), "[]"));
        assert_eq!(of("61-1[]"), packet(Kind::Ack, 1, "/", Some(1), "[]"));
    }

    #[test]
    fn what_is_no_head_is_none() {
        for text in [
            "",
            "4{}",
            "7",
            "x",
            "5[\"a\"]",
            "5-[\"a\"]",
            "5+1-[]",
            "50-[\"a\"]",
            "51[\"a-b\"]",
            "299999999999999999999[]",
            "ä",
        ] {
            assert_eq!(Packet::parse(text), None, "{text}");
        }
    }

    #[test]
    fn answers_name_their_namespace() {
        assert_eq!(connected("/", "a", None), "40{\"sid\":\"a\"}");
        assert_eq!(connected("/chat", "a", None), "40/chat,{\"sid\":\"a\"}");
        assert_eq!(
            connected("/", "a", Some("b-_")),
            "40{\"sid\":\"a\",\"pid\":\"b-_\"}"
        );
        assert_eq!(
            refused("/chat", "\"no\""),
            "44/chat,{\"message\":\"\\\"no\\\"\"}"
        );
    }
}
