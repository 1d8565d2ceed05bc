//! Tests with targets that are missing, or not back yet.

use super::*;

both! {
    folder_comes_back_later folder_comes_back_at_once parent_swapped missing_at_start missing_step_by_step single_file_missing_at_start
}

async fn folder_comes_back_later(options: WatchOptions) {
    let base = tempfile::tempdir().unwrap();
    let target = base.path().join("repo/scripts");
    folder(&target);
    write(&target.join("chat.rhai"), "1");
    let mut reader = Reader::start(&target, options);
    for n in 0..3 {
        fs::remove_dir_all(base.path().join("repo")).unwrap();
        reader.catch_up().await;
        assert!(reader.known.is_empty());
        folder(&target.join("game"));
        write(&target.join("game/lobby.rhai"), &format!("{n}"));
        reader.catch_up().await;
        reader.still_sees(&target.join("game/lobby.rhai")).await;
    }
}

async fn folder_comes_back_at_once(options: WatchOptions) {
    let base = tempfile::tempdir().unwrap();
    let target = base.path().join("repo/scripts");
    folder(&target.join("game"));
    let mut reader = Reader::start(&target, at_once(options));
    for n in 0..10 {
        fs::remove_dir_all(base.path().join("repo")).unwrap();
        folder(&target.join("game"));
        write(&target.join("game/lobby.rhai"), &format!("{n}"));
        reader.catch_up().await;
        reader.still_sees(&target.join("game/lobby.rhai")).await;
    }
}

async fn parent_swapped(options: WatchOptions) {
    let base = tempfile::tempdir().unwrap();
    let target = base.path().join("app/src/scripts");
    folder(&target);
    write(&target.join("chat.rhai"), "1");
    folder(&base.path().join("app2/src/scripts"));
    write(&base.path().join("app2/src/scripts/chat.rhai"), "2");
    let mut reader = Reader::start(&target, options);
    rename(&base.path().join("app"), &base.path().join("app1"));
    rename(&base.path().join("app2"), &base.path().join("app"));
    reader.catch_up().await;
    reader.still_sees(&target.join("chat.rhai")).await;
}

async fn missing_at_start(options: WatchOptions) {
    let base = tempfile::tempdir().unwrap();
    let target = base.path().join("a/b/scripts");
    let mut reader = Reader::start(&target, options);
    folder(&target);
    write(&target.join("chat.rhai"), "1");
    reader.catch_up().await;
    reader.still_sees(&target.join("chat.rhai")).await;
}

async fn missing_step_by_step(options: WatchOptions) {
    let base = tempfile::tempdir().unwrap();
    let target = base.path().join("a/b/scripts");
    let mut reader = Reader::start(&target, options);
    for step in ["a", "a/b", "a/b/scripts"] {
        folder(&base.path().join(step));
        if options.poll.is_none() {
            reader.next().await;
        }
    }
    reader.catch_up().await;
    reader.still_sees(&target.join("chat.rhai")).await;
}

async fn single_file_missing_at_start(options: WatchOptions) {
    let base = tempfile::tempdir().unwrap();
    let target = base.path().join("a/chat.rhai");
    let mut reader = Reader::start(&target, options);
    folder(&base.path().join("a"));
    write(&target, "1");
    reader.catch_up().await;
    write(&target, "2");
    reader.catch_up().await;
}
