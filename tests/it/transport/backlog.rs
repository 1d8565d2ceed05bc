//! Events that are sent faster than a client reads: all of them arrive, or the client is disconnected, which is
//! announced and counted.

use std::time::Duration;

use patchcord::{Host, HostEvent, Options, testing::TestHost};

use crate::support::{
    options::patient,
    server::{Running, sid},
    wire::stalled_client,
};

async fn serving(script: &str, options: Options) -> (Running, Host) {
    let scripts = patchcord::script::Memory::from([("main.rhai", script)]);
    Running::reloadable(|builder| builder.loader(scripts).options(options)).await
}

/// Returns the id of a client that was disconnected, with the packets and bytes that were queued.
async fn slow_consumer(running: &mut Running) -> (String, usize, usize) {
    running
        .announced(|event| match event {
            HostEvent::SlowConsumer {
                socket,
                queued_packets: packets,
                queued_bytes: backlog,
                ..
            } => Some((socket?, packets, backlog)),
            _ => None,
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_lets_too_many_packets_wait_is_cut_off_and_others_are_not() {
    let script = "fn on_connection(socket) {
        let text = \"\"; text.pad(200, 'x');
        socket.on(\"ticks\", || { for i in 0..1000 { io.emit(\"tick\", i, text); } \"done\" });
    }";
    let mut options = patient();
    options.transport.max_backlog_packets = 5_000;
    let (mut running, host) = serving(script, options).await;
    let _deaf = stalled_client(&running).await;
    let mut client = running.websocket().await;
    client.connect("").await;
    let mut round = 0;
    while host.counters().slow_consumers.get() == 0 {
        client.send(&format!("42{round}[\"ticks\"]")).await;
        for n in 0..1000 {
            let tick = client.until(|packet| packet.starts_with("42")).await;
            assert!(tick.starts_with(&format!("42[\"tick\",{n},")), "{tick}");
        }
        let done = client.until(|packet| packet.starts_with("43")).await;
        assert_eq!(done, format!("43{round}[\"done\"]"));
        round += 1;
    }
    let (_, packets, bytes) = slow_consumer(&mut running).await;
    // Packets are counted only when the batch of a call is written.
    assert!(packets > 5_000 && packets < 10_000, "{packets}");
    assert!(bytes < 250 * packets, "{bytes} bytes of {packets} packets");
}

/// Opens a polling session in `/`, and returns its path.
async fn polling(running: &Running) -> String {
    let handshake = running.get("/socket.io/?EIO=4&transport=polling").await;
    let path = format!(
        "/socket.io/?EIO=4&transport=polling&sid={}",
        sid(&handshake)
    );
    assert!(running.post(&path, "40").await.ends_with("ok"));
    let mut heard = String::new();
    while !heard.contains("40{") {
        heard += &running.get(&path).await;
    }
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_poll_is_cut_off() {
    let script = "fn on_connection(socket) {
        let big = \"\"; big.pad(10000, 'x');
        socket.on(\"big\", || { for i in 0..20 { socket.emit(\"big\", big); } });
        socket.on(\"ticks\", || { for i in 0..200 { socket.emit(\"tick\", i); } });
    }
    fn on_disconnect(socket, reason) { print(`${socket.id} gone: ${reason}`); }";
    let mut options = patient();
    options.transport.max_backlog = 1 << 20;
    options.transport.max_backlog_packets = 1_000;
    let (mut running, host) = serving(script, options).await;
    for (event, most) in [("big", 1_000), ("ticks", 1_200)] {
        let path = polling(&running).await;
        let before = host.counters().slow_consumers.get();
        while host.counters().slow_consumers.get() == before {
            running.post(&path, &format!("42[\"{event}\"]")).await;
        }
        let (id, packets, bytes) = slow_consumer(&mut running).await;
        assert!(packets <= most && bytes < 2 << 20, "{packets} of {bytes}");
        assert!(packets > 1_000 || bytes > 1 << 20, "{packets} of {bytes}");
        let gone = running.announced(|event| match event {
            HostEvent::Log { text, .. } => Some(text),
            _ => None,
        });
        assert_eq!(gone.await, format!("{id} gone: transport error"));
    }
}

/// Polls until `count` events `n` have come, and checks that they are numbered in order.
async fn poll_numbers(running: &Running, path: &str, count: usize) {
    let mut next = 0;
    while next < count {
        let answer = running.get(path).await;
        let body = answer.split("\r\n\r\n").nth(1).unwrap();
        for packet in body.split('\u{1e}') {
            match packet {
                "2" => assert!(running.post(path, "3").await.ends_with("ok")),
                event => {
                    assert_eq!(event, format!("42[\"n\",{next}]"));
                    next += 1;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_polls_gets_all_of_ten_thousand_events_again_and_again() {
    let script = "fn on_connection(socket) {
        socket.on(\"go\", || { for i in 0..10000 { socket.emit(\"n\", i); } });
        socket.on(\"io\", || { for i in 0..10000 { io.emit(\"n\", i); } });
    }";
    let mut options = patient();
    // Enough for one batch, because packets that were polled do not wait any more.
    options.transport.max_backlog_packets = 12_000;
    let (running, _) = serving(script, options).await;
    let path = polling(&running).await;
    for event in ["go", "io", "go"] {
        running.post(&path, &format!("42[\"{event}\"]")).await;
        poll_numbers(&running, &path, 10_000).await;
    }
}

/// One call sends more packets than may wait, and another call sends as many as may wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_polls_gets_a_hundred_thousand_events_of_one_call_if_they_may_wait() {
    let script = "fn on_connection(socket) {
        socket.on(\"go\", |count| { for i in 0..count { socket.emit(\"n\", i); } });
    }";
    let (mut running, host) = serving(script, patient()).await;
    let path = polling(&running).await;
    running.post(&path, "42[\"go\",100000]").await;
    poll_numbers(&running, &path, 100_000).await;
    assert_eq!(host.counters().slow_consumers.get(), 0);
    running.post(&path, "42[\"go\",140000]").await;
    let (_, packets, _) = slow_consumer(&mut running).await;
    assert!(packets > 131_072, "{packets}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_events_of_one_call_arrive_in_order_with_raised_limits() {
    let script = "fn on_connection(socket) {
        socket.on(\"go\", || { for i in 0..100000 { socket.emit(\"n\", i); } });
    }";
    let (running, _) = serving(script, patient()).await;
    let mut client = running.websocket().await;
    client.connect("").await;
    client.send("42[\"go\"]").await;
    for n in 0..100_000 {
        let event = client.until(|packet| packet.starts_with("42")).await;
        assert_eq!(event, format!("42[\"n\",{n}]"));
    }
}

#[test]
fn what_waits_for_on_any_outgoing_is_bounded_and_the_rest_is_announced() {
    let script = "fn on_connection(socket) {
            let heard = 0;
            socket.on(\"listen\", || { socket.on_any_outgoing(|event, args| { heard += 1; }); });
            socket.on(\"heard\", || heard);
            socket.on(\"ticks\", || { for i in 0..20000 { socket.broadcast.emit(\"tick\", i); } });
        }";
    let host = TestHost::build([("main.rhai", script)], |builder| {
        builder.options(patient())
    });
    let (listening, client) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    listening.emit("listen", ());
    // No other call has a turn before this call has ended.
    client.emit("ticks", ());
    assert_eq!(listening.heard().len(), 20_000, "the client has them all");
    let most = 1 << 14;
    assert_eq!(listening.ask("heard", ()).unwrap(), format!("[{most}]"));
    assert_eq!(host.counters().events_dropped.get(), 20_000 - most);
    let lost = host.events().into_iter().find_map(|event| match event {
        HostEvent::EventDropped { event, reason, .. } => Some((event, reason)),
        _ => None,
    });
    let reason = "`on_any_outgoing` does not hear of it: too much waits for it already";
    assert_eq!(lost, Some(("tick".to_owned(), reason.to_owned())));
}

/// Script that sends 900 kB to all clients, as often as a client asks.
const BIG: &str = "fn on_connection(socket) {
    let big = \"x\"; big.pad(900000, 'x');
    socket.on(\"flood\", |n| { for i in 0..n { io.emit(\"big\", big); } });
    socket.on(\"ping\", || \"pong\"); }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_that_takes_nothing_for_the_write_timeout_is_disconnected() {
    let mut options = patient();
    options.transport.write_timeout = Duration::from_millis(100);
    let (mut running, _host) = serving(BIG, options).await;
    let _deaf = stalled_client(&running).await;
    let mut client = running.websocket().await;
    client.connect("").await;
    client.send("420[\"flood\",12]").await;
    client.until(|packet| packet.starts_with("430[")).await;
    let (_, packets, bytes) = slow_consumer(&mut running).await;
    assert!(
        packets <= 12 && bytes <= 12 * 1_000_000,
        "{packets} {bytes}"
    );
    client.send("421[\"ping\"]").await;
    client.until(|packet| packet == "431[\"pong\"]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_all_clients_together_is_bounded_and_those_who_read_stay() {
    let mut options = patient();
    options.transport.max_backlog_total = 3 << 20;
    options.transport.write_timeout = Duration::from_secs(3600);
    let (mut running, host) = serving(BIG, options).await;
    let _deaf = [
        stalled_client(&running).await,
        stalled_client(&running).await,
    ];
    let mut client = running.websocket().await;
    client.connect("").await;
    let mut slow = 0;
    for round in 0..100 {
        client.send(&format!("42{round}[\"flood\",1]")).await;
        let answer = format!("43{round}[");
        client.until(|packet| packet.starts_with(&answer)).await;
        while let Ok(event) = running.events.try_recv() {
            slow += usize::from(matches!(event, HostEvent::SlowConsumer { .. }));
        }
        if slow > 0 {
            break;
        }
    }
    assert!(slow > 0, "nobody was disconnected");
    assert_eq!(host.counters().clients_disconnected.get(), 0);
    client.send("421000[\"ping\"]").await;
    client.until(|packet| packet == "431000[\"pong\"]").await;
}
