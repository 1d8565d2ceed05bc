//! A store that fails.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use patchcord::{
    HostEvent,
    store::{Record, Store, StoreChange, StoreError},
};

use crate::support::{
    program::Place,
    server::{Client, Running},
};

const SCRIPT: &str = r#"fn on_connection(socket) {
    socket.on("write", |value, ack| {
        io.data.value = value;
        io.data.flush(|err| ack.call(err, io.data.value));
    });
    socket.on("try", |value| {
        let result = "written";
        try { io.data.value = value; } catch (error) { result = error; }
        result
    });
    socket.on("read", || io.data.to_map());
}"#;

/// Records by namespace and key.
type Records = BTreeMap<(String, String), Vec<u8>>;

/// Store in memory that fails on request.
#[derive(Debug, Default, Clone)]
struct Breakable {
    records: Arc<Mutex<Records>>,
    is_broken: Arc<AtomicBool>,
}

impl Breakable {
    fn check(&self) -> Result<(), StoreError> {
        match self.is_broken.load(Ordering::Relaxed) {
            true => Err(StoreError::new("the disk is full")),
            false => Ok(()),
        }
    }

    fn put(&self, namespace: &str, key: &str, record: Vec<u8>) {
        let key = (namespace.to_owned(), key.to_owned());
        self.records.lock().unwrap().insert(key, record);
    }

    fn record(&self, namespace: &str, key: &str) -> Option<Vec<u8>> {
        let key = (namespace.to_owned(), key.to_owned());
        self.records.lock().unwrap().get(&key).cloned()
    }
}

impl Store for Breakable {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn load(&self, namespace: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.check()?;
        let records = self.records.lock().unwrap();
        let own = records.iter().filter(|((path, _), _)| path == namespace);
        Ok(own
            .map(|((_, key), record)| (key.clone(), record.clone()))
            .collect())
    }

    fn write(&self, changes: &[StoreChange]) -> Result<(), StoreError> {
        self.check()?;
        for change in changes {
            match &change.record {
                Some(record) => self.put(&change.namespace, &change.key, record.clone()),
                None => {
                    let key = (change.namespace.to_string(), change.key.to_string());
                    self.records.lock().unwrap().remove(&key);
                }
            }
        }
        Ok(())
    }
}

async fn serve(store: &Breakable, required: bool) -> Running {
    Running::new(&[("main.rhai", SCRIPT)], |builder| {
        let mut options = patchcord::testing::options();
        options.data.save_every = Duration::from_millis(1);
        options.data.required = required;
        builder.options(options).store(store.clone())
    })
    .await
}

async fn client(running: &Running) -> Client {
    let mut client = running.websocket().await;
    client.connect("").await;
    client
}

async fn ask(client: &mut Client, packet: &str) -> String {
    client.send(&format!("421{packet}")).await;
    let answer = client.until(|packet| packet.starts_with("431")).await;
    answer[3..].to_owned()
}

