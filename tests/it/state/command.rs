//! `patchcord data`

use std::{
    fs::{self, File},
    process::{Command, Stdio},
};

use crate::support::program::Place;

fn run(place: &Place, arguments: &str) -> (Option<i32>, String, String) {
    let arguments: Vec<_> = arguments.split_whitespace().collect();
    let output = place.run(&arguments, &[]);
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn ok(place: &Place, arguments: &str) -> String {
    let (code, out, err) = run(place, arguments);
    assert_eq!(code, Some(0), "{err}");
    out
}

#[test]
fn keys_are_set_listed_read_and_removed() {
    let place = Place::new(&[]);
    ok(&place, "data state.redb set /chat topic \"Rhai\"");
    ok(&place, "data state.redb set / count 42");
    assert_eq!(ok(&place, "data state.redb get /chat topic"), "\"Rhai\"\n");
    let listed = ok(&place, "data state.redb list");
    let keys: Vec<_> = listed
        .lines()
        .map(|line| line.rsplit_once('\t').unwrap().0)
        .collect();
    assert_eq!(keys, ["/\tcount", "/chat\ttopic"]);
    assert_eq!(ok(&place, "data state.redb list /chat").lines().count(), 1);
    ok(&place, "data state.redb remove / count");
    assert_eq!(run(&place, "data state.redb get / count").0, Some(1));
    assert_eq!(run(&place, "data state.redb remove / count").0, Some(1));
}

#[test]
fn a_dump_restores_everything() {
    let script = r#"fn on_load() {
        io.data.all = [1, -1.5, 'x', "text", blob(3, 7), (), true, #{ "$char": "not a form" }];
        io.data.set("code", 1, #{ ttl: 3_600_000 });
    }
    fn on_connection(socket) { }"#;
    let place = Place::new(&[("scripts/main.rhai", script)]);
    let mut serving = place.serve(&["serve", "--port", "0", "--data", "state.redb"], &[]);
    serving.signal();
    serving.ended();
    let dump = ok(&place, "data state.redb dump");
    let lines: Vec<_> = dump.lines().collect();
    assert_eq!(
        lines[0],
        r#"{"key":"all","namespace":"/","value":[1,-1.5,{"$char":"x"},"text",{"$blob":"BwcH"},null,true,{"$map":{"$char":"not a form"}}]}"#
    );
    assert!(lines[1].contains(r#""expires":1"#), "{}", lines[1]);
    place.write("dump.jsonl", &dump);
    let restored = Command::new(env!("CARGO_BIN_EXE_patchcord"))
        .current_dir(place.path())
        .args(["data", "copy.redb", "restore"])
        .stdin(Stdio::from(
            File::open(place.path().join("dump.jsonl")).unwrap(),
        ))
        .status()
        .unwrap();
    assert!(restored.success());
    assert_eq!(ok(&place, "data copy.redb dump"), dump);
}

#[test]
fn problems_name_the_file_and_what_is_wrong() {
    let place = Place::new(&[]);
    let (code, _, error) = run(&place, "data missing.redb list");
    assert_eq!(code, Some(2));
    assert_eq!(
        error,
        "error: `missing.redb` cannot be opened: there is no such file\n"
    );
    fs::write(place.path().join("text.redb"), "no store").unwrap();
    let (code, _, error) = run(&place, "data text.redb list");
    assert_eq!(code, Some(2));
    assert!(
        error.starts_with("error: `text.redb` cannot be opened: "),
        "{error}"
    );
    let (code, _, error) = run(&place, "data state.redb set / key no-json");
    assert_eq!(code, Some(2));
    assert!(error.contains("`no-json` is not JSON"), "{error}");
    let _serving = place.serve(&["serve", "--port", "0", "--data", "used.redb"], &[]);
    let (code, _, error) = run(&place, "data used.redb list");
    assert_eq!(code, Some(2));
    assert_eq!(
        error,
        "error: `used.redb` cannot be opened: another process uses the file\n"
    );
}
