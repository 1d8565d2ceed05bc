//! Edits leave nothing behind. `LEAK_EDITS=1000 cargo test leaks` makes a thousand of them.

use std::sync::Arc;

use patchcord::{
    host::Audience,
    testing::{TestClient, TestHost},
};

/// Value of the application that scripts hold; the clones of its token are counted.
#[derive(Clone)]
struct Held(#[allow(dead_code, reason = "its clones are counted")] Arc<()>);

/// Returns a version that holds the token at its top level, in a timer of `on_load`, and for each connection in every
/// way that a script has.
fn script(version: usize) -> String {
    format!(
        "const TOKEN = token();
        fn on_load() {{ let token = token(); set_interval(|| {{ token; }}, 1000); }}
        fn on_reload(socket) {{ socket.emit(\"reloaded\", {version}); }}
        fn on_connection(socket) {{
            let token = token();
            let n = 0;
            let itself = ();
            itself = || {{ itself; token; n += {version}; n }};
            let table = #{{ get: || token }};
            table.add = || {{ n += {version}; table; n }};
            socket.data.version = {version};
            socket.join(\"room {version}\");
            socket.on(\"n\", || {{ n += 1; token; n }});
            socket.on(\"table\", || table.add.call());
            socket.on(\"late\", || {{ socket.off(\"late answer\"); socket.on(\"late answer\", || {{ token; {version} }}); }});
            socket.on(\"itself\", || {{ itself; }});
            set_interval(|| {{ token; }}, 1000);
            set_timeout(|| {{ token; }}, 1000000);
        }}"
    )
}

fn edits(host: &mut TestHost, clients: &[TestClient], versions: impl Iterator<Item = usize>) {
    for version in versions {
        // One version in ten is rejected, and one in ten is rolled back.
        let text = match version % 10 {
            3 => script(version).replace("set_timeout", "throw 1; set_timeout"),
            _ => script(version),
        };
        host.edit("main.rhai", &text);
        if version % 10 == 7 {
            host.rollback("/").unwrap();
        }
        for client in clients {
            client.emit("late", ());
            client.emit("n", ());
            client.heard();
        }
        host.events();
    }
}

#[test]
fn edits_with_live_connections_leave_nothing_behind() {
    let many = std::env::var("LEAK_EDITS").map_or(250, |text| text.parse().unwrap());
    let token = Arc::new(());
    let given = Held(token.clone());
    let mut host = TestHost::build([("main.rhai", &*script(0))], |builder| {
        builder.function("token", move || given.clone())
    });
    assert_eq!(host.problems(), [] as [&str; 0]);
    let clients: Vec<_> = (0..4).map(|_| host.connect("/").unwrap()).collect();
    edits(&mut host, &clients, 1..51);
    let held = Arc::strong_count(&token);
    edits(&mut host, &clients, 51..=many);
    assert_eq!(
        Arc::strong_count(&token),
        held,
        "old versions and what they captured are freed"
    );
    for client in &clients {
        let rooms = client.ask("n", ());
        assert!(rooms.is_some());
        client.disconnect();
    }
    host.close();
    drop((host, clients));
    assert_eq!(
        Arc::strong_count(&token),
        1,
        "the host and its own units, too"
    );
}

/// Runs previews and stages, each of which changes nothing in the end.
fn rehearsals(host: &mut TestHost, clients: &[TestClient], versions: impl Iterator<Item = usize>) {
    for version in versions {
        let text = script(version);
        assert!(!host.preview_texts([("main.rhai", &*text)]).is_rejected());
        let rejected = text.replace("set_timeout", "throw 1; set_timeout");
        assert!(
            host.preview_texts([("main.rhai", &*rejected)])
                .is_rejected()
        );
        let id = clients[version % clients.len()].id().to_owned();
        host.stage([("main.rhai", &*text)], Audience::Sockets(vec![id]))
            .unwrap();
        for client in clients {
            client.emit("late", ());
            client.emit("n", ());
            client.heard();
        }
        host.abandon().unwrap();
        host.events();
    }
}

#[test]
fn previews_and_stages_leave_nothing_behind() {
    let token = Arc::new(());
    let given = Held(token.clone());
    let mut host = TestHost::build([("main.rhai", &*script(0))], |builder| {
        builder.function("token", move || given.clone())
    });
    let clients: Vec<_> = (0..4).map(|_| host.connect("/").unwrap()).collect();
    rehearsals(&mut host, &clients, 1..9);
    let held = Arc::strong_count(&token);
    rehearsals(&mut host, &clients, 9..33);
    assert_eq!(
        Arc::strong_count(&token),
        held,
        "copies and staged versions are freed"
    );
    host.close();
    drop((host, clients));
    assert_eq!(Arc::strong_count(&token), 1);
}

/// Returns a version that lacks a listener of the previous version, and leaves a closure of it stale.
fn shrinking(version: usize) -> String {
    format!(
        "const TOKEN = token();
        fn on_connection(socket) {{
            let table = #{{}};
            table[\"{version}\"] = || {version};
            socket.on(\"only {version}\", || {version});
            socket.on(\"n\", || {{ table.clear(); {version} }});
        }}"
    )
}

/// Code of the last version may still be needed; code of earlier versions is not.
#[test]
fn edits_that_remove_code_keep_few_versions() {
    let token = Arc::new(());
    let given = Held(token.clone());
    let mut host = TestHost::build([("main.rhai", &*shrinking(0))], |builder| {
        builder.function("token", move || given.clone())
    });
    assert_eq!(host.problems(), [] as [&str; 0]);
    let clients: Vec<_> = (0..4).map(|_| host.connect("/").unwrap()).collect();
    let mut held = Vec::new();
    for version in 1..40 {
        host.edit("main.rhai", &shrinking(version));
        for client in &clients {
            assert_eq!(client.ask("n", ()), Some(format!("[{version}]")));
        }
        held.push(Arc::strong_count(&token));
    }
    assert_eq!(held[10..20], held[29..], "{held:?}");
}
