//! Sixty clients and twenty-five edits at the same time: every event is answered once, in order, by one version.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use patchcord::HostEvent;

use crate::support::server::{Client, Running, TEST_TIMEOUT};

const CLIENTS: u64 = 60;
const EDITS: u64 = 25;

/// Returns a script whose handler answers with its version at its beginning and at its end, and with the connection's
/// state.
fn script(version: u64) -> String {
    format!(
        "const VERSION = {version};
        fn version() {{ global::VERSION }}
        fn on_connection(socket) {{
            let count = 0;
            let last = -1;
            socket.on(\"n\", |n| {{
                let began = {version};
                if n != last + 1 {{ throw `${{n}} came after ${{last}}`; }}
                last = n;
                for i in 0..20 {{ count += 1; }}
                [n, count, began, version()]
            }});
        }}"
    )
}

/// Sends numbered events until `stop` is set, and checks each answer. Returns the number of answers.
async fn send(mut client: Client, serving: Arc<AtomicU64>, stop: Arc<AtomicBool>) -> u64 {
    let (mut sent, mut version) = (0, 0);
    while !stop.load(Ordering::Acquire) {
        let at_least = serving.load(Ordering::Acquire).max(version);
        client.send(&format!("42{sent}[\"n\",{sent}]")).await;
        let answer = client.next().await.expect("the connection is closed");
        let prefix = format!("43{sent}[[{sent},{},", (sent + 1) * 20);
        let versions = answer
            .strip_prefix(&prefix)
            .and_then(|rest| rest.strip_suffix("]]"))
            .unwrap_or_else(|| panic!("not the answer to event {sent}: {answer}"));
        let (began, ended) = versions.split_once(',').unwrap();
        assert_eq!(began, ended, "half by one version, half by another");
        version = began.parse().unwrap();
        assert!(
            version >= at_least,
            "version {version} was called after {at_least} served"
        );
        sent += 1;
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_event_is_lost_doubled_reordered_or_run_half_by_one_version_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("main.rhai");
    fs::write(&file, script(1)).unwrap();
    let mut options = patchcord::testing::options();
    // The limit is high, because this test is not about speed on a busy machine.
    options.limits.time = Duration::from_secs(20);
    let (mut running, host) =
        Running::reloadable(|builder| builder.scripts(folder.path()).options(options)).await;
    let _watching = host.watch().unwrap();
    let (serving, stop) = (
        Arc::new(AtomicU64::new(1)),
        Arc::new(AtomicBool::new(false)),
    );
    let mut sending = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = running.websocket().await;
        client.next().await.unwrap();
        client.send("40").await;
        client.next().await.unwrap();
        sending.push(tokio::spawn(send(client, serving.clone(), stop.clone())));
    }
    for version in 2..=EDITS + 1 {
        // Some editors write into the file, others replace it by another file.
        if version % 2 == 0 {
            fs::write(&file, script(version)).unwrap();
        } else {
            let other = folder.path().join("main.rhai.new");
            fs::write(&other, script(version)).unwrap();
            fs::rename(&other, &file).unwrap();
        }
        let rebound = running
            .announced(|event| match event {
                HostEvent::Replaced {
                    version: v, reload, ..
                } if v == version => Some(reload.rebound),
                HostEvent::Loaded { .. } | HostEvent::Replaced { .. } => None,
                other => panic!("{other:?}"),
            })
            .await;
        serving.store(version, Ordering::Release);
        assert_eq!(rebound as u64, CLIENTS);
    }
    stop.store(true, Ordering::Release);
    let mut answered = Vec::new();
    for client in sending {
        answered.push(
            tokio::time::timeout(TEST_TIMEOUT, client)
                .await
                .unwrap()
                .unwrap(),
        );
    }
    assert!(answered.iter().all(|count| *count > 0), "{answered:?}");
    assert!(
        running.events.try_recv().is_err(),
        "nothing else has happened"
    );
}
