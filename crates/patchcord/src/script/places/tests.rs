//! Tables of closures, and closures with equal names.

use std::sync::{Arc, LazyLock};

use rhai::Engine;

use crate::script::{
    Code, Limits, Memory, SymbolTable, Version,
    places::{Places, Row},
};

/// Loads a version of `main.rhai`.
pub(in crate::script) fn version(files: &[(&str, &str)]) -> Version {
    static ENGINE: LazyLock<(Arc<Engine>, SymbolTable)> = LazyLock::new(|| {
        let (engine, known) = crate::api::engine(&Limits::default()).build();
        (Arc::new(engine), known)
    });
    let (engine, known) = &*ENGINE;
    let memory: Memory = files.iter().copied().collect();
    let loaded = Code::load(
        engine,
        known,
        &Limits::default(),
        &memory,
        "main.rhai",
        1,
        None,
    );
    match loaded {
        Ok(code) => code.into(),
        Err(rejected) => panic!("{:?}\n{files:?}", rejected.diagnostics),
    }
}

pub(in crate::script) fn main_file(text: &str) -> Version {
    version(&[("main.rhai", text)])
}

/// Returns the row of a closure by its code.
fn row<'a>(places: &'a Places, version: &Version, code: &str) -> &'a Row {
    let mut rows = places.rows().iter();
    let found = rows.find(|row| {
        let text = version.source(&row.file).unwrap();
        let (line, column) = row.position;
        let line = text.lines().nth(line - 1).unwrap();
        let rest: String = line.chars().skip(column - 1).collect();
        rest.starts_with(code)
    });
    found.unwrap_or_else(|| panic!("no closure `{code}` in {places:#?}"))
}

fn words(text: &str) -> Vec<String> {
    let version = main_file(text);
    let rows = version.places().rows().iter();
    rows.map(|row| match &row.event {
        Some(event) => format!("{} {event}", row.word),
        None => row.word.to_string(),
    })
    .collect()
}

#[test]
fn a_row_has_the_use_of_a_closure() {
    let text = r#"
fn twice(f) { f.call(); f.call() }
fn on_connection(socket) {
    let n = 0;
    socket.on("hit", |by| { n += by; socket.emit("n", n, |ok| print(ok)); });
    let tick = set_interval(|| n += 1, 1_000);
    let say = || n;
    say = || 1;
    let list = [|x| x, |y| y + n];
    let table = #{ add: |a, b| a + b };
    twice(|| 2);
    socket.on(`ev${n}`, || 3);
}
"#;
    assert_eq!(
        words(text),
        [
            "on hit",
            "emit n",
            "set_interval",
            "let say",
            "say =",
            "[]",
            "[]",
            "key add",
            "twice",
            "on"
        ]
    );
    let version = main_file(text);
    let places = version.places();
    let hit = row(places, &version, "|by|");
    assert_eq!(places.function_of(hit).unwrap().name, "on_connection");
    assert_eq!(places.function_of(hit).unwrap().arity, 1);
    assert_eq!((hit.parent, hit.params, hit.position), (None, 1, (5, 22)));
    let mut captured = hit.captured.clone();
    captured.sort();
    assert_eq!(captured, ["n", "socket"]);
    let ok = row(places, &version, "|ok|");
    assert_eq!(ok.parent, places.row_of(&hit.name));
    assert!(ok.captured.is_empty());
    assert_eq!(row(places, &version, "|| n += 1").number, Some(1000));
    assert_eq!(row(places, &version, "|y|").slot, 1);
    assert!(hit.later && ok.later && row(places, &version, "|| n += 1").later);
    assert!(!row(places, &version, "|| 2").later);
    for (index, row) in places.rows().iter().enumerate() {
        assert_eq!(places.row_of(&row.name), Some(index));
    }
    assert_eq!(places.row_of("anon$0"), None);
}

