//! Cost of the parts of an event, each alone and without a network: `cargo bench --bench micro`.

#![allow(clippy::unwrap_used, reason = "a program for developers")]

fn main() {
    divan::main();
}

/// Returns about 10 kB in 200 fields.
fn object() -> String {
    let field =
        |n: usize| format!(r#""field number {n}":["the value of field {n}",{n},{n}.5,null]"#);
    let fields: Vec<_> = (0..200).map(field).collect();
    format!(r#"["echo",{{{}}}]"#, fields.join(","))
}

const TEXT: &str = r#"["echo","0123456789abcdef0123456789abcdef"]"#;

/// Conversion of JSON to values of a script, and back.
mod values {
    use divan::{Bencher, counter::BytesCount};
    use patchcord::value::{Limits, event, to_packet};

    fn decode(bencher: Bencher<'_, '_>, text: &str) {
        let limits = Limits::default();
        bencher
            .counter(BytesCount::of_str(text))
            .bench(|| event(text, &[], &limits).unwrap().args.len());
    }

    fn encode(bencher: Bencher<'_, '_>, text: &str) {
        let args = event(text, &[], &Limits::default()).unwrap().args;
        bencher
            .counter(BytesCount::of_str(text))
            .bench(|| to_packet(Some("echo"), &args).unwrap());
    }

    #[divan::bench]
    fn decode_text(bencher: Bencher<'_, '_>) {
        decode(bencher, super::TEXT);
    }

    #[divan::bench]
    fn decode_object(bencher: Bencher<'_, '_>) {
        decode(bencher, &super::object());
    }

    #[divan::bench]
    fn encode_text(bencher: Bencher<'_, '_>) {
        encode(bencher, super::TEXT);
    }

    #[divan::bench]
    fn encode_object(bencher: Bencher<'_, '_>) {
        encode(bencher, &super::object());
    }
}

/// Event of a client in memory: its turn, its listener, the script, and what the script sends.
mod events {
    use divan::Bencher;
    use patchcord::testing::{TestClient, TestHost};

    const SCRIPT: &str = r#"
        fn on_connection(socket) {
            let count = 0;
            socket.join("room");
            socket.on("nothing", || {});
            socket.on("count", || { count += 1; });
            socket.on("answer", |text| text);
            socket.on("echo", |text| { socket.emit("echo", text); });
            socket.on("operator", |text| { socket.to("room").except("other").emit("said", text); });
            socket.on("broadcast", |text| { io.emit("said", text); });
        }
    "#;

    /// Sends an event from the first of `clients` clients, and reads what all of them receive.
    fn send(bencher: Bencher<'_, '_>, clients: usize, event: &str) {
        let host = TestHost::new(SCRIPT);
        let connect = |_| host.connect("/").unwrap();
        let clients: Vec<TestClient> = (0..clients).map(connect).collect();
        bencher.bench_local(|| {
            clients.first().unwrap().emit(event, ["text"]);
            clients
                .iter()
                .map(|client| client.heard().len())
                .sum::<usize>()
        });
    }

    #[divan::bench(args = ["none", "nothing", "count", "answer", "echo", "operator"])]
    fn of_one_client(bencher: Bencher<'_, '_>, event: &str) {
        send(bencher, 1, event);
    }

    #[divan::bench(args = [1, 10, 100])]
    fn broadcast(bencher: Bencher<'_, '_>, clients: usize) {
        send(bencher, clients, "broadcast");
    }
}

/// Lists of a script: an element of a long list should not cost much more than one of a short list.
mod lists {
    use divan::{Bencher, counter::ItemsCount};
    use patchcord::testing::TestHost;

    const SCRIPT: &str = r#"
        fn on_connection(socket) {
            let list = [];
            socket.on("fill", |count| { for i in 0..count { list.push(i); } });
            socket.on("sum", || {
                let sum = 0;
                for i in 0..list.len() { sum += list[i]; }
                sum
            });
        }
    "#;

    #[divan::bench(args = [100, 1_000, 10_000])]
    fn sum_by_index(bencher: Bencher<'_, '_>, count: i64) {
        let host = TestHost::new(SCRIPT);
        let client = host.connect("/").unwrap();
        client.emit("fill", [count]);
        bencher
            .counter(ItemsCount::new(count.unsigned_abs()))
            .bench_local(|| client.emit("sum", ()));
        assert_eq!(host.problems(), Vec::<String>::new());
    }
}

/// Save under live connections.
mod edits {
    use divan::Bencher;
    use patchcord::testing::TestHost;

    fn script(number: usize) -> String {
        format!(
            r#"fn on_connection(socket) {{
                let name = "anonymous";
                let seen = [];
                socket.on("name", |new| {{ name = new; }});
                socket.on("see", |id| {{ seen.push(id); {number} }});
            }}"#
        )
    }

    #[divan::bench(args = [1, 10, 100, 1_000], sample_count = 20, sample_size = 1)]
    fn rebind(bencher: Bencher<'_, '_>, connections: usize) {
        let mut host = TestHost::new(&script(0));
        let clients: Vec<_> = (0..connections)
            .map(|_| host.connect("/").unwrap())
            .collect();
        let mut number = 0;
        bencher.bench_local(|| {
            number += 1;
            host.edit("main.rhai", &script(number));
        });
        assert_eq!(host.problems(), Vec::<String>::new());
        drop(clients);
    }
}
