//! Effects of a save on connected clients: edits that went wrong once, each with similar ones.

use patchcord::{
    HostEvent,
    event::Reload,
    testing::{TestClient, TestHost},
};

mod additions;
mod captures;
mod conditions;
mod constants;
mod functions;
mod helpers;
mod hooks;
mod nested;
mod paths;
mod presence;
mod self_value;
mod timers;
mod together;
mod values;

const NONE: [&str; 0] = [];

/// Returns a host of one valid script.
fn serve(script: &str) -> TestHost {
    let host = TestHost::new(script);
    assert_eq!(host.problems(), NONE, "{script}");
    host
}

/// Saves, and checks that the save is not rejected.
fn save(host: &mut TestHost, script: &str) {
    host.events();
    host.edit("main.rhai", script);
    for event in host.events() {
        assert!(
            !matches!(event, HostEvent::Rejected { .. }),
            "{event:?}\n{script}"
        );
    }
}

/// Saves, and returns the effects of the save.
fn saved(host: &mut TestHost, script: &str) -> Reload {
    host.events();
    host.edit("main.rhai", script);
    let events = host.events();
    let found = events.iter().find_map(|event| match event {
        HostEvent::Replaced { reload, .. } => Some(reload.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("nothing was replaced: {events:?}"))
}

/// Returns variants of a script with the same meaning, which are saved in turn.
fn reworded(script: &str) -> Vec<String> {
    let indented: Vec<_> = script.lines().map(|line| format!("\t{line}  ")).collect();
    vec![
        format!("// a comment\n{script}"),
        format!("\n\n{script}\n"),
        script.to_owned(),
        indented.join("\n"),
        format!("{script}\nfn nobody_calls_this(a) {{ a + 1 }}"),
        format!("fn nobody_calls_this_either(a) {{ a + 1 }}\n{script}"),
    ]
}

/// Saves all variants of the script; `check` must see no difference.
fn save_nothing(host: &mut TestHost, script: &str, mut check: impl FnMut(&TestHost, &str)) {
    for text in reworded(script) {
        save(host, &text);
        check(host, &text);
    }
    save(host, script);
}

fn ask(client: &TestClient, event: &str) -> String {
    client
        .ask(event, ())
        .unwrap_or_else(|| panic!("{event} is not answered"))
}

/// Returns the answer of each client, `-` if there is none.
fn all(clients: &[TestClient], event: &str) -> Vec<String> {
    clients
        .iter()
        .map(|client| client.ask(event, ()).unwrap_or_else(|| "-".to_owned()))
        .collect()
}

fn connect(host: &TestHost, count: usize) -> Vec<TestClient> {
    (0..count).map(|_| host.connect("/").unwrap()).collect()
}
