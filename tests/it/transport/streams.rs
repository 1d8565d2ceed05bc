//! The bytes of a client mean the same however the network splits them.

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    options::patient,
    server::{Client, Running, TEST_TIMEOUT},
    wire::{masked, raw},
};

const MAIN: &str = r#"fn on_connection(socket) {
    socket.on("text", |text| { socket.emit("text", text.len()); });
    socket.on("bytes", |bytes| { socket.emit("bytes", bytes.len()); });
}"#;
const CHAT: &str = r#"fn on_connection(socket) { socket.on("text", |text| text.len()); }"#;

/// Maximum size of a message.
const MAX_PAYLOAD: usize = 70_000;

/// Something that a client sends.
#[derive(Debug, Clone)]
enum Sent {
    /// Event with a text of this length.
    Text(usize),
    /// Event of `/chat` that asks for an ack.
    Chat(usize),
    /// Event with an attachment of this length.
    Bytes(usize),
    /// Message in frames of these lengths, with a ping behind each.
    Parts(Vec<usize>),
    /// Ping of the WebSocket.
    Ping(usize),
    /// Text of a frame, as it is.
    Raw(&'static str),
    /// Bytes of a frame, as they are, behind its head.
    Bits(u8, Vec<u8>),
    /// Frame without a mask.
    Unmasked,
}

fn sent() -> impl Strategy<Value = Sent> {
    let length =
        prop_oneof![20 => 0..40_usize, 4 => 100..300_usize, 1 => 65_000..MAX_PAYLOAD + 100];
    let harmless = prop::sample::select(&[
        "3",
        "40",
        "40/chat,",
        "40/none,",
        "41/chat,",
        "42[\"other\",1]",
    ]);
    let harmful = [
        "",
        "9",
        "4",
        "48",
        "41",
        "42{",
        "42[]",
        "43[1]",
        "450-[\"text\",\"\"]",
        "40{]",
    ];
    let bits = (
        prop::sample::select(&[0x81_u8, 0x01, 0x00, 0x80, 0xc1, 0x83, 0x88, 0x8f]),
        vec(any::<u8>(), 0..20),
    );
    prop_oneof![
        12 => length.clone().prop_map(Sent::Text),
        4 => length.clone().prop_map(Sent::Chat),
        4 => length.prop_map(Sent::Bytes),
        3 => vec(0..30_usize, 1..5).prop_map(Sent::Parts),
        2 => (0..126_usize).prop_map(Sent::Ping),
        3 => harmless.prop_map(Sent::Raw),
        1 => prop::sample::select(harmful.to_vec()).prop_map(Sent::Raw),
        1 => bits.prop_map(|(head, bytes)| Sent::Bits(head, bytes)),
        1 => Just(Sent::Unmasked),
    ]
}

impl Sent {
    fn bytes(&self) -> Vec<u8> {
        let text = |text: String| masked(0x81, text.as_bytes());
        match self {
            Self::Text(length) => text(format!(r#"42["text","{}"]"#, "é".repeat(*length))),
            Self::Chat(length) => text(format!(r#"42/chat,7["text","{}"]"#, "x".repeat(*length))),
            Self::Bytes(length) => {
                let event = r#"451-["bytes",{"_placeholder":true,"num":0}]"#;
                [text(event.to_owned()), masked(0x82, &vec![7; *length])].concat()
            }
            Self::Parts(lengths) => {
                let (mut frames, last) = (masked(0x01, b"42[\"text\",\""), masked(0x80, b"\"]"));
                for length in lengths {
                    frames.extend(masked(0x00, "x".repeat(*length).as_bytes()));
                    frames.extend(masked(0x89, b"between"));
                }
                frames.extend(last);
                frames
            }
            Self::Ping(length) => masked(0x89, &vec![b'p'; *length]),
            Self::Raw(sent) => text((*sent).to_owned()),
            Self::Bits(head, payload) => masked(*head, payload),
            Self::Unmasked => vec![0x81, 4, b'4', b'2', b'[', b']'],
        }
    }
}

/// Messages that a client receives until its last events are answered, or it is disconnected.
#[derive(Debug, PartialEq)]
struct Heard {
    messages: Vec<String>,
    is_disconnected: bool,
}

impl Heard {
    /// Returns the parts that must each be the same: the order between them may differ, because each namespace has
    /// turns of its own, and packets of the session wait for no turn.
    fn parts(&self) -> [Vec<&str>; 3] {
        let is_chat = |message: &str| message.contains("/chat");
        let is_event = |message: &str| message.starts_with("81 42") || message.starts_with("81 43");
        let of = |wanted: &dyn Fn(&str) -> bool| {
            let messages = self.messages.iter().map(String::as_str);
            messages.filter(|message| wanted(message)).collect()
        };
        [
            of(&|message| !is_event(message)),
            of(&|message| is_event(message) && is_chat(message)),
            of(&|message| is_event(message) && !is_chat(message)),
        ]
    }
}

/// Returns the messages in a server's frames, without the ids of sockets.
fn messages(mut bytes: &[u8]) -> Vec<String> {
    let mut messages = Vec::new();
    while let [head, length, rest @ ..] = bytes {
        let (size, rest) = match *length {
            126 => (usize::from(rest[0]) << 8 | usize::from(rest[1]), &rest[2..]),
            length => (usize::from(length), rest),
        };
        let (payload, rest) = rest.split_at(size.min(rest.len()));
        let text = String::from_utf8_lossy(payload);
        let text = text.split("\"sid\"").next().unwrap_or_default();
        messages.push(format!("{head:x} {text}"));
        bytes = rest;
    }
    messages
}

struct Scene {
    running: Running,
    other: Client,
}

impl Scene {
    async fn new() -> Self {
        let mut options = patient();
        options.transport.max_payload = MAX_PAYLOAD;
        let files = [("main.rhai", MAIN), ("chat.rhai", CHAT)];
        let running = Running::new(&files, |builder| builder.options(options)).await;
        let mut other = running.websocket().await;
        other.connect("/chat").await;
        Self { running, other }
    }

    /// Sends bytes in pieces, each after the server has had time to read the one before.
    async fn play(&mut self, pieces: &[&[u8]]) -> Heard {
        let mut stream = raw(&self.running).await;
        stream.set_nodelay(true).unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"}") {
            stream.read_buf(&mut heard).await.unwrap();
        }
        let head = heard.windows(4).position(|end| end == b"\r\n\r\n");
        heard.drain(..head.unwrap() + 4);
        for piece in pieces {
            // A client that is disconnected cannot send the rest.
            if stream.write_all(piece).await.is_err() {
                break;
            }
            self.other.send("42/chat,1[\"text\",\"\"]").await;
            self.other.until(|packet| packet.starts_with("43")).await;
        }
        let is_disconnected = rest(&mut stream, &mut heard).await;
        Heard {
            messages: messages(&heard),
            is_disconnected,
        }
    }
}

/// Reads until the answers to the last events of both namespaces, or the end; returns `true` for the end.
async fn rest(stream: &mut TcpStream, heard: &mut Vec<u8>) -> bool {
    let has = |heard: &[u8], answer: &str| {
        let mut parts = heard.windows(answer.len());
        parts.any(|part| part == answer.as_bytes())
    };
    while !has(heard, "[\"text\",12345]") || !has(heard, "43/chat,99[") {
        let read = timeout(TEST_TIMEOUT, stream.read_buf(heard)).await;
        let read =
            read.unwrap_or_else(|_| panic!("neither answers nor the end: {:?}", messages(heard)));
        if !matches!(read, Ok(1..)) {
            return true;
        }
    }
    false
}

/// Last events of each stream, one for each namespace.
fn last() -> Vec<u8> {
    let chat = masked(0x81, br#"42/chat,99["text",""]"#);
    let root = format!(r#"42["text","{}"]"#, "x".repeat(12345));
    [chat, masked(0x81, root.as_bytes())].concat()
}

#[test]
fn a_stream_means_the_same_however_it_is_split() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut scene = runtime.block_on(Scene::new());
    let begins = prop::bool::weighted(0.9);
    let input = (
        begins,
        vec(sent(), 0..12),
        vec(any::<prop::sample::Index>(), 1..8),
    );
    let cases = std::env::var("STREAMS")
        .ok()
        .and_then(|count| count.parse().ok());
    let scene = std::cell::RefCell::new(&mut scene);
    TestRunner::new(Config::with_cases(cases.unwrap_or(100)))
        .run(&input, |(begins, all, cuts)| {
            let mut bytes = Vec::new();
            if begins {
                bytes.extend([Sent::Raw("40").bytes(), Sent::Raw("40/chat,").bytes()].concat());
            }
            bytes.extend(all.iter().flat_map(Sent::bytes));
            bytes.extend(last());
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            let mut scene = scene.borrow_mut();
            let whole = runtime.block_on(scene.play(&[&bytes]));
            let split = runtime.block_on(scene.play(&pieces));
            prop_assert_eq!(whole.is_disconnected, split.is_disconnected);
            let is_disconnected = whole.is_disconnected;
            for (whole, split) in whole.parts().iter().zip(split.parts()) {
                // The network may drop what is on its way to a client that is disconnected while it still sends.
                let both = match is_disconnected {
                    true => whole.len().min(split.len()),
                    false => whole.len().max(split.len()),
                };
                let same = whole.iter().take(both).eq(split.iter().take(both));
                prop_assert!(same, "{:?}\n{:?}", whole, split);
            }
            Ok(())
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_before_a_broken_packet_is_answered() {
    let mut scene = Scene::new().await;
    for broken in [
        Sent::Unmasked,
        Sent::Raw("42{"),
        Sent::Raw("9"),
        Sent::Raw("40"),
        Sent::Bits(0xc1, vec![]),
    ] {
        let sent = [Sent::Raw("40"), Sent::Text(7), broken.clone()];
        let bytes: Vec<_> = sent.iter().flat_map(Sent::bytes).collect();
        let expected = Heard {
            messages: ["81 0{", "81 40{", "81 42[\"text\",7]", "88 "]
                .map(str::to_owned)
                .into(),
            is_disconnected: true,
        };
        // A busy machine may run the call on another thread, and its answer then comes too late.
        let mut heard = scene.play(&[&bytes]).await;
        for _ in 0..50 {
            if heard == expected {
                break;
            }
            heard = scene.play(&[&bytes]).await;
        }
        assert_eq!(heard, expected, "{broken:?}");
    }
}
