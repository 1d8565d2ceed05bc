//! Files that would serve the same namespace.

use std::{fs, path::Path};

use patchcord::{
    Host,
    script::{Folder, LoadError, Loader},
};
use tokio::sync::mpsc::unbounded_channel;

use crate::support::{
    server::TEST_TIMEOUT,
    watched::{Watched, one, script, shown},
};

/// Writes a folder with a namespace that two files would serve, and another namespace.
fn two_of_one_namespace(scripts: &Path) {
    one(scripts);
    fs::create_dir(scripts.join("room")).unwrap();
    fs::write(scripts.join("room/{id}.rhai"), script("id")).unwrap();
    fs::write(scripts.join("room/{name}.rhai"), script("name")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_files_that_serve_the_same_namespace_the_second_serves_when_the_first_is_gone() {
    let mut watched = Watched::new(two_of_one_namespace).await;
    watched.until("loaded room/{id}.rhai").await;
    let seen = watched.next().await;
    let refused = "`room/{name}.rhai` serves the same namespace as `room/{id}.rhai`";
    assert!(seen.contains(refused), "{seen}");
    fs::remove_file(watched.file("room/{id}.rhai")).unwrap();
    assert_eq!(
        watched.until("loaded room/{name}.rhai").await,
        [
            "missing room/{id}.rhai",
            "removed room/{id}.rhai",
            "loaded room/{name}.rhai"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_refused_beside_another_one_holds_up_no_edit() {
    let mut watched = Watched::new(two_of_one_namespace).await;
    watched.until("loaded room/{id}.rhai").await;
    watched.next().await;
    fs::write(watched.file("main.rhai"), script("two")).unwrap();
    assert_eq!(
        watched.until("two").await.last().unwrap(),
        "two",
        "and nothing is refused before that"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_beside_one_that_serves_is_refused_whatever_their_order() {
    let mut watched = Watched::new(|scripts| {
        two_of_one_namespace(scripts);
        fs::remove_file(scripts.join("room/{id}.rhai")).unwrap();
    })
    .await;
    watched.until("loaded room/{name}.rhai").await;
    fs::write(watched.file("room/{id}.rhai"), script("id")).unwrap();
    let seen = watched.next().await;
    let refused = "`room/{id}.rhai` serves the same namespace as `room/{name}.rhai`";
    assert!(seen.contains(refused), "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_a_dynamic_namespace_that_gets_another_name_is_not_refused() {
    let mut watched = Watched::new(|scripts| {
        two_of_one_namespace(scripts);
        fs::remove_file(scripts.join("room/{name}.rhai")).unwrap();
    })
    .await;
    watched.until("loaded room/{id}.rhai").await;
    let (old, new) = (
        watched.file("room/{id}.rhai"),
        watched.file("room/{name}.rhai"),
    );
    fs::rename(old, new).unwrap();
    assert_eq!(
        watched.until("loaded room/{name}.rhai").await,
        [
            "missing room/{id}.rhai, as room/{name}.rhai",
            "removed room/{id}.rhai",
            "loaded room/{name}.rhai"
        ]
    );
}

/// Loader in which every file serves `/`.
#[derive(Debug)]
struct AllOfOne(Folder);

impl Loader for AllOfOne {
    fn list(&self) -> Result<Vec<String>, LoadError> {
        self.0.list()
    }

    fn read(&self, name: &str) -> Result<String, LoadError> {
        self.0.read(name)
    }

    fn namespace(&self, _name: &str) -> Option<String> {
        Some("/".to_owned())
    }
}

#[tokio::test]
async fn a_loader_that_gives_a_namespace_two_files_is_told() {
    let scripts = tempfile::tempdir().unwrap();
    let file = |name: &str| scripts.path().join(name);
    fs::write(file("b.rhai"), script("b")).unwrap();
    let (tell, mut events) = unbounded_channel();
    let host = Host::builder()
        .loader(AllOfOne(Folder::new(scripts.path())))
        .on_event(move |event| drop(tell.send(shown(event))))
        .build();
    let mut next = async |wanted: &str| {
        loop {
            let seen = tokio::time::timeout(TEST_TIMEOUT, events.recv()).await;
            let seen = seen.unwrap_or_else(|_| panic!("`{wanted}` does not happen"));
            if seen.unwrap().contains(wanted) {
                return;
            }
        }
    };
    let _ = host.load().await;
    next("loaded b.rhai").await;
    fs::write(file("a.rhai"), script("a")).unwrap();
    let _ = host.reload().await;
    next("`a.rhai` serves the same namespace as `b.rhai`").await;
    fs::remove_file(file("b.rhai")).unwrap();
    let _ = host.reload().await;
    next("replaced a.rhai 2").await;
}
