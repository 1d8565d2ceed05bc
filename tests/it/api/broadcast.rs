//! A broadcast to many clients: all of them get it, in order.

use std::{env, sync::Arc};

use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Semaphore, task::JoinSet};

use crate::support::{
    program::Place,
    server::TEST_TIMEOUT,
    wire::{frame, raw_at, read_until},
};

/// Number of clients. Each needs a file descriptor in the test and one in the program; the variable `MEMBERS` sets a
/// higher number.
const MEMBERS: usize = 400;
const EVENTS: usize = 5;

/// Connects a client to `/`, which also answers the ping that comes at once.
async fn member(address: std::net::SocketAddr) -> TcpStream {
    let mut stream = raw_at(address).await;
    let packets = [frame("40"), frame("3")].concat();
    stream.write_all(&packets).await.unwrap();
    read_until(&mut stream, "42[\"joined\"]").await;
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broadcast_reaches_every_member_of_a_room_in_order() {
    let members = env::var("MEMBERS").map_or(MEMBERS, |members| members.parse().unwrap());
    let script = format!(
        "fn on_connection(socket) {{
            socket.join(\"room\");
            socket.emit(\"joined\");
            socket.on(\"go\", || {{ for i in 0..{EVENTS} {{ io.to(\"room\").emit(\"n\", i); }} }});
        }}"
    );
    let place = Place::new(&[("scripts/main.rhai", &script)]);
    let serving = place.serve(
        &[
            "--port",
            "0",
            "--max-call-time",
            "20s",
            "--ping-timeout",
            "1h",
        ],
        &[],
    );
    let address = serving.address.parse().unwrap();
    let at_once = Arc::new(Semaphore::new(64));
    let mut joining = JoinSet::new();
    for _ in 0..members {
        let at_once = at_once.clone();
        joining.spawn(async move {
            let _turn = at_once.acquire().await.unwrap();
            member(address).await
        });
    }
    let mut clients = joining.join_all().await;
    let go = frame("42[\"go\"]");
    clients[0].write_all(&go).await.unwrap();
    let mut reading = JoinSet::new();
    for mut client in clients {
        reading.spawn(async move {
            let last = format!("42[\"n\",{}]", EVENTS - 1);
            let heard = tokio::time::timeout(TEST_TIMEOUT, read_until(&mut client, &last)).await;
            let heard = heard.expect("a member has not heard all of it");
            let places: Vec<_> = (0..EVENTS)
                .map(|n| heard.find(&format!("42[\"n\",{n}]")))
                .collect();
            assert!(
                places.iter().all(Option::is_some) && places.is_sorted(),
                "{heard}"
            );
        });
    }
    assert_eq!(reading.join_all().await.len(), members);
}
