//! Tests of the events that the system reports, and of those that it loses.

use super::*;

#[tokio::test]
async fn permissions_are_a_change() {
    use std::os::unix::fs::PermissionsExt;
    let (_base, target) = scripts();
    let script = target.join("chat.rhai");
    let mut reader = Reader::start(&target, native());
    fs::set_permissions(&script, fs::Permissions::from_mode(0o600)).unwrap();
    reader.hear_of(&script).await;
}

#[tokio::test]
async fn lost_events_lead_to_a_look_at_everything() {
    let (_base, target) = scripts();
    let mut reader = Reader::start(&target, native());
    let lost = Event::new(EventKind::Other).set_flag(Flag::Rescan);
    reader.watcher.stop.send(Raw::Event(Ok(lost))).unwrap();
    assert!(reader.next().await.paths.is_empty());
    reader.still_sees(&target.join("chat.rhai")).await;
}

/// Starts the watching thread of `target` without a [`Watcher`]. The events of notify go only to `events`.
fn watching_by_hand(
    target: &Path,
    events: impl notify::EventHandler,
) -> (mpsc::Sender<Raw>, UnboundedReceiver<Note>) {
    let (raw, receiver) = mpsc::channel();
    let (notes, received) = unbounded_channel();
    let notifier = Notifier {
        given: target.to_path_buf(),
        root: target.to_path_buf(),
        notes,
    };
    let native = Native::start(notifier, events).expect("a watch");
    std::thread::spawn(move || native.run(&receiver));
    (raw, received)
}

async fn next_note(notes: &mut UnboundedReceiver<Note>) -> Note {
    let note = timeout(DEADLINE, notes.recv()).await;
    note.expect("a note before the deadline")
        .expect("a thread that lives")
}

#[tokio::test]
async fn a_new_watch_is_followed_by_a_look_at_the_target() {
    let (_base, target) = scripts();
    let (raw, mut notes) = watching_by_hand(&target, |_| {});
    let new = target.join("new");
    folder(&new);
    let created = Event::new(EventKind::Create(CreateKind::Folder)).add_path(new.clone());
    raw.send(Raw::Event(Ok(created))).unwrap();
    for expected in [&new, &target] {
        let note = next_note(&mut notes).await;
        assert!(
            matches!(&note, Note::Changed(path) if path == expected),
            "{note:?}"
        );
    }
    raw.send(Raw::Stop).unwrap();
    assert!(notes.recv().await.is_none());
}

#[tokio::test]
async fn watches_that_ended_in_lost_events_are_made_anew() {
    let (base, target) = scripts();
    let sub = target.join("sub");
    folder(&sub);
    let (heard, events) = mpsc::channel();
    let (raw, mut notes) = watching_by_hand(&target, heard);
    rename(&sub, &base.path().join("away"));
    rename(&base.path().join("away"), &sub);
    let back = EventKind::Modify(ModifyKind::Name(RenameMode::To));
    let hear = || events.recv_timeout(DEADLINE).unwrap().unwrap();
    let is_back = |event: Event| event.kind == back && event.paths.contains(&sub);
    while !is_back(hear()) {}
    let lost = Event::new(EventKind::Other).set_flag(Flag::Rescan);
    raw.send(Raw::Event(Ok(lost))).unwrap();
    assert!(matches!(next_note(&mut notes).await, Note::Everything));
    assert!(matches!(next_note(&mut notes).await, Note::Changed(path) if path == target));
    write(&sub.join("new.rhai"), "1");
    while !hear().paths.contains(&sub.join("new.rhai")) {}
    raw.send(Raw::Stop).unwrap();
}

#[tokio::test]
async fn a_file_in_the_way_of_the_target_is_waited_out() {
    for options in [native(), polling()] {
        let base = tempfile::tempdir().unwrap();
        write(&base.path().join("a"), "a file");
        let target = base.path().join("a/scripts");
        let mut reader = Reader::start(&target, options);
        fs::remove_file(base.path().join("a")).unwrap();
        folder(&target);
        reader.catch_up().await;
        reader.still_sees(&target.join("chat.rhai")).await;
    }
}

#[test]
fn needs_no_runtime_to_start_and_takes_any_to_collect() {
    let (_base, target) = scripts();
    let mut reader = Reader::start(&target, native());
    write(&target.join("chat.rhai"), "2");
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().build().unwrap();
    runtime.block_on(reader.catch_up());
}

#[test]
fn one_folder_has_one_watch() {
    let base = tempfile::tempdir().unwrap();
    let (old, new) = (base.path().join("old"), base.path().join("new"));
    folder(&old.join("sub"));
    let watcher = RecommendedWatcher::new(|_| {}, notify::Config::default()).unwrap();
    let mut folders = Folders::new(watcher);
    let mode = RecursiveMode::NonRecursive;
    assert!(folders.want(&old, mode).unwrap());
    assert!(folders.want(&old.join("sub"), mode).unwrap());
    assert!(!folders.want(&old, mode).unwrap());
    rename(&old, &new);
    folders.begin();
    assert!(folders.want(&new, mode).unwrap());
    assert!(!folders.contains(&old) && !folders.contains(&old.join("sub")));
    folders.begin();
    folders.want(base.path(), mode).unwrap();
    folders.finish();
    assert!(folders.contains(base.path()) && !folders.contains(&new));
    assert!(folders.want(&old, mode).is_err());
}

#[test]
fn a_reached_limit_names_the_way_out() {
    let full = notify::Error::new(notify::ErrorKind::MaxFilesWatch).add_path("scripts/a".into());
    let full = WatchError::from_notify(full, Path::new("scripts"));
    assert_eq!(
        full.to_string(),
        "cannot watch `scripts/a`: the limit `fs.inotify.max_user_watches` is reached"
    );
    let hint = full.hint().unwrap();
    assert!(hint.contains("fs.inotify.max_user_watches") && hint.contains("--poll"));
    let many = notify::Error::io(io::Error::from_raw_os_error(24));
    let many = WatchError::from_notify(many, Path::new("scripts"));
    assert!(
        many.hint()
            .unwrap()
            .contains("fs.inotify.max_user_instances")
    );
    assert_eq!(many.path(), Path::new("scripts"));
    let other = notify::Error::io(io::ErrorKind::PermissionDenied.into());
    let other = WatchError::from_notify(other, Path::new("scripts"));
    assert_eq!(other.to_string(), "cannot watch `scripts`");
    assert_eq!(other.hint(), None);
}
