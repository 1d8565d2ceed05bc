//! `io.data` and `socket.data`.

use patchcord::{
    HostEvent,
    testing::{TestHost, options},
};
use rhai::{ImmutableString, Map};

use crate::support::{gate::Gate, memory};

#[test]
fn data_of_the_namespace_is_shared_and_data_of_a_socket_is_not() {
    let host = TestHost::new(
        r#"fn on_connection(socket) {
            socket.data.n = io.data.incr("visitors", 1);
            socket.data.profile = #{ tags: [] };
            socket.data.profile.name = "n";
            socket.data.profile.tags.push(1);
            socket.on("mine", || [socket.data.n, socket.data.profile.name, socket.data.profile.tags]);
            socket.on("all", || io.data.visitors);
        }"#,
    );
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    assert_eq!(ada.ask("mine", ()).as_deref(), Some("[[1,\"n\",[1]]]"));
    assert_eq!(bob.ask("mine", ()).as_deref(), Some("[[2,\"n\",[1]]]"));
    assert_eq!(ada.ask("all", ()).as_deref(), Some("[2]"));
}

#[test]
fn every_word_of_it() {
    let host = TestHost::new(
        r#"fn on_connection(socket) {
            let data = io.data;
            data.set("a", 1);
            data["b"] = [1, 2];
            data.c = "three";
            socket.emit("get", data.get("a"), data.get("zz"), data.get("zz", 0), data.b, data["c"]);
            socket.emit("has", data.has("a"), data.has("zz"), data.keys());
            socket.emit("init", data.init("a", 5), data.init("d", 5));
            socket.emit("incr", data.incr("a", 2), data.incr("new", -1));
            for n in 0..5 { data.push("last", n, 3); }
            socket.emit("push", data.last);
            socket.emit("update", data.update("list", [], |list| { list.push("x"); list }));
            socket.emit("remove", data.remove("b"), data.has("b"));
            socket.emit("map", data);
        }"#,
    );
    assert_eq!(host.problems(), [] as [&str; 0]);
    assert_eq!(
        host.connect("/").unwrap().heard(),
        [
            "get [1,null,0,[1,2],\"three\"]",
            "has [true,false,[\"a\",\"b\",\"c\"]]",
            "init [1,5]",
            "incr [3,-1]",
            "push [[2,3,4]]",
            "update [[\"x\"]]",
            "remove [[1,2],false]",
            "map [{\"a\":3,\"c\":\"three\",\"d\":5,\"last\":[2,3,4],\"list\":[\"x\"],\"new\":-1}]",
        ]
    );
}

#[test]
fn code_and_wrong_types_are_refused_and_change_nothing() {
    for (call, message) in [
        ("io.data.x = || 1", "`x` cannot be kept in shared data"),
        ("io.data.x = [socket]", "`x` cannot be kept in shared data"),
        (
            "io.data.x = \"a\"; io.data.incr(\"x\", 1)",
            "`x` is no number but",
        ),
        (
            "io.data.x = \"a\"; io.data.push(\"x\", 1, 5)",
            "`x` is no array but",
        ),
    ] {
        let host = TestHost::new(&format!(
            "fn on_connection(socket) {{
                socket.on(\"x\", || io.data.x);
                socket.on(\"try\", || {{ {call}; }});
            }}"
        ));
        let client = host.connect("/").unwrap();
        client.emit("try", ());
        let problems = host.problems();
        assert!(problems[0].contains(message), "{call}: {problems:?}");
        let kept = if call.contains('a') && call.contains("\"a\"") {
            "[\"a\"]"
        } else {
            "[]"
        };
        assert_eq!(client.ask("x", ()).as_deref(), Some(kept), "{call}");
    }
}

#[test]
fn what_is_kept_is_a_copy() {
    let host = TestHost::new(
        r#"fn on_connection(socket) {
            let list = [1];
            socket.on("change", || { list.push(2); });
            io.data.list = list;
            socket.on("kept", || io.data.list);
        }"#,
    );
    let client = host.connect("/").unwrap();
    client.emit("change", ());
    assert_eq!(client.ask("kept", ()).as_deref(), Some("[[1]]"));
}

/// Returns the number of calls that failed because of another call. The first failures are announced one by one, the
/// others are only counted.
fn failures(host: &TestHost) -> usize {
    host.advance(10_001);
    let failures = host.events().into_iter().map(|event| match event {
        HostEvent::HandlerFailed { diagnostic } => {
            let text = diagnostic.to_string();
            let by_others = ["by another call", "changed by others"];
            assert!(by_others.iter().any(|what| text.contains(what)), "{text}");
            1
        }
        HostEvent::HandlerFailuresSuppressed { count: times, .. } => times,
        _ => 0,
    });
    failures.sum()
}

