//! `env`, and the secrets that it returns.

use crate::support::program::Place;
use patchcord::{
    Host, HostEvent, Options,
    script::Memory,
    testing::{Suite, TestHost},
};

/// Returns options that allow scripts to read these variables.
fn allow(rules: &[&str]) -> Options {
    let mut options = Options::default();
    options.permissions.allow_env = rules.iter().map(|rule| rule.parse().unwrap()).collect();
    options
}

/// Loads one script, and returns the problems of the load and of `on_load`.
async fn problems(options: Options, script: &str) -> Vec<String> {
    let host = Host::builder().options(options);
    let (events, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let host = host
        .loader(Memory::from([("main.rhai", script)]))
        .on_event(move |event| events.send(event.clone()).unwrap())
        .build();
    host.load().await.unwrap();
    let mut seen = Vec::new();
    while let Some(event) = heard.recv().await {
        if !matches!(event, HostEvent::Loaded { .. }) {
            seen.push(event.to_string());
        }
        if matches!(
            event,
            HostEvent::Log { .. } | HostEvent::HandlerFailed { .. }
        ) {
            break;
        }
    }
    seen
}

#[tokio::test]
async fn a_variable_is_read_as_far_as_it_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "from a file\n").unwrap();
    let from_file = format!("FROM_FILE=@{}", file.display());
    let options = allow(&[&from_file, "PLAIN=a,b=c", "CARGO_PKG_*", "UNSET_VARIABLE"]);
    let read = |name: &str| {
        let script = format!(
            "fn on_load() {{ print(env(\"{name}\").reveal()); }} fn on_connection(socket) {{}}"
        );
        problems(options.clone(), Box::leak(script.into_boxed_str()))
    };
    assert_eq!(read("FROM_FILE").await, ["/ - main.rhai:1 from a file"]);
    assert_eq!(read("PLAIN").await, ["/ - main.rhai:1 a,b=c"]);
    assert_eq!(
        read("CARGO_PKG_NAME").await,
        ["/ - main.rhai:1 patchcord-cli"]
    );
    assert!(read("UNSET_VARIABLE").await[0].contains("the variable `UNSET_VARIABLE` is not set"));
    let refused = read("HOME").await.join("\n");
    assert!(
        refused.contains("`env` may not read `HOME`: allow it with `--allow-env HOME`"),
        "{refused}"
    );
}

#[test]
fn a_rule_that_cannot_be_read_is_an_invalid_option() {
    let invalid = allow(&["KEY=@/no/such/file"]).validate().unwrap_err();
    assert!(
        invalid.to_string().starts_with(
            "option `permissions.allow_env`: cannot read `/no/such/file`: No such file"
        )
    );
    for text in ["", "*", "A B", "A*B", "KEY=@", "=x", "ä"] {
        assert!(text.parse::<patchcord::host::EnvRule>().is_err(), "{text}");
    }
    let shown = allow(&["KEY=secret"]).permissions;
    assert!(!format!("{shown:?}").contains("secret"));
}

