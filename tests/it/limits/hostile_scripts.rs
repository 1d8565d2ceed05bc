//! Scripts that use up as much as they can: one file each in `tests/fixtures/limit`.
//!
//! A file begins with comment lines: `// error: <text>` must be announced, `// limit: <name>=<number>` lowers a limit,
//! and `// times: <number>` is the number of `go` events that are sent. Afterwards, a client of another script must be
//! answered, whatever the script does.

use std::{fs, path::Path, thread, time::Duration};

use patchcord::{script::Limits, testing::TestHost};

use crate::support::{memory, options::lower, program::Place};

/// Returns what differs from the expectations of the file.
fn check(name: &str, script: &str) -> Vec<String> {
    let setting = |key: &str| {
        let start = format!("// {key}: ");
        let lines = script.lines().take_while(|line| line.starts_with("//"));
        lines
            .filter_map(|line| line.strip_prefix(&start).map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let mut options = patchcord::testing::options();
    // High limit, so that a busy machine does not end a call before the limit that is tested.
    options.limits.time = Duration::from_secs(30);
    for limit in setting("limit") {
        let (name, number) = limit.split_once('=').unwrap();
        lower(&mut options.limits, name, number);
    }
    let other = "fn on_connection(socket) { socket.on(\"still there\", || true); }";
    let circle = "import \"lib/b\" as b;";
    let files = [
        ("main.rhai", script),
        ("other.rhai", other),
        ("lib/a.rhai", circle),
        ("lib/b.rhai", "import \"lib/a\" as a;"),
    ];
    // Tests of one process share the meter.
    let _ = patchcord::set_memory_meter(memory::taken);
    let host = TestHost::build(files, |builder| {
        builder
            .options(options)
            .function("boom", || -> i64 { panic!("boom") })
            .function("grab", |_: &mut rhai::Array| -> i64 { panic!("grabbed") })
    });
    let times = setting("times")
        .first()
        .map_or(1, |times| times.parse().unwrap());
    let mut problems = host.problems();
    if let Ok(client) = host.connect("/") {
        for _ in 0..times {
            client.emit("go", ());
        }
        problems.extend(host.problems());
        drop(client);
    }
    let expected = setting("error");
    assert!(!expected.is_empty(), "{name} expects nothing");
    let is_missing = |text: &&String| !problems.iter().any(|problem| problem.contains(*text));
    let missing = expected.iter().filter(is_missing);
    let missing = missing
        .map(|text| format!("{name}: expected `{text}`, found {problems:#?}"))
        .collect();
    let other = host.connect("/other").unwrap();
    assert_eq!(
        other.ask("still there", ()).as_deref(),
        Some("[true]"),
        "{name}"
    );
    missing
}

#[test]
fn every_limit_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/limit");
    let (mut count, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name.starts_with("call_memory") && !memory::IS_MEASURED {
            continue;
        }
        let script = fs::read_to_string(&path).unwrap();
        // The threads of the program have 8 MiB; unoptimized code needs more for the same calls.
        let megabytes = if cfg!(debug_assertions) { 128 } else { 8 };
        let thread = thread::Builder::new().stack_size(megabytes << 20);
        let checked = thread.spawn(move || check(&name, &script)).unwrap();
        wrong.extend(checked.join().unwrap());
        count += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 50, "{count} fixtures");
}

/// Returns the option for a limit.
fn flag(limit: &str) -> String {
    match limit {
        "time" => "--max-call-time".to_owned(),
        limit => format!("--max-{}", limit.replace('_', "-")),
    }
}

#[test]
fn every_limit_has_an_option_and_a_script_that_passes_it() {
    let limits = format!("{:?}", Limits::default());
    let (_, fields) = limits.trim_end_matches([' ', '}']).split_once('{').unwrap();
    let fields: Vec<_> = fields
        .split(", ")
        .map(|field| field.trim().split_once(':').unwrap().0)
        .collect();
    assert!(fields.len() > 15, "{fields:?}");
    let help = Place::new(&[]).run(&["serve", "--help"], &[]);
    let help = String::from_utf8(help.stdout).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/limit");
    let scripts = fs::read_dir(folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(&path).unwrap())
    });
    let scripts: Vec<_> = scripts.collect();
    for field in fields {
        assert!(help.contains(&flag(field)), "{field}");
        let lowers = format!("// limit: {field}=");
        assert!(
            scripts
                .iter()
                .any(|(name, text)| name == field || text.contains(&lowers)),
            "no script passes the limit `{field}`"
        );
    }
}
