//! Checks that every example of `examples/` runs, and does what it says.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::support::server::{Client, get};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Returns the path of an example, which it builds if `cargo test` has not.
fn example(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_patchcord")).parent().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--example", name]);
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(
        cargo.current_dir(ROOT).status().unwrap().success(),
        "{name}"
    );
    folder.join("examples").join(name)
}

/// Server process that ends with the test.
struct Running(Child, String);

impl Running {
    /// Starts an example that prints its address.
    fn start(name: &str, argument: &str) -> Self {
        let mut child = Command::new(example(name))
            .arg(argument)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = child.stdout.as_mut().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").unwrap().to_owned();
        Self(child, address)
    }

    async fn client(&self) -> Client {
        Client::at(&format!(
            "ws://{}/socket.io/?EIO=4&transport=websocket",
            self.1
        ))
        .await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // If the process cannot be killed, it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn embed_counts_visits() {
    let running = Running::start("embed", "127.0.0.1:0");
    for visit in 1..=2 {
        let mut client = running.client().await;
        client.connect("").await;
        assert_eq!(
            client.next().await.unwrap(),
            format!("42[\"visits\",{visit}]")
        );
    }
    let answer = get(running.1.parse().unwrap(), "/visits").await;
    assert!(answer.ends_with("\r\n\r\n2"), "{answer}");
}

#[tokio::test]
async fn attach_has_namespaces_in_rust_and_in_scripts() {
    let running = Running::start("attach", "127.0.0.1:0");
    let mut client = running.client().await;
    for (namespace, from) in [("/rust", "from Rust"), ("/script", "from a script")] {
        client.connect(&format!("{namespace},")).await;
        let hello = client.until(|packet| packet.starts_with("42")).await;
        assert_eq!(hello, format!("42{namespace},[\"hello\",\"{from}\"]"));
    }
}

#[tokio::test]
async fn own_function_finds_a_user() {
    let running = Running::start("own_function", "0");
    let mut client = running.client().await;
    client.connect("").await;
    assert_eq!(client.next().await.unwrap(), "42[\"user\",\"Ada\"]");
}

#[test]
fn the_others_print_what_they_say() {
    for name in ["own_loader", "test_script"] {
        let source = fs::read_to_string(
            Path::new(ROOT)
                .join("examples")
                .join(name)
                .with_extension("rs"),
        );
        let source = source.unwrap();
        let printed: String = source
            .lines()
            .skip_while(|line| *line != "//! ```text")
            .skip(1)
            .map_while(|line| line.strip_prefix("//! ").filter(|line| *line != "```"))
            .map(|line| format!("{line}\n"))
            .collect();
        let output = Command::new(example(name)).output().unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), printed, "{name}");
    }
}

#[test]
fn readme_lists_every_example() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let files = fs::read_dir(Path::new(ROOT).join("examples")).unwrap();
    let names: BTreeSet<_> = files
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".rs"))
        .collect();
    assert!(names.len() >= 5, "{names:?}");
    for name in names {
        let link = format!("(examples/{name})");
        assert!(readme.contains(&link), "README.md does not list {name}");
    }
}
