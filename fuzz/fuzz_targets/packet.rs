//! Decodes a packet to values, encodes these to a packet, and repeats both.
//!
//! The input is the packet, as in `tests/fixtures/packets`, then its attachments, with a zero byte before each.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use patchcord::value::{Limits, args, event, to_packet, value};

fuzz_target!(|data: &[u8]| {
    let mut parts = data.split(|byte| *byte == 0);
    let Ok(packet) = std::str::from_utf8(parts.next().unwrap_or_default()) else {
        return;
    };
    let attachments: Vec<_> = parts.map(Bytes::copy_from_slice).collect();
    let limits = Limits::default();
    let payload = packet.find(['[', '{']).map_or("", |start| &packet[start..]);
    for text in [packet, payload] {
        let _ = value(text, &attachments, &limits);
        let _ = args(text, &attachments, &limits);
        let Ok(heard) = event(text, &attachments, &limits) else {
            continue;
        };
        let Ok(sent) = to_packet(Some(&heard.name), &heard.args) else {
            continue;
        };
        let again =
            event(&sent.text, &sent.attachments, &limits).expect("what is sent can be read");
        // The type of a number may change, as with `-0` and `1.0`, but not what is sent for it.
        let twice = to_packet(Some(&again.name), &again.args).expect("and sent again");
        assert_eq!(twice.text, sent.text);
        assert_eq!(twice.attachments, sent.attachments);
    }
});
