//! Checks every function of Rhai's standard packages that a script can call: patchcord knows it, and it ends within the
//! limits whatever its arguments are.

use std::{
    collections::BTreeSet,
    fmt::Write,
    path::Path,
    time::{Duration, Instant},
};

use patchcord::{
    script::{EngineBuilder, Limits},
    testing::TestHost,
};
use rhai::{Array, Blob, Dynamic, Map};
use serde_json::Value;

const LIST: &str = "tests/fixtures/functions.txt";

fn functions() -> Vec<Value> {
    let (engine, _) = EngineBuilder::new(&Limits::default()).build();
    let text = engine.gen_fn_metadata_to_json(true).unwrap();
    let mut all: Value = serde_json::from_str(&text).unwrap();
    match all["functions"].take() {
        Value::Array(functions) => functions,
        other => panic!("{other}"),
    }
}

fn types(function: &Value) -> Vec<&str> {
    let params = function["params"].as_array();
    let types = params.into_iter().flatten();
    types
        .map(|param| {
            param["type"]
                .as_str()
                .unwrap_or("?")
                .trim_start_matches("&mut ")
        })
        .map(|name| name.rsplit("::").next().unwrap_or(name))
        .collect()
}

#[test]
fn every_function_is_on_the_list_of_those_that_were_looked_at() {
    let known: BTreeSet<_> = functions()
        .iter()
        .map(|function| {
            format!(
                "{}({})",
                function["name"].as_str().unwrap(),
                types(function).join(", ")
            )
        })
        .collect();
    let here = known
        .iter()
        .fold(String::new(), |text, line| text + line.as_str() + "\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(LIST);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &here).unwrap();
    }
    let listed = std::fs::read_to_string(&path).unwrap();
    let listed: BTreeSet<_> = listed.lines().collect();
    let new: Vec<_> = known
        .iter()
        .filter(|line| !listed.contains(line.as_str()))
        .collect();
    assert!(
        new.is_empty(),
        "can one of these run long, grow large or recurse? Bound it in crates/patchcord/src/script/bounded, then add it to {LIST} \
         (UPDATE_EXPECT=1): {new:#?}"
    );
    let gone: Vec<_> = listed
        .iter()
        .filter(|line| !known.contains(**line))
        .collect();
    assert!(
        gone.is_empty(),
        "these are no longer there, take them off {LIST}: {gone:#?}"
    );
}

/// Returns large or unusual arguments of a type, as a script writes them; `None` for a type that no script can make.
fn arguments(kind: &str, nth: usize) -> Option<&'static str> {
    let choices: [&str; 4] = match kind {
        "i64" => [
            "9223372036854775807",
            "1000000",
            "0",
            "-9223372036854775807",
        ],
        "f64" => ["1.0e308", "0.5", "0.0", "-1.0e308"],
        "bool" => ["true"; 4],
        "char" => ["'a'", "' '", "'é'", "'z'"],
        "()" => ["()"; 4],
        "str" | "ImmutableString" | "string" | "&str" => ["text()", "\"a\"", "\"\"", "text()"],
        "Array" | "array" => ["list()", "words()", "[]", "list()"],
        "Map" | "map" => ["table()", "#{}", "table()", "#{a: list()}"],
        "Blob" | "blob" => ["bytes()", "blob(0)", "bytes()", "bytes()"],
        "FnPtr" | "Fn" => [
            "|a, b| a",
            "|a, b| true",
            "|a, b| { throw 1 }",
            "|a, b| { loop {} }",
        ],
        "Dynamic" => ["list()", "text()", "table()", "1"],
        "Range<i64>" => [
            "0..9223372036854775807",
            "0..10",
            "5..0",
            "-9223372036854775807..0",
        ],
        "RangeInclusive<i64>" => [
            "0..=9223372036854775807",
            "0..=10",
            "5..=0",
            "-9223372036854775807..=0",
        ],
        "Instant" => ["timestamp()"; 4],
        _ => return None,
    };
    choices.get(nth).copied()
}

