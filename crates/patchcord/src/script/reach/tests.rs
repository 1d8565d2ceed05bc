//! Edits that change, or do not change, the code that a hook itself runs.

use crate::script::{
    Hook, Version,
    places::tests::{main_file, version},
};

const LIB: &str = r#"const LOUD = 3;
fn wire(socket) { socket.on("x", || other()); setup(socket) }
fn setup(socket) { socket.emit("hi", 1) }
fn other() { 1 }
fn unrelated() { 2 }"#;

const MAIN: &str = r#"import "lib/u" as u;
const MAX = 10;
const OTHER = 1;
fn helper(s) { s.emit("a", `n ${global::MAX + 1}`) }
fn late() { 5 }
fn as_value(x) { x + 40 }
fn method(x) { x + 50 }
fn by_name() { 60 }
fn on_connection(socket) {
    let n = 1_000;
    socket.on("hit", || { n += 1; late() });
    helper(socket);
    u::wire(socket);
    [1].map(|x| x * n);
    [1].map(as_value);
    n.method();
    Fn("by_name").call();
    io.data.update("k", 1, |old| 70);
    socket.emit("ask", 1, |answer| print(answer));
    io.fetch_sockets(|all| print(80));
}
fn on_load() { set_interval(|| io.emit("tick", 90), 1000); }
fn on_handshake(socket) { 100 }
"#;

fn load(lib: &str, main: &str) -> Version {
    version(&[("main.rhai", main), ("lib/u.rhai", lib)])
}

fn edits(lib: bool, changes: bool, edits: &[(&str, &str)]) {
    let base = load(LIB, MAIN);
    for (from, to) in edits {
        let text = if lib { LIB } else { MAIN };
        assert!(text.contains(from), "{from}");
        let text = text.replace(from, to);
        let edited = match lib {
            true => load(&text, MAIN),
            false => load(LIB, &text),
        };
        let [old, new] = [&base, &edited].map(|version| version.reach(Hook::Connection).hash());
        assert_eq!(old != new, changes, "`{from}` to `{to}`");
        for hook in [Hook::Load, Hook::Handshake] {
            assert_eq!(base.reach(hook).hash(), edited.reach(hook).hash());
        }
    }
}

#[test]
fn what_on_connection_does_not_run_itself() {
    edits(
        false,
        false,
        &[
            ("let n", "// a comment\n\n /* b */ let n"),
            ("fn helper", "/// doc\nfn helper"),
            ("let n = 1_000;", "\n\n     let\n n =\n1000   ;"),
            ("n += 1;", "n += 2;"),
            ("{ 5 }", "{ 6 }"),
            ("OTHER = 1", "OTHER = 2"),
            ("print(answer)", "print([answer])"),
            ("print(80)", "print(81)"),
            ("fn late", "fn more() { 7 }\nfn late"),
        ],
    );
    edits(
        true,
        false,
        &[
            ("{ 2 }", "{ 3 }"),
            ("|| other()", "|| unrelated()"),
            ("{ 1 }", "{ 7 }"),
            ("LOUD = 3", "LOUD = 4"),
        ],
    );
}

#[test]
fn what_on_connection_runs_itself() {
    edits(
        false,
        true,
        &[
            ("1_000", "1_001"),
            ("MAX = 10", "MAX = 11"),
            ("`n $", "`m $"),
            ("MAX + 1", "MAX + 2"),
            ("x * n", "x * n * 2"),
            ("\"hit\"", "\"hot\""),
            ("x + 40", "x + 41"),
            ("x + 50", "x + 51"),
            ("{ 60 }", "{ 61 }"),
            ("70", "71"),
            ("\"ask\", 1", "\"ask\", 2"),
        ],
    );
    edits(
        true,
        true,
        &[("\"hi\", 1", "\"hi\", 2"), ("\"x\"", "\"y\"")],
    );
}

#[test]
fn constants_of_libs_and_closures_in_constants_and_variables() {
    let main = "import \"lib/u\" as u; const F = || 1;\nfn on_connection(socket) { let own = |x| x + 2; own.call(u::LOUD); global::F.call(); }";
    let lib = "export const LOUD = 3;";
    let base = load(lib, main);
    let old = base.reach(Hook::Connection).hash();
    for (lib, main) in [
        (lib, main.replace("|| 1", "|| 9")),
        (lib, main.replace("x + 2", "x + 9")),
        ("export const LOUD = 4;", main.to_owned()),
    ] {
        assert_ne!(load(lib, &main).reach(Hook::Connection).hash(), old);
    }
}

