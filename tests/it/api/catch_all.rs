//! Catch-all listeners, and checks that run before listeners.

use proptest::{collection::vec, prelude::*};

use patchcord::testing::TestHost;

#[test]
fn a_middleware_drops_an_event_and_the_error_listeners_hear_why() {
    let host = TestHost::new(
        "fn on_connection(socket) {
            socket.middleware(|event, args| { if event == \"bad\" { throw \"no\"; } });
            socket.on_any(|event, args| { print(`any ${event}`); });
            socket.on(\"bad\", || { print(\"bad\"); });
            socket.on(\"good\", || { print(\"good\"); });
            socket.on(\"error\", |err| { print(`error ${err}`); }); }",
    );
    let client = host.connect("/").unwrap();
    client.emit("bad", ());
    client.emit("good", ());
    assert_eq!(host.log(), ["error no", "any good", "good"]);
}

#[test]
fn a_middleware_that_throws_with_nobody_to_hear_is_announced() {
    let host = TestHost::new(
        "fn on_connection(socket) { socket.middleware(|event, args| { throw \"no\"; }); }",
    );
    host.connect("/").unwrap().emit("x", ());
    let problems = host.problems();
    assert!(
        problems[0].contains("called from middleware for `x` of namespace `/`"),
        "{problems:?}"
    );
}

#[test]
fn a_middleware_that_returns_an_array_replaces_the_arguments() {
    let host = TestHost::new(
        "fn on_connection(socket) {
            socket.middleware(|event, args| { args.push(2); args });
            socket.middleware(|event, args| { });
            socket.on(\"x\", |a, b| { print(`${a} ${b}`); }); }",
    );
    host.connect("/").unwrap().emit("x", [1]);
    assert_eq!(host.log(), ["1 2"]);
}

#[test]
fn what_is_sent_is_heard_soon_after() {
    let host = TestHost::new(
        "fn on_connection(socket) {
            if io.sockets.len() == 1 { socket.on_any_outgoing(|event, args| { print(`${event} ${args}`); }); }
            socket.on(\"go\", || { socket.emit(\"one\", 1); io.emit(\"all\", 2); socket.broadcast(\"others\"); print(\"end\"); }); }",
    );
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    ada.emit("go", ());
    assert_eq!(host.log(), ["end", "one [1]", "all [2]"]);
    bob.emit("go", ());
    let log = host.log();
    assert_eq!(log[0], "end");
    assert_eq!(log[1..], ["all [2]", "others []"]);
}

#[test]
fn a_client_that_emits_a_reserved_name_is_disconnected() {
    let host = TestHost::new(
        "fn on_connection(socket) { socket.on(\"disconnect\", |reason| { print(reason); }); }",
    );
    let client = host.connect("/").unwrap();
    client.emit("disconnect", ["forged"]);
    assert_eq!(host.log(), ["server namespace disconnect"]);
}

/// Change of the listeners of one of two events by a script, or an event that the client sends.
#[derive(Debug, Clone)]
enum Step {
    On(u8, usize),
    Once(u8, usize),
    Off(u8, usize),
    OffAll(u8),
    Fire(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let (event, listener) = (0..2u8, 0..3usize);
    prop_oneof![
        3 => (event.clone(), listener.clone()).prop_map(|(e, l)| Step::On(e, l)),
        2 => (event.clone(), listener.clone()).prop_map(|(e, l)| Step::Once(e, l)),
        2 => (event.clone(), listener).prop_map(|(e, l)| Step::Off(e, l)),
        1 => event.clone().prop_map(Step::OffAll),
        4 => event.prop_map(Step::Fire),
    ]
}

/// Model of Node's emitter: listeners run in the order of their registration; `off` removes the last one that is the
/// same.
#[derive(Default)]
struct Emitter {
    listeners: Vec<(u8, usize, bool)>,
    heard: Vec<usize>,
}

impl Emitter {
    fn step(&mut self, step: &Step) {
        match *step {
            Step::On(event, listener) => self.listeners.push((event, listener, false)),
            Step::Once(event, listener) => self.listeners.push((event, listener, true)),
            Step::Off(event, listener) => {
                let same = |&(e, l, _): &(u8, usize, bool)| (e, l) == (event, listener);
                if let Some(last) = self.listeners.iter().rposition(same) {
                    self.listeners.remove(last);
                }
            }
            Step::OffAll(event) => self.listeners.retain(|&(e, ..)| e != event),
            Step::Fire(event) => {
                let fired = self.listeners.iter().filter(|&&(e, ..)| e == event);
                self.heard.extend(fired.map(|&(_, listener, _)| listener));
                self.listeners.retain(|&(e, _, once)| e != event || !once);
            }
        }
    }
}

const EMITTER: &str = r#"fn on_connection(socket) {
    let heard = [];
    let listeners = [|| { heard.push(0); }, || { heard.push(1); }, || { heard.push(2); }];
    socket.on("on", |event, nth| { socket.on(event, listeners[nth]); });
    socket.on("once", |event, nth| { socket.once(event, listeners[nth]); });
    socket.on("off", |event, nth| { socket.off(event, listeners[nth]); });
    socket.on("off all", |event| { socket.off(event); });
    socket.on("heard", || heard);
}"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_sequence_of_registrations_behaves_as_nodes_emitter(steps in vec(step(), 0..40)) {
        let host = TestHost::new(EMITTER);
        let client = host.connect("/").unwrap();
        let mut model = Emitter::default();
        for step in &steps {
            let event = |event: u8| format!("event {event}");
            match *step {
                Step::On(e, nth) => client.emit("on", (event(e), nth)),
                Step::Once(e, nth) => client.emit("once", (event(e), nth)),
                Step::Off(e, nth) => client.emit("off", (event(e), nth)),
                Step::OffAll(e) => client.emit("off all", (event(e),)),
                Step::Fire(e) => client.emit(&event(e), ()),
            }
            model.step(step);
        }
        let heard = client.ask("heard", ()).unwrap();
        prop_assert_eq!(heard, serde_json::to_string(&[&model.heard]).unwrap());
        prop_assert_eq!(host.problems(), [] as [&str; 0]);
    }
}
