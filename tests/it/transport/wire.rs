//! Guarantees of the host's own stream: early events are kept, everything that is emitted arrives, and a client that
//! does not read is disconnected.

use patchcord::{HostEvent, script::Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    gate::Gate,
    options::patient,
    server::{Running, TEST_TIMEOUT},
    wire::{frame, raw, read_until, stalled_client},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_in_one_write_with_connect_are_kept_in_order() {
    let script = "fn on_connection(socket) { socket.on(\"n\", |n| { socket.emit(\"n\", n); }); }";
    let running = Running::new(&[("main.rhai", script), ("other.rhai", script)], |b| b).await;
    for _ in 0..50 {
        let mut stream = raw(&running).await;
        let packets = [
            "40",
            "42[\"n\",1]",
            "40/other,",
            "42/other,[\"n\",2]",
            "42[\"n\",3]",
        ];
        stream
            .write_all(&packets.map(frame).concat())
            .await
            .unwrap();
        let mut heard = read_until(&mut stream, "42[\"n\",3]").await;
        let places = ["42[\"n\",1]", "42[\"n\",3]"].map(|packet| heard.find(packet));
        assert!(
            places.iter().all(Option::is_some) && places.is_sorted(),
            "{heard}"
        );
        // Another namespace has turns of its own, so its answer may come at any place.
        let other = "42/other,[\"n\",2]";
        if !heard.contains(other) {
            heard = read_until(&mut stream, other).await;
        }
        assert_eq!(heard.matches(other).count(), 1, "{heard}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_call_sends_in_different_ways_arrives_in_order() {
    let script = "fn on_connection(socket) {
        socket.emit(\"n\", 0);
        socket.on(\"go\", || {
            socket.emit(\"n\", 1);
            socket.emit(\"question\", blob(9, 65), |answer| {});
            io.emit(\"n\", 2);
            socket.emit(\"binary\", blob(9, 66));
            io.to(socket.id).emit(\"n\", 3);
            \"done\"
        });
    }";
    let running = Running::new(&[("main.rhai", script)], |b| b).await;
    for _ in 0..50 {
        let mut stream = raw(&running).await;
        stream
            .write_all(&["40", "421[\"go\"]"].map(frame).concat())
            .await
            .unwrap();
        let heard = read_until(&mut stream, "431[\"done\"]").await;
        let question = heard.find("[\"question\",").unwrap();
        let places = [
            "40{\"sid\"",
            "42[\"n\",0]",
            "42[\"n\",1]",
            "AAAAAAAAA",
            "42[\"n\",2]",
            "451-[\"binary\",",
            "BBBBBBBBB",
            "42[\"n\",3]",
        ]
        .map(|packet| heard.find(packet));
        assert!(
            places.iter().all(Option::is_some)
                && places.is_sorted()
                && Some(question) > places[2]
                && Some(question) < places[3],
            "{heard}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_events_of_one_call_arrive_in_order() {
    let script = "fn on_connection(socket) { socket.on(\"go\", || { for i in 0..10000 { socket.emit(\"n\", i); } }); }";
    let mut limits = Limits::default();
    // High limit, because unoptimized builds are slow and this test only checks that nothing is lost.
    limits.time = std::time::Duration::from_secs(20);
    let mut options = patchcord::testing::options();
    options.limits = limits;
    let running = Running::new(&[("main.rhai", script)], |b| b.options(options)).await;
    let mut client = running.websocket().await;
    client.connect("").await;
    client.send("42[\"go\"]").await;
    for n in 0..10_000 {
        assert_eq!(
            client.until(|p| p.starts_with("42")).await,
            format!("42[\"n\",{n}]")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_cut_off_and_others_are_not() {
    let script = "fn on_connection(socket) {
        let big = \"x\"; big.pad(60000, 'x');
        socket.on(\"flood\", || { for i in 0..20 { io.emit(\"big\", big); } });
        socket.on(\"ping\", || \"pong\"); }";
    let mut options = patient();
    options.transport.max_backlog = 4 << 20;
    let mut running = Running::new(&[("main.rhai", script)], |b| b.options(options)).await;
    let _deaf = stalled_client(&running).await;
    let mut client = running.websocket().await;
    client.connect("").await;
    let mut slow = false;
    for round in 0..100 {
        client.send(&format!("42{round}[\"flood\"]")).await;
        client
            .until(|p| p.starts_with(&format!("43{round}[")))
            .await;
        while let Ok(event) = running.events.try_recv() {
            if let HostEvent::SlowConsumer {
                queued_bytes: backlog,
                socket,
                ..
            } = event
            {
                assert!(socket.is_some(), "it has connected");
                assert!(backlog > 4 << 20 && backlog < 8 << 20, "{backlog}");
                slow = true;
            }
        }
        if slow {
            break;
        }
    }
    assert!(slow, "the stalled client was never cut off");
    client.send("421000[\"ping\"]").await;
    assert_eq!(
        client.until(|p| p.starts_with("431000")).await,
        "431000[\"pong\"]"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_connects_while_an_edit_is_drafted_and_has_the_new_code_afterwards() {
    let script = |version: i64| {
        format!(
            "fn on_connection(socket) {{ pass({version}); socket.on(\"n\", |n| {{ socket.emit(\"n\", n, {version}); }}); }}"
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("main.rhai");
    std::fs::write(&main, script(1)).unwrap();
    let gate = Gate::default();
    let pass = gate.clone();
    let (running, host) = Running::reloadable(|builder| {
        builder
            .scripts(folder.path())
            .options(patchcord::testing::options())
            // Only drafts of the new version wait.
            .function("pass", move |version: i64| {
                if version == 2 {
                    pass.pass();
                }
            })
    })
    .await;
    let mut client = running.websocket().await;
    client.connect("").await;
    std::fs::write(&main, script(2)).unwrap();
    gate.shut_after(0);
    let reload = tokio::spawn(async move { host.reload().await });
    let reached = gate.clone();
    tokio::task::spawn_blocking(move || reached.reached())
        .await
        .unwrap();
    let mut newcomer = raw(&running).await;
    let early = ["40", "42[\"n\",1]"];
    newcomer
        .write_all(&early.map(frame).concat())
        .await
        .unwrap();
    read_until(&mut newcomer, "42[\"n\",1,1]").await;
    gate.open();
    reload.await.unwrap().unwrap();
    newcomer.write_all(&frame("42[\"n\",2]")).await.unwrap();
    read_until(&mut newcomer, "42[\"n\",2,2]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_was_cut_off_leaves_no_task_behind() {
    let script = "fn on_connection(socket) {
        let big = \"x\"; big.pad(60000, 'x');
        socket.on(\"flood\", |client| { for i in 0..5 { io.emit(\"big\", big); } print(client); }); }";
    let mut options = patient();
    options.transport.max_backlog = 1 << 20;
    let mut running = Running::new(&[("main.rhai", script)], |b| b.options(options)).await;
    let tasks = tokio::runtime::Handle::current().metrics();
    let before = tasks.num_alive_tasks();
    for client in 0..5 {
        let mut stalled = stalled_client(&running).await;
        assert!(tasks.num_alive_tasks() > before);
        let mut cut_off = false;
        while !cut_off {
            // The write fails once the client is disconnected.
            let _ = stalled
                .write_all(&frame(&format!("42[\"flood\",{client}]")))
                .await;
            cut_off = running
                .announced(|event| match event {
                    // A log line of an earlier client, which was disconnected in the middle of its flood, is ignored.
                    HostEvent::Log { text, .. } => (text == client.to_string()).then_some(false),
                    HostEvent::SlowConsumer { .. } => Some(true),
                    _ => None,
                })
                .await;
        }
    }
    let gone = async {
        while tasks.num_alive_tasks() > before {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, gone)
        .await
        .expect("tasks are left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_a_call_has_sent_leaves_although_the_client_is_disconnected_before_its_end() {
    let gate = Gate::default();
    let pass = gate.clone();
    let script = r#"fn on_connection(socket) {
        socket.on("slow", || { work(); 1 });
        socket.on("go", || { socket.emit("sent"); pass(); });
        socket.on("end", || { io.except(socket.id).disconnect_sockets(true); });
    }"#;
    let running = Running::new(&[("main.rhai", script)], |b| {
        b.function("pass", move || pass.pass())
            .function("work", || {
                let start = std::time::Instant::now();
                while start.elapsed() < std::time::Duration::from_millis(20) {
                    std::hint::spin_loop();
                }
            })
    })
    .await;
    let (mut client, mut other) = (raw(&running).await, running.websocket().await);
    client.write_all(&frame("40")).await.unwrap();
    read_until(&mut client, "40{").await;
    // After a slow call, the next calls of this connection block no thread of the runtime.
    client.write_all(&frame("421[\"slow\"]")).await.unwrap();
    read_until(&mut client, "431[1]").await;
    other.connect("").await;
    gate.shut_after(0);
    client.write_all(&frame("42[\"go\"]")).await.unwrap();
    let shut = gate.clone();
    let reached = tokio::task::spawn_blocking(move || shut.reached());
    reached.await.unwrap();
    other.send("42[\"end\"]").await;
    let mut heard = Vec::new();
    tokio::time::timeout(TEST_TIMEOUT, client.read_to_end(&mut heard))
        .await
        .expect("it is still connected")
        .unwrap();
    gate.open();
    let heard = String::from_utf8_lossy(&heard);
    assert!(heard.contains("sent"), "{heard}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_nested_too_deep_is_lost_by_its_name_and_an_option_allows_more() {
    let script = "fn on_connection(socket) { socket.on(\"tree\", |tree| tree); }";
    for most in [64, 100, 120] {
        let mut options = patchcord::testing::options();
        options.limits.nesting = most;
        let mut running = Running::new(&[("main.rhai", script)], |b| b.options(options)).await;
        let mut client = running.websocket().await;
        client.connect("").await;
        let tree = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        client
            .send(&format!("420[\"tree\",{}]", tree(most + 1)))
            .await;
        client.send(&format!("421[\"tree\",{}]", tree(most))).await;
        let answer = client.until(|packet| packet.starts_with("43")).await;
        assert_eq!(answer, format!("431[{}]", tree(most)));
        let lost = running
            .announced(|event| match event {
                HostEvent::EventDropped { event, reason, .. } => Some((event, reason)),
                _ => None,
            })
            .await;
        let reason = format!("the packet cannot be read: nested more than {most} levels deep");
        assert_eq!(lost, ("tree".to_owned(), reason));
    }
}
