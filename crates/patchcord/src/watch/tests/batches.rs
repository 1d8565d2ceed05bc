//! Tests of how notes become batches.

use super::*;

fn changed(path: &str) -> Note {
    Note::Changed(path.into())
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[tokio::test(start_paused = true)]
async fn a_batch_ends_with_quiet() {
    let (notes, received) = unbounded_channel();
    let mut batches = Batches::new(received, native());
    let sender = tokio::spawn(async move {
        let mut ticks = interval(millis(40));
        for path in ["a", "b", "a"] {
            ticks.tick().await;
            notes.send(changed(path)).unwrap();
        }
        notes
    });
    let start = Instant::now();
    let batch = batches.next().await.unwrap();
    assert_eq!(batch.paths, ["a".into(), "b".into()].into());
    assert_eq!(start.elapsed(), millis(130));
    drop(sender.await);
    assert!(batches.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_batch_ends_at_most_so_late() {
    let (notes, received) = unbounded_channel();
    let mut batches = Batches::new(received, native());
    tokio::spawn(async move {
        let mut ticks = interval(millis(40));
        while notes.send(changed("a")).is_ok() {
            ticks.tick().await;
        }
    });
    let start = Instant::now();
    let batch = timeout(DEADLINE, batches.next()).await;
    assert!(batch.expect("a batch in spite of the changes").is_some());
    assert_eq!(start.elapsed(), millis(500));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_wait_loses_nothing() {
    let (notes, received) = unbounded_channel();
    let mut batches = Batches::new(received, native());
    notes.send(changed("a")).unwrap();
    let cancelled = timeout(millis(20), batches.next()).await;
    assert!(cancelled.is_err());
    notes.send(changed("b")).unwrap();
    drop(notes);
    let batch = batches.next().await.unwrap();
    assert_eq!(batch.paths, ["a".into(), "b".into()].into());
    assert!(batches.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn everything_is_the_empty_set_and_problems_come_along() {
    let (notes, received) = unbounded_channel();
    let mut batches = Batches::new(received, native());
    notes.send(changed("a")).unwrap();
    notes.send(Note::Everything).unwrap();
    notes.send(changed("b")).unwrap();
    let full = notify::Error::new(notify::ErrorKind::MaxFilesWatch);
    let full = WatchError::from_notify(full, Path::new("scripts"));
    notes.send(Note::Problem(full)).unwrap();
    let batch = batches.next().await.unwrap();
    assert!(batch.paths.is_empty());
    assert_eq!(batch.problems.len(), 1);
}
