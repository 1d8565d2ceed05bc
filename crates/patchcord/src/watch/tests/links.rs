//! Tests with links on the way to a target, and in it.

use super::*;

both! {
    config_map config_map_outside target_is_a_swapped_link single_file_behind_a_link file_behind_a_link folder_behind_a_new_link link_to_nothing link_loop
}

async fn config_map(options: WatchOptions) {
    let base = tempfile::tempdir().unwrap();
    let target = base.path().join("scripts");
    folder(&target.join("..2024_1"));
    write(&target.join("..2024_1/chat.rhai"), "1");
    link("..2024_1", &target.join("..data"));
    link("..data/chat.rhai", &target.join("chat.rhai"));
    let mut reader = Reader::start(&target, options);
    for n in 2..5 {
        let new = target.join(format!("..2024_{n}"));
        folder(&new);
        write(&new.join("chat.rhai"), &format!("{n}"));
        link(&format!("..2024_{n}"), &target.join("..data_tmp"));
        rename(&target.join("..data_tmp"), &target.join("..data"));
        fs::remove_dir_all(target.join(format!("..2024_{}", n - 1))).unwrap();
        reader.catch_up().await;
        assert_eq!(
            reader.known.get(&target.join("chat.rhai")),
            Some(&Some(format!("{n}").into_bytes()))
        );
    }
}

async fn config_map_outside(options: WatchOptions) {
    let base = tempfile::tempdir().unwrap();
    let target = base.path().join("scripts");
    folder(&target);
    for n in 1..4 {
        folder(&base.path().join(format!("sets/{n}/sub")));
        write(
            &base.path().join(format!("sets/{n}/chat.rhai")),
            &format!("{n}"),
        );
    }
    link("../sets/1", &target.join("..data"));
    link("..data/chat.rhai", &target.join("chat.rhai"));
    let mut reader = Reader::start(&target, options);
    for n in 2..4 {
        link(&format!("../sets/{n}"), &target.join("..data_tmp"));
        rename(&target.join("..data_tmp"), &target.join("..data"));
        reader.catch_up().await;
        reader.settle().await;
        write(&base.path().join(format!("sets/{n}/sub/new.rhai")), "1");
        reader.catch_up().await;
        reader.settle().await;
        write(&base.path().join(format!("sets/{n}/chat.rhai")), "in place");
        reader.catch_up().await;
    }
}

async fn target_is_a_swapped_link(options: WatchOptions) {
    let base = tempfile::tempdir().unwrap();
    for n in 1..4 {
        folder(&base.path().join(format!("releases/{n}/sub")));
        write(
            &base.path().join(format!("releases/{n}/chat.rhai")),
            &format!("{n}"),
        );
    }
    let target = base.path().join("current");
    link("releases/1", &target);
    let mut reader = Reader::start(&target, options);
    for n in 2..4 {
        link(&format!("releases/{n}"), &base.path().join("next"));
        rename(&base.path().join("next"), &target);
        reader.catch_up().await;
        reader.still_sees(&target.join("chat.rhai")).await;
        reader.still_sees(&target.join("sub/new.rhai")).await;
    }
}

async fn single_file_behind_a_link(options: WatchOptions) {
    let (base, scripts) = scripts();
    write(&scripts.join("other.rhai"), "other");
    let target = base.path().join("main.rhai");
    link("scripts/chat.rhai", &target);
    let mut reader = Reader::start(&target, options);
    write(&scripts.join("chat.rhai"), "2");
    reader.hear_of(&target).await;
    reader.catch_up().await;
    link("scripts/other.rhai", &base.path().join("next"));
    rename(&base.path().join("next"), &target);
    reader.hear_of(&target).await;
    write(&scripts.join("other.rhai"), "2");
    reader.hear_of(&target).await;
    reader.catch_up().await;
}

async fn file_behind_a_link(options: WatchOptions) {
    let (base, target) = scripts();
    let shared = base.path().join("shared");
    folder(&shared);
    write(&shared.join("names.rhai"), "1");
    link("../shared/names.rhai", &target.join("names.rhai"));
    let mut reader = Reader::start(&target, options);
    write(&shared.join("names.rhai"), "2");
    reader.catch_up().await;
    reader.settle().await;
    write(&shared.join("new"), "3");
    rename(&shared.join("new"), &shared.join("names.rhai"));
    reader.catch_up().await;
    reader.settle().await;
    fs::remove_dir_all(&shared).unwrap();
    reader.catch_up().await;
    reader.settle().await;
    folder(&shared);
    write(&shared.join("names.rhai"), "4");
    reader.catch_up().await;
}

async fn folder_behind_a_new_link(options: WatchOptions) {
    let (base, target) = scripts();
    folder(&base.path().join("shared/sub"));
    let mut reader = Reader::start(&target, options);
    link("../shared", &target.join("lib"));
    reader.catch_up().await;
    reader.settle().await;
    write(&base.path().join("shared/sub/names.rhai"), "1");
    reader.catch_up().await;
}

async fn link_to_nothing(options: WatchOptions) {
    let (base, target) = scripts();
    link("../not/yet", &target.join("lib"));
    let mut reader = Reader::start(&target, options);
    folder(&base.path().join("not/yet"));
    reader.catch_up().await;
    reader.settle().await;
    write(&base.path().join("not/yet/names.rhai"), "1");
    reader.catch_up().await;
}

async fn link_loop(options: WatchOptions) {
    let (_base, target) = scripts();
    link(".", &target.join("self"));
    link("b", &target.join("a"));
    link("a", &target.join("b"));
    let mut reader = Reader::start(&target, options);
    let mut problems = 0;
    for n in 2..6 {
        write(&target.join("chat.rhai"), &format!("{n}"));
        problems += reader
            .hear_of(&target.join("chat.rhai"))
            .await
            .problems
            .len();
    }
    assert!(problems <= 2, "one for each link that leads nowhere");
}