/// A closure has the same code as when it is the only one, even if its end is hard to find.
#[test]
fn a_closure_ends_where_the_parser_ends_it() {
    let text = r#"
fn f(a) { a }
fn on_connection(socket) {
    let a = switch 1 { 1 => || 10, _ => |x| { x } };
    let b = f(|a| a | 2);
    let c = (|| { 7 }).call();
    let d = `is ${(|q| q ?? 2).call(1)} or ${f(|| "}")}`;
    let e = [|x| [x, x], || #{ a: 1 }];
    let g = f(if true { || 1 } else { |z| f(z) });
    let h = |x| if x { 1 } else { 2 };
    return |w| w
}
"#;
    let version = main_file(text);
    let places = version.places();
    let ends = [
        ("|| 10", "|| 10"),
        ("|x| { x }", "|x| { x }"),
        ("|a| a | 2", "|a| a | 2"),
        ("|| { 7 }", "|| { 7 }"),
        ("|q| q ?? 2", "|q| q ?? 2"),
        ("|| \"}\"", "|| \"}\""),
        ("|x| [x, x]", "|x| [x, x]"),
        ("|| #{ a: 1 }", "|| #{ a: 1 }"),
        ("|| 1 ", "|| 1"),
        ("|z| f(z)", "|z| f(z)"),
        ("|x| if x", "|x| if x { 1 } else { 2 }"),
        ("|w| w", "|w| w"),
    ];
    assert_eq!(places.rows().len(), ends.len());
    for (begin, whole) in ends {
        let alone = main_file(&format!("fn f(a) {{ a }} fn g() {{ let v = {whole}; }}"));
        let expected = &alone.places().rows()[0];
        assert_eq!(row(places, &version, begin).body, expected.body, "{whole}");
    }
}

#[test]
fn comments_and_layout_are_no_code() {
    let bodies = |text: &str| -> Vec<_> {
        let version = main_file(text);
        let rows = version.places().rows().iter();
        rows.map(|row| (row.body, row.statement)).collect()
    };
    let base =
        r#"fn on_connection(socket) { socket.on("a", |x| { let n = 1_000; `n ${x + n}` }); }"#;
    let same = "/// A comment\nfn on_connection(socket) {\n\n\tsocket.on(\"a\",\n // c\n |x| { /* d */\n let n = 1000;\n `n ${ x + /* e */ n }`\n });\n}";
    assert_eq!(bodies(base), bodies(same));
    for (from, to) in [
        ("1_000", "1_001"),
        ("`n ", "`m "),
        ("x + n", "x - n"),
        ("|x|", "|y|"),
    ] {
        let edited = base.replacen(from, to, 1);
        let edited = edited.replace("${x", if to == "|y|" { "${y" } else { "${x" });
        assert_ne!(bodies(base)[0].0, bodies(&edited)[0].0, "{to}");
        assert_eq!(bodies(base)[0].1, bodies(&edited)[0].1, "{to}");
    }
    let renamed = base.replace("\"a\"", "\"b\"");
    assert_eq!(bodies(base)[0].0, bodies(&renamed)[0].0);
    assert_ne!(bodies(base)[0].1, bodies(&renamed)[0].1);
}

#[test]
fn a_name_is_unique_that_is_declared_once_and_not_in_a_loop() {
    let text = r#"
fn other() { let once = 1; once }
fn on_connection(socket) {
    let once = 0;
    let twice = 0;
    if true { let twice = 1; socket.on("twice", || twice); }
    for turn in 0..3 { let inside = turn; socket.on("loop", || [turn, inside]); }
    while once < 0 { let again = 1; socket.on("again", || again); }
    let param = |given| { let own = 1; || [given, own, once] };
    let hides = |hidden| hidden;
    let hidden = 1;
    try { throw 1; } catch (error) { socket.on("e", || error); }
    socket.on("all", || [once, socket, io, hidden]);
}
"#;
    let version = main_file(text);
    let places = version.places();
    let last = places.rows().len() - 1;
    for (name, is_unique) in [
        ("once", true),
        ("socket", true),
        ("error", true),
        ("hidden", true),
        ("own", false),
        ("given", false),
        ("twice", false),
        ("turn", false),
        ("inside", false),
        ("again", false),
        ("io", false),
        ("nothing", false),
    ] {
        assert_eq!(places.is_unique(last, name), is_unique, "{name}");
    }
    let inner = row(places, &version, "|| [given, own, once]");
    let inner = places.row_of(&inner.name).unwrap();
    for name in ["once", "own", "given"] {
        assert!(places.is_unique(inner, name), "{name}");
    }
    let served =
        main_file("io.on(\"connection\", |socket| { let n = 0; socket.on(\"a\", || n); });");
    assert!(served.places().is_unique(1, "n") && served.places().is_unique(1, "socket"));
}

#[test]
fn equal_closures_at_equal_places_of_two_files_have_names_of_their_own() {
    let lib = "fn make() { [|| 5, || 5] }\nfn more(x) { [|| x] }";
    let other = "fn make() { [|| 5, || 5] }\nfn more(x) { [|| x] } fn only_here() {}";
    let main = "fn make() { [|| 5, || 5] }\nimport \"lib/a\" as a; import \"lib/b\" as b;\nfn on_connection(socket) { a::make(); b::make(); }";
    let version = version(&[
        ("main.rhai", main),
        ("lib/a.rhai", lib),
        ("lib/b.rhai", other),
    ]);
    let places = version.places();
    assert_eq!(places.rows().len(), 8);
    for (index, row) in places.rows().iter().enumerate() {
        assert_eq!(places.row_of(&row.name), Some(index), "{row:?}");
    }
    assert_eq!(&*version.source("main.rhai").unwrap(), main);
    assert_eq!(&*version.source("lib/b.rhai").unwrap(), other);
    // The first one keeps its position.
    assert_eq!(places.rows()[0].position, (1, 14));
}