#[test]
fn a_function_with_the_name_of_a_registering_word_may_call_its_closure() {
    let text = "fn on(f) { f.call() } fn on_connection(socket) { on(|| 1); }";
    let [old, new] = [text, &text.replace("|| 1", "|| 2")].map(main_file);
    let hash = |version: &Version| version.reach(Hook::Connection).hash();
    assert_ne!(hash(&old), hash(&new));
}

#[test]
fn the_other_hooks_and_closures_at_top_level() {
    let base = load(LIB, MAIN);
    let changed = load(LIB, &MAIN.replace("{ 100 }", "{ 101 }"));
    let timer = load(LIB, &MAIN.replace("90", "91"));
    let period = load(LIB, &MAIN.replace("), 1000)", "), 2000)"));
    let hash = |version: &Version, hook| version.reach(hook).hash();
    assert_ne!(
        hash(&base, Hook::Handshake),
        hash(&changed, Hook::Handshake)
    );
    assert_eq!(hash(&base, Hook::Load), hash(&timer, Hook::Load));
    assert_ne!(hash(&base, Hook::Load), hash(&period, Hook::Load));
    assert!(base.reach(Hook::Disconnect).is_empty());

    let served = "const MAX = 1;\nfn f() { 2 }\nio.on(\"connection\", |socket| { socket.on(\"a\", || 3); MAX + f() + 4 });";
    let old = hash(&main_file(served), Hook::Connection);
    for (edit, changes) in [("1", true), ("2", true), ("3", false), ("4", true)] {
        let edited = main_file(&served.replace(edit, "77"));
        assert_eq!(hash(&edited, Hook::Connection) != old, changes, "{edit}");
    }
}

#[test]
fn a_place_in_the_code_is_found_in_the_new_code() {
    let old = load(LIB, MAIN);
    let edited = MAIN
        .replace(
            "    helper(socket);",
            "    if rand_bool() { print(1); }\n  helper( socket );",
        )
        .replace(
            "fn helper(s) {",
            "fn before() { 1 }\nfn helper(s) { before();",
        )
        .replace("[1].map(as_value);", "");
    let new = load(&format!("\n\n{LIB}"), &edited);
    let place = |version: &Version, file: &str, code: &str| {
        let text = version.source(file).unwrap();
        let offset = text.find(code).unwrap_or_else(|| panic!("no `{code}`"));
        let line = text[..offset].matches('\n').count() + 1;
        let column = offset - text[..offset].rfind('\n').map_or(0, |at| at + 1) + 1;
        version.reach(Hook::Connection).place_at(file, line, column)
    };
    let map = old
        .reach(Hook::Connection)
        .map_to(new.reach(Hook::Connection));
    for (file, code) in [
        ("main.rhai", "emit(\"a\""),
        ("main.rhai", "method()"),
        ("main.rhai", "update("),
        ("main.rhai", "emit(\"ask\""),
        ("main.rhai", "MAX = 10"),
        ("main.rhai", "wire(socket)"),
        ("lib/u.rhai", "emit(\"hi\""),
    ] {
        let from = place(&old, file, code).unwrap();
        let to = place(&new, file, code);
        assert!(to.is_some(), "{code}");
        assert_eq!(map[from as usize], to, "{code}");
        let (name, ..) = new
            .reach(Hook::Connection)
            .position_of(to.unwrap())
            .unwrap();
        assert_eq!(&**name, file);
    }
    let gone = place(&old, "main.rhai", "as_value);").unwrap();
    assert_eq!(map[gone as usize], None);
    // This code is only registered, and not run.
    assert_eq!(place(&old, "main.rhai", "late() });"), None);
    assert_eq!(
        old.reach(Hook::Connection).place_at("lib/u.rhai", 99, 1),
        None
    );
    assert_eq!(
        old.reach(Hook::Connection).place_at("gone.rhai", 1, 1),
        None
    );
}
