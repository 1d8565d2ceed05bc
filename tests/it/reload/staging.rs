//! Versions for some clients first: `stage`, `promote`, `abandon`.

use patchcord::{
    HostEvent,
    event::{RollbackReason, StagedScript},
    host::{Audience, BadAudience, Options, Outcome, StageError},
    script::Folder,
    testing::{TestClient, TestHost},
};
use serde_json::{Value, json};

use crate::support::{
    program::Place,
    server::{Running, TEST_TIMEOUT},
};

fn script(version: i64) -> String {
    format!(
        "fn on_load() {{ print(\"load {version}\"); }}
        fn on_connection(socket) {{
            let n = 0;
            socket.on(\"n\", || {{ n += 1; [{version}, n] }});
            socket.on(\"count\", || io.data.incr(\"count\", 1));
        }}"
    )
}

fn options(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = patchcord::testing::options();
    change(&mut options);
    options
}

/// Returns the version that answers a client.
fn version(client: &TestClient) -> i64 {
    let answer = client.ask("n", ()).unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer[0][0].as_i64().unwrap()
}

fn versions(clients: &[TestClient]) -> Vec<i64> {
    clients.iter().map(version).collect()
}

fn clients(host: &TestHost, count: usize) -> Vec<TestClient> {
    (0..count).map(|_| host.connect("/").unwrap()).collect()
}

fn only(client: &TestClient) -> Audience {
    Audience::Sockets(vec![client.id().to_owned()])
}

/// Returns the log lines among the events, and the types of the other events.
fn reported(host: &TestHost) -> Vec<String> {
    let events = host.events().into_iter().map(|event| match event {
        HostEvent::Log { text, .. } => text,
        event => serde_json::to_value(&event).unwrap()["type"]
            .as_str()
            .unwrap()
            .to_owned(),
    });
    events.collect()
}

#[test]
fn a_stage_serves_the_chosen_clients_until_it_is_promoted_to_all() {
    let mut host = TestHost::new(&script(1));
    let clients = clients(&host, 3);
    assert_eq!(versions(&clients), [1, 1, 1]);
    host.events();
    let staged = host
        .stage([("main.rhai", &*script(2))], only(&clients[1]))
        .unwrap();
    assert_eq!(
        (&*staged.audience, staged.connections),
        (clients[1].id(), 1)
    );
    let [
        StagedScript {
            version: 2,
            instead_of: 1,
            reload,
            ..
        },
    ] = &*staged.scripts
    else {
        panic!("{staged:?}");
    };
    assert_eq!(reload.rebound, 1);
    // The stage runs no `on_load`, because `on_load` and `io.data` belong to all clients.
    assert_eq!(reported(&host), ["staged"]);
    assert_eq!(host.counters().versions_staged.get(), 1);
    assert_eq!(versions(&clients), [1, 2, 1]);
    assert_eq!(clients[1].ask("count", ()).as_deref(), Some("[1]"));
    assert_eq!(clients[0].ask("count", ()).as_deref(), Some("[2]"));
    let newcomer = host.connect("/").unwrap();
    assert_eq!(version(&newcomer), 1);
    let about: Vec<_> = host
        .versions()
        .iter()
        .map(|one| {
            (
                one.record.number,
                one.record.outcome,
                one.serves,
                one.connections,
            )
        })
        .collect();
    assert_eq!(
        about,
        [
            (1, Outcome::Loaded, true, 3),
            (2, Outcome::Staged, false, 1)
        ]
    );
    let diff = host.diff("/", 1, 2).unwrap();
    assert!(
        diff.contains("+++ main.rhai (version 2)\n") && diff.contains("[2, n]"),
        "{diff}"
    );
    assert_eq!(host.promote(), Ok(2));
    assert_eq!(reported(&host), ["load 2", "replaced", "promoted"]);
    assert_eq!(versions(&clients), [2, 2, 2]);
    assert_eq!(
        clients[1].ask("n", ()).as_deref(),
        Some("[[2,4]]"),
        "its variables are kept"
    );
    let about: Vec<_> = host
        .versions()
        .iter()
        .map(|one| {
            (
                one.record.number,
                one.record.outcome,
                one.serves,
                one.connections,
            )
        })
        .collect();
    assert_eq!(
        about,
        [
            (1, Outcome::Loaded, false, 0),
            (2, Outcome::Replaced, true, 4)
        ]
    );
    assert_eq!(host.promote(), Err(StageError::NothingStaged));
    assert_eq!(host.abandon(), Err(StageError::NothingStaged));
    host.rollback("/").unwrap();
    assert_eq!(versions(&clients), [1, 1, 1]);
}

#[test]
fn an_abandoned_stage_returns_its_clients_and_its_files_are_not_tried_again_by_themselves() {
    let mut host = TestHost::new(&script(1));
    let clients = clients(&host, 2);
    host.stage([("main.rhai", &*script(2))], only(&clients[0]))
        .unwrap();
    assert_eq!(versions(&clients), [2, 1]);
    host.events();
    let abandoned = host.abandon().unwrap();
    assert_eq!((abandoned[0].version, abandoned[0].instead_of), (2, 1));
    assert_eq!(abandoned[0].reload.rebound, 1);
    assert_eq!(reported(&host), ["abandoned"]);
    assert_eq!(clients[0].ask("n", ()).as_deref(), Some("[[1,2]]"));
    host.edit("main.rhai", &script(2));
    assert_eq!(versions(&clients), [1, 1], "the file has not changed since");
    // The abandoned texts can be staged again, and another text is a normal edit with a number of its own.
    host.stage([], only(&clients[1])).unwrap();
    assert_eq!(versions(&clients), [1, 2]);
    host.abandon().unwrap();
    host.edit("main.rhai", &script(4));
    assert_eq!(versions(&clients), [4, 4]);
    assert_eq!(host.versions().last().unwrap().record.number, 4);
}

#[test]
fn a_share_of_the_clients_is_chosen_new_ones_too_and_a_greater_share_has_them_all() {
    let mut host = TestHost::new(&script(1));
    let mut clients = clients(&host, 60);
    let staged = host
        .stage([("main.rhai", &*script(2))], "30%".parse().unwrap())
        .unwrap();
    let first = versions(&clients);
    let chosen = first.iter().filter(|version| **version == 2).count();
    assert_eq!(staged.connections, chosen);
    assert!((6..=32).contains(&chosen), "{chosen} of 60");
    clients.extend((0..60).map(|_| host.connect("/").unwrap()));
    let few = versions(&clients);
    let newcomers = few[60..].iter().filter(|version| **version == 2).count();
    assert!((6..=32).contains(&newcomers), "{newcomers} of 60");
    let more = host.stage([], Audience::Percent(60.0)).unwrap();
    let many = versions(&clients);
    assert!(
        few.iter().zip(&many).all(|(few, many)| few <= many),
        "nobody has returned"
    );
    let joined = many
        .iter()
        .zip(&few)
        .filter(|(many, few)| many != few)
        .count();
    assert!(joined > 10, "{joined}");
    assert_eq!(
        more.scripts[0].reload.rebound, joined,
        "only these have changed"
    );
    host.stage([], Audience::Percent(30.0)).unwrap();
    assert_eq!(versions(&clients), few, "the others have returned");
    host.stage([], Audience::Percent(100.0)).unwrap();
    assert!(versions(&clients).iter().all(|version| *version == 2));
    host.abandon().unwrap();
    assert!(versions(&clients).iter().all(|version| *version == 1));
}

#[test]
fn a_stage_is_together_or_not_at_all_and_only_its_clients_vote() {
    let mut host = TestHost::with([("main.rhai", &*script(1)), ("chat.rhai", &*script(1))]);
    let here = host.connect("/").unwrap();
    let there = host.connect("/chat").unwrap();
    host.events();
    let fails =
        "fn on_connection(socket) { if socket.nsp == \"/chat\" { let x = #{}; x.y.keys(); } }";
    let both = || Audience::Sockets(vec![here.id().to_owned(), there.id().to_owned()]);
    let texts = [("main.rhai", &*script(2)), ("chat.rhai", fails)];
    let Err(StageError::Rejected(problems)) = host.stage(texts, both()) else {
        panic!("it fails in /chat");
    };
    assert!(
        problems[0]
            .hints
            .contains(&"it fails on 1 of 1 connections".to_owned())
    );
    assert_eq!((version(&here), version(&there)), (1, 1));
    assert_eq!(reported(&host), [""; 0]);
    // Without a client of /chat in the stage, there is no vote against it before `promote`.
    host.stage([], only(&here)).unwrap();
    assert_eq!((version(&here), version(&there)), (2, 1));
    assert!(matches!(host.promote(), Err(StageError::Rejected(_))));
    assert_eq!((version(&here), version(&there)), (2, 1), "it stays staged");
    // Until the stage is decided, a save waits and a load is rejected.
    host.edit("chat.rhai", &script(3));
    assert!(host.problems()[0].contains("nothing is loaded while versions are staged"));
    assert_eq!((version(&here), version(&there)), (2, 1));
    // The repaired files replace the staged ones.
    host.stage([], only(&there)).unwrap();
    assert_eq!((version(&here), version(&there)), (1, 3));
    assert_eq!(host.promote(), Ok(2));
    assert_eq!((version(&here), version(&there)), (2, 3));
}

#[test]
fn a_script_that_does_not_load_is_not_staged_and_a_new_one_waits() {
    let mut host = TestHost::new(&script(1));
    let client = host.connect("/").unwrap();
    assert_eq!(
        host.stage([], only(&client)),
        Err(StageError::NothingChanged)
    );
    let new = [("new.rhai", &*script(1))];
    assert_eq!(
        host.stage(new, only(&client)),
        Err(StageError::NothingChanged)
    );
    let unknown = Audience::Sockets(vec!["nobody".to_owned()]);
    assert_eq!(
        host.stage([("main.rhai", &*script(2))], unknown),
        Err(StageError::UnknownSocket("nobody".to_owned()))
    );
    assert!(matches!(
        host.stage([], Audience::Percent(0.0)),
        Err(StageError::Audience(BadAudience::Share(_)))
    ));
    assert!(matches!(
        host.stage([("main.rhai", "fn")], only(&client)),
        Err(StageError::Rejected(_))
    ));
    assert_eq!(version(&client), 1);
    host.stage([("main.rhai", &*script(2))], only(&client))
        .unwrap();
    assert!(host.connect("/new").is_err());
    host.promote().unwrap();
    host.edit_all([]);
    assert_eq!(version(&host.connect("/new").unwrap()), 1);
}

#[test]
fn a_choice_of_clients_is_read_from_words() {
    for (words, expected) in [
        (&["0.5%"][..], Ok(Audience::Percent(0.5))),
        (&["100 %"], Ok(Audience::Percent(100.0))),
        (
            &["a", "b"],
            Ok(Audience::Sockets(vec!["a".to_owned(), "b".to_owned()])),
        ),
        (&["101%"], Err(BadAudience::Share("101%".to_owned()))),
        (&["x%"], Err(BadAudience::Share("x%".to_owned()))),
        (&["NaN%"], Err(BadAudience::Share("NaN%".to_owned()))),
        (&["10%", "a"], Err(BadAudience::Both)),
        (&[], Err(BadAudience::Nobody)),
    ] {
        assert_eq!(
            Audience::from_args(words.iter().copied()),
            expected,
            "{words:?}"
        );
    }
}

#[test]
fn failures_on_staged_clients_abandon_the_stage_and_those_of_the_rest_do_not() {
    let text = |version: i64| {
        format!(
            "fn on_connection(socket) {{
                socket.on(\"n\", || [{version}, 0]);
                socket.on(\"both\", || {{ let x = (); x.y.z(); }});
                socket.on(\"one\", || {{ if {version} == 2 {{ let staged = (); staged.y.z(); }} }});
            }}"
        )
    };
    let build = || {
        TestHost::build([("main.rhai", &*text(1))], |builder| {
            builder.options(options(|options| options.reload.rollback_on_errors = true))
        })
    };
    let mut host = build();
    let clients = clients(&host, 40);
    // Both versions fail at this place; the version that serves fails first.
    clients[39].emit("both", ());
    host.stage([("main.rhai", &*text(2))], only(&clients[0]))
        .unwrap();
    let ids = clients[..3].iter().map(|client| client.id().to_owned());
    host.stage([], Audience::Sockets(ids.collect())).unwrap();
    clients[..3]
        .iter()
        .for_each(|client| client.emit("both", ()));
    clients[3..]
        .iter()
        .for_each(|client| client.emit("one", ()));
    assert_eq!(versions(&clients[..4]), [2, 2, 2, 1]);
    clients[..2]
        .iter()
        .for_each(|client| client.emit("one", ()));
    assert_eq!(versions(&clients[..4]), [2, 2, 2, 1], "two of three");
    host.events();
    clients[2].emit("one", ());
    assert_eq!(versions(&clients[..4]), [1, 1, 1, 1]);
    let abandoned = host.events().into_iter().find_map(|event| match event {
        HostEvent::Abandoned { reason, scripts } => Some((reason, scripts[0].version)),
        _ => None,
    });
    assert_eq!(
        abandoned,
        Some((RollbackReason::Errors { connections: 3 }, 2))
    );
    assert_eq!(host.counters().stages_abandoned.get(), 1);
    assert_eq!(host.counters().versions_rolled_back.get(), 0);
}

#[test]
fn a_rollback_of_what_serves_leaves_the_staged_clients_alone() {
    let mut host = TestHost::new(&script(1));
    let clients = clients(&host, 2);
    host.edit("main.rhai", &script(2));
    host.stage([("main.rhai", &*script(3))], only(&clients[0]))
        .unwrap();
    host.rollback("/").unwrap();
    assert_eq!(versions(&clients), [3, 1]);
    host.promote().unwrap();
    assert_eq!(versions(&clients), [3, 3]);
    host.rollback("/").unwrap();
    assert_eq!(versions(&clients), [1, 1], "version 2 was rolled back");
}

#[test]
fn instances_of_a_dynamic_namespace_are_staged_with_it() {
    let mut host = TestHost::with([("room/{id}.rhai", &*script(1))]);
    let (one, two) = (
        host.connect("/room/1").unwrap(),
        host.connect("/room/1").unwrap(),
    );
    host.stage([("room/{id}.rhai", &*script(2))], Audience::Percent(100.0))
        .unwrap();
    let three = host.connect("/room/2").unwrap();
    assert_eq!([version(&one), version(&two), version(&three)], [2, 2, 2]);
    host.stage([], only(&one)).unwrap();
    assert_eq!([version(&one), version(&two), version(&three)], [2, 1, 1]);
    host.abandon().unwrap();
    assert_eq!([version(&one), version(&two), version(&three)], [1, 1, 1]);
}

#[tokio::test]
async fn a_client_is_staged_in_all_namespaces_and_saves_wait_for_the_end_of_the_stage() {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(place.path().join(name), text).unwrap();
    for name in ["main.rhai", "chat.rhai"] {
        write(name, &script(1));
    }
    let (mut running, host) =
        Running::reloadable(|builder| builder.loader(Folder::new(place.path()))).await;
    let (mut ada, mut bob) = (running.websocket().await, running.websocket().await);
    let mut id = String::new();
    for client in [&mut ada, &mut bob] {
        client.connect("").await;
        id = client.connect("/chat,").await;
    }
    for name in ["main.rhai", "chat.rhai"] {
        write(name, &script(2));
    }
    // The id of one of Bob's sockets selects all of them.
    let staged = host.stage(Audience::Sockets(vec![id])).await.unwrap();
    assert_eq!((staged.connections, staged.scripts.len()), (2, 2));
    for (client, expected) in [(&mut ada, 1), (&mut bob, 2)] {
        for namespace in ["", "/chat,"] {
            client.send(&format!("42{namespace}0[\"n\"]")).await;
            let answer = client.until(|packet| packet.starts_with("43")).await;
            assert_eq!(answer, format!("43{namespace}0[[{expected},1]]"));
        }
    }
    // Bob keeps the staged version when he connects to a namespace again.
    bob.send("41/chat,").await;
    bob.connect("/chat,").await;
    bob.send("42/chat,1[\"n\"]").await;
    assert_eq!(
        bob.until(|packet| packet.starts_with("43")).await,
        "43/chat,1[[2,1]]"
    );
    let _watching = host.watch().unwrap();
    // The first look of the watch finds the files as they are staged.
    write("main.rhai", &script(3));
    let waits = |event| match event {
        HostEvent::WaitsForStage { files } => Some(files),
        HostEvent::Replaced { .. } => panic!("{event:?}"),
        _ => None,
    };
    assert_eq!(running.announced(waits).await, ["main.rhai".into()]);
    host.abandon().await.unwrap();
    let replaced = |event| match event {
        HostEvent::Replaced {
            script, version, ..
        } => Some((script.to_string(), version)),
        _ => None,
    };
    // The file that was saved meanwhile takes effect; the abandoned one does not.
    assert_eq!(
        running.announced(replaced).await,
        ("main.rhai".to_owned(), 3)
    );
    for client in [&mut ada, &mut bob] {
        for (namespace, expected) in [("", 3), ("/chat,", 1)] {
            client.send(&format!("42{namespace}7[\"n\"]")).await;
            let answer = client.until(|packet| packet.starts_with("43")).await;
            assert_eq!(answer, format!("43{namespace}7[[{expected},2]]"));
        }
    }
    tokio::time::timeout(TEST_TIMEOUT, host.close())
        .await
        .unwrap();
}

#[test]
fn a_person_stages_promotes_and_abandons_on_a_server_that_runs() {
    let plain =
        |n: i64| format!("fn on_connection(socket) {{\n    socket.on(\"v\", || {n});\n}}\n");
    let place = Place::new(&[("scripts/main.rhai", &plain(1))]);
    let serving = place.serve(&["--port", "0", "--control", "c.sock"], &[]);
    let ctl = |arguments: &[&str]| {
        let arguments = [&["ctl", "--control", "c.sock"], arguments].concat();
        let output = place.run(&arguments, &[]);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (code, _, err) = ctl(&["promote"]);
    assert_eq!(code, 1);
    assert_eq!(
        err,
        "error: nothing is staged\nhint: `patchcord ctl stage` stages the files as they are\n"
    );
    let (code, _, err) = ctl(&["stage"]);
    assert_eq!(
        (code, &*err),
        (
            2,
            "error: a share such as `10%`, or the ids of sockets are needed\n"
        )
    );
    ctl(&["pause"]);
    place.write("scripts/main.rhai", &plain(2));
    while !serving.line().starts_with("paused: main.rhai saved") {}
    assert_eq!(
        ctl(&["stage", "10%"]),
        (
            0,
            "staged for 10%, on 0 connections\nmain.rhai: version 2 in place of 1 of / on 0 connections\n  ~ \"v\" main.rhai:2\n"
                .to_owned(),
            String::new()
        )
    );
    while serving.line() != "staged for 10%, on 0 connections" {}
    ctl(&["resume"]);
    place.write("scripts/main.rhai", &plain(3));
    while serving.line() != "staged: main.rhai saved, waits for `promote` or `abandon`" {}
    let (code, out, _) = ctl(&["versions"]);
    assert_eq!(code, 0);
    assert!(out.lines().last().unwrap().contains("  staged"), "{out}");
    let (code, _, err) = ctl(&["reload"]);
    assert_eq!(code, 1, "{err}");
    let (code, out, _) = ctl(&["--format", "json", "promote"]);
    assert_eq!(code, 0);
    assert_eq!(
        serde_json::from_str::<Value>(&out).unwrap(),
        json!({ "batch": 2 })
    );
    while !serving.line().starts_with("main.rhai: version 3 of / ") {}
    place.write("scripts/main.rhai", &plain(3));
    ctl(&["pause"]);
    place.write("scripts/main.rhai", &plain(4));
    assert_eq!(ctl(&["stage", "100%"]).0, 0);
    assert_eq!(
        ctl(&["abandon"]).1,
        "main.rhai: back from version 4 to 3 of / on 0 connections\n  ~ \"v\" main.rhai:2\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_no_event_is_lost_and_no_variable_while_versions_are_staged_and_taken_back() {
    let place = tempfile::tempdir().unwrap();
    let write = |version| std::fs::write(place.path().join("main.rhai"), script(version)).unwrap();
    write(1);
    let (running, host) =
        Running::reloadable(|builder| builder.loader(Folder::new(place.path()))).await;
    let mut asking = tokio::task::JoinSet::new();
    let (done, is_done) = tokio::sync::watch::channel(false);
    for _ in 0..6 {
        let mut client = running.websocket().await;
        client.connect("").await;
        let is_done = is_done.clone();
        asking.spawn(async move {
            let mut seen = std::collections::BTreeSet::new();
            let mut asked = 0;
            while !*is_done.borrow() {
                asked += 1;
                client.send("420[\"n\"]").await;
                let answer = client.until(|packet| packet.starts_with("430")).await;
                let answer: Value = serde_json::from_str(&answer[3..]).unwrap();
                assert_eq!(
                    answer[0][1], asked,
                    "the variable is that of the same client"
                );
                seen.insert(answer[0][0].as_i64().unwrap());
            }
            seen
        });
    }
    for round in 0..8 {
        write(round + 2);
        host.stage(Audience::Percent(30.0)).await.unwrap();
        host.stage(Audience::Percent(80.0)).await.unwrap();
        match round % 2 {
            0 => drop(host.abandon().await.unwrap()),
            _ => drop(host.promote().await.unwrap()),
        }
    }
    done.send(true).unwrap();
    let mut all = std::collections::BTreeSet::new();
    while let Some(seen) = asking.join_next().await {
        all.extend(seen.unwrap());
    }
    assert!(
        all.len() > 1 && all.iter().all(|version| (1..=9).contains(version)),
        "{all:?}"
    );
}