#[test]
fn updates_from_many_threads_lose_nothing() {
    let host = TestHost::new(
        r#"fn on_connection(socket) {
            socket.on("add", |n| { io.data.update("sum", 0, |sum| sum + n); io.data.incr("count", 1); });
            socket.on("sum", || [io.data.sum, io.data.count]);
        }"#,
    );
    let clients: Vec<_> = (0..4).map(|_| host.connect("/").unwrap()).collect();
    std::thread::scope(|scope| {
        for client in &clients {
            scope.spawn(|| (0..500).for_each(|_| client.emit("add", [2])));
        }
    });
    let failed = failures(&host);
    assert_eq!(
        clients[0].ask("sum", ()),
        Some(format!("[[{},{}]]", 2 * (2000 - failed), 2000 - failed))
    );
    assert!(failed < 20, "{failed} updates gave up");
}

#[test]
fn handles_that_closures_captured_stay_on_the_real_data_after_an_edit() {
    let script = |word: &str| {
        format!(
            r#"fn on_connection(socket) {{
                let all = io.data;
                let mine = socket.data;
                socket.on("visit", || all.incr("visits", 1));
                socket.on("name", |name| {{ mine.name = name; }});
                socket.on("see", || ["{word}", io.data.visits, socket.data.name]);
            }}"#
        )
    };
    let mut host = TestHost::new(&script("old"));
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    assert_eq!(ada.ask("visit", ()).as_deref(), Some("[1]"));
    for (word, visits) in [("new", 1), ("newest", 3)] {
        host.edit("main.rhai", &script(word));
        ada.emit("name", [word]);
        ada.emit("visit", ());
        bob.emit("visit", ());
        let seen = format!("[[\"{word}\",{},\"{word}\"]]", visits + 2);
        assert_eq!(ada.ask("see", ()), Some(seen));
    }
    assert_eq!(host.problems(), [] as [&str; 0]);
}

#[test]
fn concurrent_removes_return_each_value_once() {
    const JOBS: usize = 20_000;
    let jobs: Vec<_> = (0..JOBS).map(|job| job.to_string()).collect();
    let data = patchcord::connection::Data::default();
    jobs.iter().for_each(|job| data.set(job, true.into()));
    let together = std::sync::Barrier::new(2);
    let take = |job: &String| {
        together.wait();
        data.remove(job).is_some()
    };
    let taken: usize = std::thread::scope(|scope| {
        let workers = [(); 2].map(|()| scope.spawn(|| jobs.iter().filter(|job| take(job)).count()));
        workers.map(|worker| worker.join().unwrap()).iter().sum()
    });
    assert_eq!(taken, JOBS);
}

#[test]
fn a_chained_write_that_another_call_overtook_is_an_error_and_writes_nothing() {
    let gate = Gate::default();
    let pass = gate.clone();
    let host = TestHost::build(
        [(
            "main.rhai",
            r#"fn on_connection(socket) {
                io.data.init("users", #{});
                socket.on("add slowly", |name| { io.data.users.add_slowly(name); });
                socket.on("add", |name| { io.data.users[name] = true; });
                socket.on("users", || io.data.users.keys());
            }"#,
        )],
        |builder| {
            builder.function(
                "add_slowly",
                move |users: &mut Map, name: ImmutableString| {
                    pass.pass();
                    users.insert(name.as_str().into(), true.into());
                },
            )
        },
    );
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    gate.shut_after(0);
    std::thread::scope(|scope| {
        scope.spawn(|| ada.emit("add slowly", ["Ada"]));
        gate.reached();
        bob.emit("add", ["Bob"]);
        gate.open();
    });
    let problems = host.problems();
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].contains("`users` was changed by another call"),
        "{problems:?}"
    );
    assert_eq!(ada.ask("users", ()).as_deref(), Some("[[\"Bob\"]]"));
    ada.emit("add slowly", ["Ada"]);
    assert_eq!(ada.ask("users", ()).as_deref(), Some("[[\"Ada\",\"Bob\"]]"));
}

/// Rhai writes a property back after each method call on it.
#[test]
fn stale_chained_read_writes_nothing() {
    let gate = Gate::default();
    let pass = gate.clone();
    let host = TestHost::build(
        [(
            "main.rhai",
            r#"fn on_connection(socket) {
                socket.on("look slowly", || io.data.users.count_slowly());
                socket.on("type", || io.data.users.type_of());
                socket.on("init", || io.data.init("users", []));
                socket.on("add", |name| io.data.push("users", name, 10));
                socket.on("users", || io.data.users);
            }"#,
        )],
        |builder| {
            builder.function("count_slowly", move |users: &mut rhai::Array| {
                pass.pass();
                users.len() as i64
            })
        },
    );
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    assert_eq!(ada.ask("type", ()).as_deref(), Some("[\"()\"]"));
    assert_eq!(ada.ask("init", ()).as_deref(), Some("[[]]"));
    gate.shut_after(0);
    std::thread::scope(|scope| {
        let looks = scope.spawn(|| ada.ask("look slowly", ()));
        gate.reached();
        bob.emit("add", ["Bob"]);
        gate.open();
        assert_eq!(looks.join().unwrap().as_deref(), Some("[0]"));
    });
    assert!(host.problems().is_empty(), "{:?}", host.problems());
    assert_eq!(ada.ask("users", ()).as_deref(), Some("[[\"Bob\"]]"));
}

