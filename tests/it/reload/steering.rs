//! Steering: the host reports which version serves, lists and compares versions, and lets saves wait.

use patchcord::{
    HostEvent,
    host::{DiffError, Outcome},
    script::Folder,
    testing::TestHost,
};

fn script(version: i64) -> String {
    format!("fn on_connection(socket) {{\n    socket.on(\"v\", || {version});\n}}\n")
}

/// Returns the events about undone saves: script and version.
fn unchanged(host: &TestHost) -> Vec<(String, u64)> {
    let events = host.events().into_iter();
    let events = events.filter_map(|event| match event {
        HostEvent::Unchanged {
            script, version, ..
        } => Some((script.to_string(), version)),
        _ => None,
    });
    events.collect()
}

#[test]
fn the_undo_of_a_rejected_save_tells_which_version_serves_and_other_saves_are_silent() {
    let mut host = TestHost::with([("a.rhai", &*script(1)), ("b.rhai", &*script(1))]);
    host.edit("a.rhai", &script(2));
    host.edit("a.rhai", "fn on_connection(socket) {");
    assert_eq!(unchanged(&host), []);
    host.edit("a.rhai", &script(2));
    assert_eq!(unchanged(&host), [("a.rhai".to_owned(), 2)]);
    host.edit("a.rhai", &script(2));
    assert_eq!(host.events(), [], "nothing was rejected before");
    // The undo of an edit that was valid, but was rejected because of another script.
    host.edit_all([
        ("a.rhai", "fn on_connection(socket) {"),
        ("b.rhai", &*script(2)),
    ]);
    host.edit_all([("a.rhai", &*script(2)), ("b.rhai", &*script(1))]);
    let both = [("a.rhai".to_owned(), 2), ("b.rhai".to_owned(), 1)];
    assert_eq!(unchanged(&host), both);
    // After a repair, the event of the new version already reports what serves.
    host.edit("a.rhai", "fn on_connection(socket) {");
    host.edit("a.rhai", &script(3));
    host.edit("a.rhai", &script(3));
    assert_eq!(unchanged(&host), []);
}

#[test]
fn versions_are_listed_with_batch_outcome_and_connections() {
    let mut host = TestHost::with([("a.rhai", &*script(1)), ("room/{id}.rhai", &*script(1))]);
    let _clients = [
        host.connect("/a").unwrap(),
        host.connect("/room/1").unwrap(),
        host.connect("/room/2").unwrap(),
    ];
    host.edit("a.rhai", "fn on_connection(socket) {");
    host.edit_all([("a.rhai", &*script(2)), ("room/{id}.rhai", &*script(2))]);
    host.rollback("/a").unwrap();
    host.edit("a.rhai", &script(3));
    host.rollback("/a").unwrap();
    let versions = host.versions();
    let at = |namespace: &str| -> Vec<_> {
        let versions = versions.iter().filter(|info| &*info.namespace == namespace);
        let reported = versions.map(|info| {
            let record = &info.record;
            let now = info.serves.then_some(info.connections);
            (record.number, record.batch, record.outcome, now)
        });
        reported.collect()
    };
    assert_eq!(
        at("/a"),
        [
            (1, Some(1), Outcome::Loaded, None),
            (2, None, Outcome::Rejected, None),
            (2, Some(2), Outcome::Replaced, None),
            (1, Some(3), Outcome::RolledBack, None),
            (3, Some(4), Outcome::Replaced, None),
            (1, Some(5), Outcome::RolledBack, Some(1)),
        ]
    );
    assert_eq!(
        at("/room/{id}"),
        [
            (1, Some(1), Outcome::Loaded, None),
            (2, Some(2), Outcome::Replaced, None),
            (1, Some(3), Outcome::RolledBack, Some(2)),
        ]
    );
    assert!(versions.is_sorted_by_key(|info| info.record.time));
    let written = serde_json::to_value(&versions[0]).unwrap();
    assert_eq!(written["script"], "a.rhai");
    assert_eq!(
        (&written["number"], &written["outcome"]),
        (&1.into(), &"loaded".into())
    );
}

#[test]
fn two_versions_are_compared_file_by_file() {
    let main = "import \"lib/n\" as n;\nfn on_connection(socket) {\n    n::n();\n}\n";
    let mut host = TestHost::with([("a.rhai", main), ("lib/n.rhai", "fn n() { 1 }\n")]);
    host.edit("lib/n.rhai", "fn n() { 2 }\n");
    host.edit("a.rhai", &script(3));
    assert_eq!(
        host.diff("/a", 1, 2).unwrap(),
        "--- lib/n.rhai (version 1)\n+++ lib/n.rhai (version 2)\n@@ -1 +1 @@\n-fn n() { 1 }\n+fn n() { 2 }\n"
    );
    let gone = host.diff("/a", 2, 3).unwrap();
    assert!(
        gone.contains("--- lib/n.rhai (version 2)\n+++ /dev/null\n"),
        "{gone}"
    );
    assert!(gone.contains("\n+    socket.on(\"v\", || 3);\n"), "{gone}");
    assert_eq!(host.diff("/a", 2, 2).unwrap(), "");
    let error = host.diff("/a", 2, 9).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no version 9 of `/a`; kept: 1, 2, 3"
    );
    assert!(matches!(
        host.diff("/b", 1, 2),
        Err(DiffError::NotServed(_))
    ));
}

#[tokio::test]
async fn saves_wait_while_the_host_is_paused() {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(place.path().join(name), text).unwrap();
    write("a.rhai", &script(1));
    write("b.rhai", &script(1));
    let (reported, mut events) = tokio::sync::mpsc::unbounded_channel();
    let mut options = patchcord::testing::options();
    options.reload.missing_grace = std::time::Duration::from_millis(1);
    let host = patchcord::Host::builder()
        .loader(Folder::new(place.path()))
        .options(options)
        .on_event(move |event| drop(reported.send(event.clone())))
        .build();
    let _ = host.load().await;
    let _watching = host.watch().unwrap();
    assert!(host.pause().await);
    assert!(!host.pause().await, "saves wait already");
    write("a.rhai", &script(2));
    std::fs::remove_file(place.path().join("b.rhai")).unwrap();
    let mut waits = false;
    while !waits {
        let event = events.recv().await.unwrap();
        waits = matches!(&event, HostEvent::Paused { files } if files.contains(&"a.rhai".into()));
        let takes_effect = matches!(
            event,
            HostEvent::Replaced { .. } | HostEvent::Removed { .. }
        );
        assert!(!takes_effect, "{event:?}");
    }
    assert_eq!(host.namespaces(), ["/a".into(), "/b".into()]);
    assert!(host.resume().await.is_ok());
    let (mut is_resumed, mut is_replaced, mut is_removed) = (false, false, false);
    while !(is_resumed && is_replaced && is_removed) {
        match events.recv().await.unwrap() {
            HostEvent::Resumed => is_resumed = true,
            HostEvent::Replaced { version, .. } => is_replaced = is_resumed && version == 2,
            HostEvent::Removed { namespace, .. } => is_removed = &*namespace == "/b",
            _ => {}
        }
    }
    assert!(host.resume().await.is_ok());
    write("a.rhai", &script(3));
    loop {
        if let HostEvent::Replaced { version, .. } = events.recv().await.unwrap() {
            assert_eq!(version, 3);
            break;
        }
    }
}