/// Returns a call of a function with the nth choice of arguments.
fn call(function: &Value, nth: usize) -> Option<String> {
    let name = function["name"].as_str()?;
    if function["numParams"].as_u64()? != types(function).len() as u64 {
        return None;
    }
    let arguments: Option<Vec<_>> = types(function)
        .into_iter()
        .enumerate()
        .map(|(place, kind)| arguments(kind, (nth + place * nth) % 4))
        .collect();
    let arguments = arguments?;
    let mut script = String::new();
    for (place, argument) in arguments.iter().enumerate() {
        writeln!(script, "let a{place} = {argument};").unwrap();
    }
    let names: Vec<_> = (0..arguments.len())
        .map(|place| format!("a{place}"))
        .collect();
    match (name, names.as_slice()) {
        ("exit", _) => return None,
        (name, [_]) if name.starts_with("get$") => write!(script, "a0.{};", &name[4..]),
        (name, _) if name.contains('$') => return None,
        (name, _) if rhai::is_valid_identifier(name) => {
            write!(script, "{name}({});", names.join(", "))
        }
        (operator, [one]) => write!(script, "{operator}{one};"),
        (operator, [one, other])
            if operator.ends_with("=") && operator.len() == 2 && !"==!=<=>=".contains(operator) =>
        {
            write!(script, "{one} {operator} {other};")
        }
        (operator, [one, other]) => write!(script, "let _r = {one} {operator} {other};"),
        _ => return None,
    }
    .unwrap();
    Some(script)
}

/// Calls that are worse than those with the listed arguments.
const WORST: [&str; 9] = [
    "let t = text(); t.replace(\" \", \"xy\");",
    "let t = text(); t.index_of(\"abc\");",
    "let t = text(); t.split(\"abc\");",
    "let t = \"\"; t.pad(text().len() - 20, \"[1],\"); parse_json(\"[\" + t + \"1]\");",
    "let t = \"\"; t.pad(text().len() - 20, \"{\\\"a\\\":[]},\"); parse_json(\"[\" + t + \"1]\");",
    "let l = []; l.pad(list().len(), text().sub_string(0, 100)); l.to_string();",
    "let m = table(); m.a = text(); m.to_json();",
    "let l = list(); l.push(text()); l.index_of(text());",
    "let l = words(); l.sort();",
];

/// With `FULL_SIZE` set, this test uses the default limits, and prints the slowest calls.
#[test]
fn every_function_ends_within_the_limits_whatever_it_is_given() {
    let full = std::env::var_os("FULL_SIZE").is_some();
    let mut options = patchcord::testing::options();
    let limits = &mut options.limits;
    if !full {
        (limits.string_size, limits.array_size, limits.map_size) = (20_000, 500, 500);
    }
    limits.listeners = 100_000;
    // Few operations are enough, because the test looks for native functions that take long by themselves.
    limits.operations = 200_000;
    limits.time = Duration::from_secs(300);
    limits.functions = 100_000;
    let (text, list) = (limits.string_size, limits.array_size);
    let calls: Vec<_> = functions()
        .iter()
        .flat_map(|function| (0..4).filter_map(|nth| call(function, nth)))
        .chain(WORST.map(str::to_owned))
        .collect();
    assert!(calls.len() > 1_000, "{}", calls.len());
    let mut script = String::from("fn on_connection(socket) {\n");
    for (nth, call) in calls.iter().enumerate() {
        writeln!(script, "socket.on(\"{nth}\", || {{ {call} }});").unwrap();
    }
    script += "}";
    let host = TestHost::build([("main.rhai", script.as_str())], |builder| {
        builder
            .options(options)
            .function("text", move || "ab c".repeat(text / 4))
            .function("list", move || {
                (0..list)
                    .map(|n| Dynamic::from(n as i64))
                    .collect::<Array>()
            })
            .function("words", move || {
                (0..list / 2)
                    .map(|n| Dynamic::from(format!("word {n}")))
                    .collect::<Array>()
            })
            .function("table", move || {
                (0..list)
                    .map(|n| (n.to_string().into(), Dynamic::from(n as i64)))
                    .collect::<Map>()
            })
            .function("bytes", move || vec![200_u8; list] as Blob)
    });
    assert_eq!(host.problems(), [] as [&str; 0]);
    let client = host.connect("/").unwrap();
    assert_eq!(host.problems(), [] as [&str; 0]);
    let mut slowest = Vec::new();
    let (mut panics, mut failed) = (Vec::new(), 0);
    for (nth, call) in calls.iter().enumerate() {
        let start = Instant::now();
        client.emit(&nth.to_string(), ());
        slowest.push((start.elapsed(), call));
        let problems = host.problems();
        failed += problems.len();
        let panicked = problems
            .into_iter()
            .find(|problem| problem.contains("panicked"));
        panics.extend(panicked.map(|problem| format!("{call}: {problem}")));
    }
    assert!(panics.is_empty(), "{panics:#?}");
    assert!(
        failed < calls.len() / 2,
        "{failed} of {} calls were refused",
        calls.len()
    );
    if full {
        slowest.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
        let ms = |time: &Duration| time.as_secs_f64() * 1e3;
        for (time, call) in slowest.iter().take(40) {
            eprintln!("{:8.2} ms  {}", ms(time), call.replace('\n', " "));
        }
    }
}