#[test]
fn chained_writes_from_many_threads_are_there_or_have_failed() {
    let host = TestHost::new(
        r#"fn on_connection(socket) {
            io.data.init("users", #{});
            socket.on("add", |name| { io.data.users[name] = true; });
            socket.on("count", || io.data.users.len());
        }"#,
    );
    let clients: Vec<_> = (0..4).map(|_| host.connect("/").unwrap()).collect();
    std::thread::scope(|scope| {
        for client in &clients {
            let id = client.id();
            scope.spawn(move || (0..200).for_each(|n| client.emit("add", [format!("{id} {n}")])));
        }
    });
    let failed = failures(&host);
    assert_eq!(
        clients[0].ask("count", ()),
        Some(format!("[{}]", 800 - failed))
    );
}

/// Returns the number of further keys that `io.data` can hold after `before`.
fn room_after(before: &str) -> usize {
    let script = format!(
        r#"fn on_connection(socket) {{
            let text = ""; text.pad(100, "x");
            {before}
            socket.on("set", |n| {{ io.data["key " + n] = n; }});
        }}"#
    );
    let mut options = options();
    options.limits.io_data = 5_000;
    let host = TestHost::build([("main.rhai", &*script)], |builder| {
        builder.options(options)
    });
    let client = host.connect("/").unwrap();
    assert_eq!(host.problems(), [] as [&str; 0]);
    let fits = |n: &usize| {
        client.emit("set", [*n]);
        host.problems().is_empty()
    };
    (100..999).take_while(fits).count()
}

#[test]
fn what_was_pushed_and_dropped_again_leaves_its_room() {
    let pushed = room_after(
        r#"for n in 0..200 { io.data.push("list", [n, text], 3); io.data.incr("n", 1); }
        try { io.data.push("n", 1, 3); throw "pushed"; } catch (error) { if error == "pushed" { throw error; } }"#,
    );
    let set = room_after("io.data.list = [[7, text], [8, text], [9, text]]; io.data.n = 200;");
    assert_eq!(pushed, set);
    let kept_none = room_after(
        r#"io.data.push("list", text, 0); io.data.push("list", text, -1); io.data.incr("n", 1);"#,
    );
    assert_eq!(kept_none, room_after("io.data.list = []; io.data.n = 1;"));
    assert!(kept_none > set);
}

#[test]
fn no_more_is_pushed_to_a_list_than_an_array_may_hold() {
    for data in ["io.data", "socket.data"] {
        let script = format!(
            r#"fn on_connection(socket) {{
                socket.on("push", |n| {{ {data}.push("list", n, 100); }});
                socket.on("drop", |n| {{ {data}.push("list", n, 2); }});
                socket.on("list", || {data}.list.len());
                socket.on("last", || {data}.list);
            }}"#
        );
        let mut options = options();
        options.limits.array_size = 5;
        let host = TestHost::build([("main.rhai", &*script)], |builder| {
            builder.options(options)
        });
        let client = host.connect("/").unwrap();
        (0..5).for_each(|n| client.emit("push", [n]));
        assert_eq!(host.problems(), [] as [&str; 0]);
        client.emit("push", [5]);
        let problems = host.problems();
        let refused = "`list` has no room: an array holds up to 5 elements";
        assert!(problems[0].contains(refused), "{problems:?}");
        assert_eq!(client.ask("list", ()).as_deref(), Some("[5]"));
        client.emit("drop", [6]);
        assert_eq!(client.ask("last", ()).as_deref(), Some("[[4,6]]"));
    }
}

#[test]
fn a_push_takes_the_memory_of_what_is_pushed() {
    let script = r#"fn on_connection(socket) {
        for n in 0..5000 { io.data.push("list", n, 9000); socket.data.push("list", n, 9000); }
        socket.on("push", || {
            let before = allocated();
            io.data.push("list", 1, 9000);
            socket.data.push("list", 1, 9000);
            allocated() - before
        });
    }"#;
    let host = TestHost::build([("main.rhai", script)], |builder| {
        builder.function("allocated", || memory::allocated().cast_signed())
    });
    let client = host.connect("/").unwrap();
    let taken = client.ask("push", ()).unwrap();
    let bytes: usize = taken.trim_matches(['[', ']']).parse().unwrap();
    assert!(bytes < 20_000, "{bytes}");
}