#[test]
fn nothing_shows_a_secret() {
    let script = "
        const KEY = env(\"KEY\");
        fn on_connection(socket) {
            let key = env(\"KEY\");
            socket.on(\"print\", || { print(global::KEY); print(`${key}`); print([key]); log::warn(key); debug(key); });
            socket.on(\"emit\", || socket.emit(\"key\", #{ inside: [key] }));
            socket.on(\"answer\", || key);
            socket.on(\"io\", || io.data.key = key);
            socket.on(\"socket\", || socket.data.key = #{ inside: key });
            socket.on(\"throw\", || throw key);
            socket.on(\"json\", || json::stringify(key));
            socket.on(\"append\", || { let text = \"a\"; text += key; text });
        }";
    let host = TestHost::new(script);
    host.set_env("KEY", "open sesame");
    let ada = host.connect("/").unwrap();
    for event in [
        "print", "emit", "answer", "io", "socket", "throw", "json", "append",
    ] {
        ada.emit(event, ());
    }
    let inspected = format!("{:?}", host.inspect(ada.id()).unwrap());
    let events = host.events();
    assert!(events.len() > 10, "{events:?}");
    let seen = [
        format!("{events:?}"),
        events.iter().map(ToString::to_string).collect(),
        serde_json::to_string(&events).unwrap(),
        format!("{:?}", ada.heard()),
        inspected,
    ];
    for text in seen {
        assert!(!text.contains("sesame"), "{text}");
    }
}

#[test]
fn a_secret_is_compared_joined_and_hashed() {
    let script = "fn on_connection(socket) {
        let key = env(\"KEY\");
        socket.emit(\"state\", [
            key == \"abc\", \"abc\" == key, key == env(\"KEY\"), key != \"abd\",
            (\"Bearer \" + key).reveal(), (key + \"!\").reveal(), type_of(key),
            hash::sha256(key) == hash::sha256(\"abc\"), hash::equal(key, \"abc\"),
            key == \"abcd\", key == 7]);
    }";
    let host = TestHost::new(script);
    host.set_env("KEY", "abc");
    assert_eq!(
        host.connect("/").unwrap().heard(),
        [r#"state [[true,true,true,true,"Bearer abc","abc!","Secret",true,true,false,false]]"#]
    );
}

#[test]
fn a_test_sets_the_variables_of_its_scripts() {
    let scripts = Memory::from([
        (
            "main.rhai",
            "const TOKEN = env(\"TOKEN\");
            fn on_handshake(socket) { if socket.handshake.auth.token != global::TOKEN { throw \"unauthorized\"; } }
            fn on_connection(socket) { }",
        ),
        (
            "main_test.rhai",
            "fn test_in() { env_is(\"TOKEN\", \"x\"); connect(\"/\", #{ auth: #{ token: \"x\" } }); }
            fn test_out() { env_is(\"TOKEN\", \"x\"); assert_eq(refused(\"/\", #{}), \"unauthorized\"); }
            fn test_unset() { refused(\"/\", #{ auth: #{ token: \"x\" } }); assert(failures()[0].contains(\"call `env_is(\\\"TOKEN\\\", value)`\")); }",
        ),
    ]);
    let outcomes = Suite::load(&scripts, |_, _| true).unwrap().run(|_| ());
    assert!(
        outcomes.iter().all(|outcome| outcome.passed()),
        "{outcomes:#?}"
    );
    assert_eq!(outcomes.len(), 3);
}

#[test]
fn check_warns_of_a_variable_that_is_not_allowed_and_of_a_secret_in_a_string() {
    let script = "fn on_connection(socket) {
        let name = \"C\";
        print(env(\"ALLOWED\") == \"\" || env(\"OTHER\") == \"\" || env(name) == \"\");
        print(`Bearer ${env(\"ALLOWED\")}`);
    }";
    let host = Host::builder()
        .options(allow(&["ALLOWED"]))
        .loader(Memory::from([("main.rhai", script)]))
        .build();
    let found: Vec<_> = host
        .check()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("scripts may not read the variable `OTHER`"));
    assert!(found[0].contains("`--allow-env OTHER` allows it"));
    assert!(found[1].contains("a secret is not shown in an interpolated string"));
}

#[test]
fn a_secret_has_the_limits_of_strings_however_it_grows() {
    let script = "fn on_connection(socket) {
        let key = env(\"KEY\");
        socket.on(\"grow\", |parts| { for part in parts { key = part + key + part; } });
        socket.on(\"is\", |text| key == text);
        socket.on(\"drop\", || { key = (); true });
    }";
    let host = TestHost::new(script);
    host.set_env("KEY", "abc");
    let ada = host.connect("/").unwrap();
    for _ in 0..30 {
        ada.emit("grow", [vec![""; 2_000]]);
    }
    assert_eq!(host.problems(), [""; 0]);
    assert_eq!(ada.ask("is", ["abc"]).as_deref(), Some("[true]"));
    ada.emit("grow", [vec!["x".repeat(100_000); 10]]);
    let problems = host.problems().join("");
    assert!(
        problems.contains("a secret grows beyond the limit of strings"),
        "{problems}"
    );
    assert_eq!(ada.ask("drop", ()).as_deref(), Some("[true]"));
}

#[test]
fn what_is_made_of_a_secret_is_a_secret() {
    let script = "fn on_connection(socket) {
        let key = env(\"KEY\");
        let all = [base64::encode(key), base64::encode_url(key), hex::encode(key), \"a\" + key, key + \"a\"];
        socket.emit(\"types\", all.map(|one| type_of(one)));
        socket.emit(\"basic\", (\"Basic \" + base64::encode(key)).reveal());
    }";
    let host = TestHost::new(script);
    host.set_env("KEY", "hunter2");
    let heard = host.connect("/").unwrap().heard();
    assert_eq!(
        heard[0],
        r#"types [["Secret","Secret","Secret","Secret","Secret"]]"#
    );
    assert_eq!(heard[1], r#"basic ["Basic aHVudGVyMg=="]"#);
}

#[test]
fn an_edit_to_another_variable_takes_effect_on_live_connections() {
    let script = |name: &str| {
        format!(
            "fn on_connection(socket) {{ let key = env(\"{name}\"); socket.on(\"is\", |text| key == text); }}"
        )
    };
    let mut host = TestHost::new(&script("OLD"));
    host.set_env("OLD", "old");
    host.set_env("NEW", "new");
    let ada = host.connect("/").unwrap();
    assert_eq!(ada.ask("is", ["old"]).as_deref(), Some("[true]"));
    host.edit("main.rhai", &script("NEW"));
    assert_eq!(ada.ask("is", ["new"]).as_deref(), Some("[true]"));
}

#[tokio::test]
async fn an_empty_variable_lets_nobody_in() {
    let script = "fn on_load() { print(env(\"EMPTY\") == \"\"); } fn on_connection(socket) {}";
    let found = problems(allow(&["EMPTY="]), script).await.join("");
    assert!(found.contains("the variable `EMPTY` is empty"), "{found}");
}

#[test]
fn errors_of_options_show_no_secret() {
    let place = Place::new(&[
        ("main.rhai", "fn on_connection(socket) { }"),
        ("bad.toml", "allow-env = [\"JWT-SECRET=hunter2\"]"),
    ]);
    for arguments in [
        ["serve", "--allow-env", "JWT-SECRET=hunter2"],
        ["serve", "--config", "bad.toml"],
        ["check", "--allow-env", "OK,JWT-SECRET=hunter2"],
    ] {
        let output = place.run(&arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let text = format!("{output:?}");
        assert!(!text.contains("hunter2"), "{text}");
        assert!(
            text.contains("`--allow-env`: `JWT-SECRET`: expected the name of a variable"),
            "{text}"
        );
    }
}
