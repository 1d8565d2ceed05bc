//! Packets that no client should send: mutations of every kind of packet, over a raw WebSocket.

use std::{fs, path::Path, time::Duration};

use patchcord::HostEvent;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::support::{
    server::Running,
    wire::{frame, masked, raw, read_until},
};

/// Number of connections with mutated packets.
const CASES: usize = 200;

/// Returns the packets that are mutated.
fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/packets");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

#[derive(Debug, Clone)]
enum Change {
    Set(usize, u8),
    Remove(usize),
    Repeat(usize, usize),
    Insert(usize, &'static str),
    Cut(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let odd = [
        "[",
        "{",
        "\"",
        "\\u",
        ",",
        "-",
        "/",
        "99999999999999999999",
        "[[[[[[[[",
        "\u{0}",
    ];
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        any::<usize>().prop_map(Change::Remove),
        (any::<usize>(), 1_usize..300).prop_map(|(at, times)| Change::Repeat(at, times)),
        (any::<usize>(), proptest::sample::select(odd.to_vec()))
            .prop_map(|(at, text)| Change::Insert(at, text)),
        any::<usize>().prop_map(Change::Cut),
    ]
}

fn apply(mut packet: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let place = |at: usize| at % (packet.len() + 1);
        match change {
            Change::Set(at, byte) if place(*at) < packet.len() => {
                let at = place(*at);
                packet[at] = *byte;
            }
            Change::Remove(at) if place(*at) < packet.len() => {
                packet.remove(place(*at));
            }
            Change::Repeat(at, times) if place(*at) < packet.len() => {
                let at = place(*at);
                packet.splice(at..at, [packet[at]].repeat(*times));
            }
            Change::Insert(at, text) => {
                let at = place(*at);
                packet.splice(at..at, text.bytes());
            }
            Change::Cut(at) => packet.truncate(place(*at)),
            _ => {}
        }
    }
    packet
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_packets_end_their_own_connection_at_most() {
    let script = "fn on_connection(socket) { socket.on_any(|event, args| { socket.emit(event, spread(args)); }); }";
    let mut running = Running::new(&[("main.rhai", script), ("good.rhai", script)], |b| b).await;
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    );
    let packets = proptest::collection::vec(
        (
            proptest::sample::select(corpus()),
            proptest::collection::vec(change(), 0..6),
            prop_oneof![8 => Just(0x81_u8), 2 => Just(0x82), 1 => any::<u8>()],
        ),
        1..12,
    );
    let mut good = running.websocket().await;
    good.connect("/good,").await;
    for case in 0..CASES {
        let mut client = raw(&running).await;
        client.write_all(&frame("40")).await.unwrap();
        read_until(&mut client, "40{").await;
        let packets = packets.new_tree(&mut runner).unwrap().current();
        for (packet, changes, opcode) in packets {
            let bytes = masked(opcode, &apply(packet, &changes));
            // The server may have closed the connection by now.
            let _ = client.write_all(&bytes).await;
        }
        let mut answer = [0; 4096];
        let _ = timeout(Duration::from_millis(1), client.read(&mut answer)).await;
        drop(client);
        good.send(&format!("42/good,[\"case\",{case}]")).await;
        let expected = format!("42/good,[\"case\",{case}]");
        good.until(|packet| packet == expected).await;
    }
    while let Ok(event) = running.events.try_recv() {
        if let HostEvent::HandlerFailed { diagnostic } = event {
            assert!(!diagnostic.to_string().contains("panicked"), "{diagnostic}");
        }
    }
}
