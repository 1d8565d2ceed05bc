//! Files and the namespaces that they serve.

use std::fs;

use patchcord::{
    Host,
    script::{Folder, Loader},
    testing::TestHost,
};

const SCRIPT: &str = "fn on_connection(socket) { socket.on(\"nsp\", || socket.nsp); }";

#[test]
fn a_folder_is_served_by_its_layout() {
    let host = TestHost::with([
        ("main.rhai", SCRIPT),
        ("chat.rhai", SCRIPT),
        ("game/lobby.rhai", SCRIPT),
        ("game/lib/rules.rhai", SCRIPT),
        ("lib/names.rhai", SCRIPT),
        ("_draft.rhai", SCRIPT),
        ("_old/chat.rhai", SCRIPT),
        ("chat_test.rhai", SCRIPT),
        ("chat.d.rhai", SCRIPT),
    ]);
    for path in ["/", "/chat", "/game/lobby"] {
        assert_eq!(
            host.connect(path).unwrap().ask("nsp", ()),
            Some(format!("[\"{path}\"]"))
        );
    }
    for path in [
        "/main",
        "/lib/names",
        "/game/lib/rules",
        "/_draft",
        "/_old/chat",
        "/chat_test",
        "/chat.d",
    ] {
        assert_eq!(
            host.connect(path).unwrap_err().0,
            "Invalid namespace",
            "{path}"
        );
    }
}

#[test]
fn a_file_that_is_only_imported_is_no_namespace() {
    let host = TestHost::with([
        (
            "main.rhai",
            "import \"names\" as names; fn on_connection(socket) { names::first(); }",
        ),
        ("names.rhai", "fn first() { \"Ada\" }"),
    ]);
    assert_eq!(host.problems(), [] as [&str; 0]);
    assert_eq!(host.connect("/names").unwrap_err().0, "Invalid namespace");
}

#[test]
fn a_new_file_is_a_new_namespace() {
    let mut host = TestHost::new(SCRIPT);
    host.edit("news.rhai", SCRIPT);
    assert_eq!(
        host.connect("/news").unwrap().ask("nsp", ()).as_deref(),
        Some("[\"/news\"]")
    );
}

#[test]
fn one_file_is_served_as_the_main_namespace() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bot.rhai"), SCRIPT).unwrap();
    fs::write(folder.path().join("other.rhai"), SCRIPT).unwrap();
    let loader = Folder::new(folder.path().join("bot.rhai"));
    let names = loader.list().unwrap();
    assert_eq!(names, ["bot.rhai"]);
    assert_eq!(loader.namespace("bot.rhai").as_deref(), Some("/"));
}

#[tokio::test]
async fn a_file_that_is_gone_for_good_takes_its_namespace_along() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("main.rhai"), SCRIPT).unwrap();
    fs::write(folder.path().join("news.rhai"), SCRIPT).unwrap();
    let (gone, mut reported) = tokio::sync::mpsc::unbounded_channel();
    let host = Host::builder()
        .scripts(folder.path())
        .on_event(move |event| {
            if let patchcord::HostEvent::Removed { namespace, .. } = event {
                gone.send(namespace.to_string()).unwrap();
            }
        })
        .build();
    let _ = host.load().await;
    let _watching = host.watch().unwrap();
    assert_eq!(
        host.namespaces().iter().map(|n| &**n).collect::<Vec<_>>(),
        ["/", "/news"]
    );
    fs::remove_file(folder.path().join("news.rhai")).unwrap();
    assert_eq!(reported.recv().await.as_deref(), Some("/news"));
    assert_eq!(
        host.namespaces().iter().map(|n| &**n).collect::<Vec<_>>(),
        ["/"]
    );
}