#[tokio::test]
async fn memory_serves_on_and_everything_is_saved_later() {
    let store = Breakable::default();
    let mut running = serve(&store, false).await;
    let mut client = client(&running).await;
    assert_eq!(ask(&mut client, r#"["write",1]"#).await, "[null,1]");
    store.is_broken.store(true, Ordering::Relaxed);
    assert_eq!(
        ask(&mut client, r#"["write",2]"#).await,
        r#"["the disk is full",2]"#
    );
    let failed = running
        .announced(|event| match event {
            HostEvent::StoreFailed { error, unsaved, .. } => Some((error, unsaved)),
            _ => None,
        })
        .await;
    assert_eq!(failed, ("the disk is full".to_owned(), 1));
    assert_eq!(ask(&mut client, r#"["try",3]"#).await, r#"["written"]"#);
    store.is_broken.store(false, Ordering::Relaxed);
    running
        .announced(|event| matches!(event, HostEvent::StoreRecovered { .. }).then_some(()))
        .await;
    let saved = Record::decode(&store.record("/", "value").unwrap()).unwrap();
    assert_eq!(saved.value.as_int(), Ok(3));
}

#[tokio::test]
async fn writes_are_rejected_if_the_store_is_required() {
    let store = Breakable::default();
    let mut running = serve(&store, true).await;
    let mut client = client(&running).await;
    assert_eq!(ask(&mut client, r#"["write",1]"#).await, "[null,1]");
    store.is_broken.store(true, Ordering::Relaxed);
    assert_eq!(
        ask(&mut client, r#"["write",2]"#).await,
        r#"["the disk is full",2]"#
    );
    assert_eq!(
        ask(&mut client, r#"["try",3]"#).await,
        r#"["`io.data` cannot be changed while it cannot be saved (`--data-required`)"]"#
    );
    assert_eq!(ask(&mut client, r#"["read"]"#).await, r#"[{"value":2}]"#);
    store.is_broken.store(false, Ordering::Relaxed);
    running
        .announced(|event| matches!(event, HostEvent::StoreRecovered { .. }).then_some(()))
        .await;
    assert_eq!(ask(&mut client, r#"["write",4]"#).await, "[null,4]");
}

#[tokio::test]
async fn what_cannot_be_read_is_not_overwritten() {
    let store = Breakable::default();
    store.put("/", "value", Record::encode(&7.into(), None));
    store.is_broken.store(true, Ordering::Relaxed);
    let mut running = serve(&store, false).await;
    running
        .announced(|event| match event {
            HostEvent::StoreFailed { namespace, .. } => namespace.filter(|path| &**path == "/"),
            _ => None,
        })
        .await;
    store.is_broken.store(false, Ordering::Relaxed);
    let mut client = client(&running).await;
    assert_eq!(
        ask(&mut client, r#"["write",8]"#).await,
        r#"["the store could not be read, so nothing is saved",8]"#
    );
    running.server.shutdown().await;
    let kept = Record::decode(&store.record("/", "value").unwrap()).unwrap();
    assert_eq!(kept.value.as_int(), Ok(7));
}

#[tokio::test]
async fn a_damaged_record_is_left_out_and_the_others_are_read() {
    let store = Breakable::default();
    store.put("/", "value", Record::encode(&7.into(), None));
    let mut damaged = Record::encode(&"Ada".into(), None);
    *damaged.last_mut().unwrap() ^= 1;
    store.put("/", "damaged", damaged);
    let mut newer = Record::encode(&"Ada".into(), None);
    newer[0] = 200;
    store.put("/", "newer", newer);
    let mut running = serve(&store, false).await;
    let mut failed = Vec::new();
    for _ in 0..2 {
        failed.push(
            running
                .announced(|event| match event {
                    HostEvent::StoreFailed { key, error, .. } => Some((key.unwrap(), error)),
                    _ => None,
                })
                .await,
        );
    }
    let text = |text: &str| text.to_owned();
    assert_eq!(
        failed,
        [
            (text("damaged"), text("the record is damaged")),
            (
                text("newer"),
                text(
                    "the record has the version 200, which this version of patchcord does not know"
                )
            ),
        ]
    );
    let mut client = client(&running).await;
    assert_eq!(ask(&mut client, r#"["read"]"#).await, r#"[{"value":7}]"#);
}

/// Contents that are no store: garbage, a file that was cut off, and an unreadable folder.
fn unusable_files() -> Vec<(&'static str, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("good.redb");
    let good = patchcord::store::RedbStore::open(&file).unwrap();
    let changes: Vec<_> = (0..500)
        .map(|n| StoreChange::new("/", format!("key {n}"), Some(vec![0; 500])))
        .collect();
    good.write(&changes).unwrap();
    drop(good);
    let mut cut = fs::read(&file).unwrap();
    let zeros = [cut[..512].to_vec(), vec![0; cut.len() - 512]].concat();
    cut.truncate(cut.len() / 3);
    vec![
        ("garbage", b"this is no store at all\n".repeat(500)),
        ("cut", cut),
        ("zeros", zeros),
    ]
}

#[test]
fn a_file_that_is_no_store_is_announced_and_left_as_it_is() {
    for (name, content) in unusable_files() {
        let place = Place::new(&[("scripts/main.rhai", SCRIPT)]);
        let file = place.path().join("state.redb");
        fs::write(&file, &content).unwrap();
        let serving = place.serve(&["serve", "--port", "0", "--data", "state.redb"], &[]);
        // The library of the store may log a panic first.
        let mut lines = std::iter::from_fn(|| Some(serving.line()));
        let line = lines.find(|line| line.starts_with("warning: ")).unwrap();
        assert!(
            line.starts_with("warning: state.redb: the data of / cannot be read: "),
            "{name}: {line}"
        );
        drop(serving);
        assert!(
            fs::read(&file).unwrap() == content,
            "{name} was overwritten"
        );
        let required = [
            "serve",
            "--port",
            "0",
            "--data",
            "state.redb",
            "--data-required",
        ];
        let ended = place.run(&required, &[]);
        let error = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{name}: {error}");
        assert!(
            error.contains("the store cannot be used: state.redb: "),
            "{name}: {error}"
        );
        assert!(
            fs::read(&file).unwrap() == content,
            "{name} was overwritten"
        );
    }
}
