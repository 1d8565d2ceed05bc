//! Edits, with the new closure with which each old closure must be paired.

use std::collections::BTreeMap;

use super::{Alignment, align};
use crate::script::{
    Version,
    places::tests::{main_file, version},
};

const BASE: &str = r#"fn login(socket) { socket.on("say", |t| socket.emit("said", t)); socket.on("move", |x, y| { let p = #{ x: x, y: y }; socket.emit("moved", p); }); }
fn on_connection(socket) { let score = 0;
  socket.on("login", || login(socket));
  socket.on("hit", || { score += 1; score });
  socket.on("miss", || { score -= 1; score });
  let t = set_timeout(|| { score = 0; }, 100);
  let list = [|x| x + 1, |x| x + 2, |x| x * 3];
  let map = #{ add: |a, b| a + b, sub: |a, b| a - b };
}"#;

/// Returns `true` if the text of a row starts with `code`.
fn begins(version: &Version, index: usize, code: &str) -> bool {
    let row = version.places().row(index).unwrap();
    let text = version.source(&row.file).unwrap();
    let (line, column) = row.position;
    let mut lines = text.split_inclusive('\n').skip(line - 1);
    let first: String = lines.next().unwrap().chars().skip(column - 1).collect();
    let rest: String = [first]
        .into_iter()
        .chain(lines.map(str::to_owned))
        .collect();
    rest.starts_with(code)
}

fn find(version: &Version, code: &str) -> usize {
    let (code, nth) = code.split_once('@').unwrap_or((code, "0"));
    let rows = 0..version.places().rows().len();
    let mut found = rows.filter(|index| begins(version, *index, code));
    let found = found.nth(nth.parse().unwrap());
    found.unwrap_or_else(|| panic!("no closure `{code}`"))
}

/// Asserts that the closures in `edited` are paired as given, and that all others of the old version are paired with
/// equal code.
fn assert_pairs(old: &Version, new: &Version, edited: &[(&str, &str)]) -> Alignment {
    let alignment = align(old.places(), new.places());
    let mut expected = BTreeMap::new();
    for (from, to) in edited {
        let to = (!to.is_empty()).then(|| find(new, to));
        expected.insert(find(old, from), to);
    }
    for (index, row) in old.places().rows().iter().enumerate() {
        let found = alignment.new_row(index);
        match expected.get(&index) {
            Some(to) => assert_eq!(found, *to, "{row:?}"),
            None => {
                let found = new.places().row(found.unwrap()).unwrap();
                assert_eq!(
                    (row.body, &row.word, &row.event),
                    (found.body, &found.word, &found.event)
                );
            }
        }
        if let Some(found) = found {
            assert_eq!(alignment.old_row(found), Some(index));
        }
    }
    alignment
}

fn edit(from: &str, to: &str, edited: &[(&str, &str)]) {
    assert!(BASE.contains(from), "{from}");
    let new = BASE.replace(from, to);
    assert_pairs(&main_file(BASE), &main_file(&new), edited);
}

#[test]
fn layout_changes_nothing() {
    edit("let score", "// c\n\n  let   score", &[]);
    edit(
        "{ score += 1; score }",
        "{ /* x */ score\n += 1; score\n}",
        &[("|| { score += 1", "|| { /* x */")],
    );
}

#[test]
fn handlers_that_are_inserted_before_others_and_swapped() {
    let hit = "socket.on(\"hit\", || { score += 1; score });\n  socket.on(\"miss\", || { score -= 1; score });";
    let new = "socket.on(\"new\", || { score += 1; score });\n  socket.on(\"miss\", || { score -= 1; score });\n  socket.on(\"hit\", || { score += 1; score });";
    edit(hit, new, &[("|| { score += 1", "|| { score += 1@1")]);
}

#[test]
fn a_handler_that_moves_out_of_a_function_and_is_edited() {
    let moved = BASE
        .replace(r#"socket.on("say", |t| socket.emit("said", t)); "#, "")
        .replace(
            "let score = 0;",
            "let score = 0; socket.on(\"say\", |t| socket.emit(\"said\", `${t}!`));",
        );
    assert_pairs(&main_file(BASE), &main_file(&moved), &[("|t|", "|t|")]);
}

#[test]
fn a_handler_with_another_event() {
    edit(
        "\"hit\"",
        "\"strike\"",
        &[("|| { score += 1", "|| { score += 1")],
    );
    edit(
        "\"move\", |x, y| { let p",
        "\"walk\", |x, y| { let q = 1; let p",
        &[("|x, y|", "|x, y|")],
    );
}

#[test]
fn elements_of_arrays_and_maps() {
    let at = |n: usize| format!("|x| x {}", ["+ 1", "+ 2", "* 3"][n]);
    let (one, two, three) = (at(0), at(1), at(2));
    let inserted = BASE
        .replace("[|x| x + 1,", "[|x| x - 1, |x| x + 1,")
        .replace("a - b", "a - b - 1");
    let same = [&one, &two, &three].map(|code| (&**code, &**code));
    let edited = [&same[..], &[("|a, b| a - b", "|a, b| a - b - 1")]].concat();
    assert_pairs(&main_file(BASE), &main_file(&inserted), &edited);
    edit("|x| x + 2", "|x| x + 20", &[(&two, "|x| x + 20")]);
    let swapped = "[|x| x * 3, |x| x + 2, |x| x + 1]";
    edit("[|x| x + 1, |x| x + 2, |x| x * 3]", swapped, &same);
    edit(
        "add: |a, b| a + b",
        "add: |a, b| b",
        &[("|a, b| a +", "|a, b| b")],
    );
    // Values are paired by their keys.
    let keys = "#{ add: |a, b| a - b, sub: |a, b| a + b }";
    edit(
        "#{ add: |a, b| a + b, sub: |a, b| a - b }",
        keys,
        &[
            ("|a, b| a + b", "|a, b| a - b"),
            ("|a, b| a - b", "|a, b| a + b"),
        ],
    );
}

#[test]
fn a_timer_before_another() {
    edit(
        "let t = set_timeout",
        "set_timeout(|| { print(\"new\"); }, 50); let t = set_timeout",
        &[],
    );
    edit("}, 100)", "}, 200)", &[]);
    edit(
        "|| { score = 0; }, 100",
        "|| { score = 5; }, 200",
        &[("|| { score = 0", "|| { score = 5")],
    );
}

#[test]
fn a_function_that_moves_into_a_lib() {
    let lib = BASE.lines().next().unwrap().replace("login", "wire");
    let same = BASE.lines().next().unwrap();
    let rest: String = BASE
        .lines()
        .skip(1)
        .map(|line| format!("{line}\n"))
        .collect();
    let old = main_file(BASE);
    for (lib, call) in [(&*lib, "w::wire(socket)"), (same, "w::login(socket)")] {
        let main = format!(
            "import \"lib/w\" as w;\n{}",
            rest.replace("login(socket)", call)
        );
        let new = version(&[("main.rhai", &main), ("lib/w.rhai", lib)]);
        let edited = [(
            "|| login",
            if call.contains("wire") {
                "|| w::wire"
            } else {
                "|| w::login"
            },
        )];
        let alignment = assert_pairs(&old, &new, &edited);
        let moved = new.places().functions()[alignment.function_moved(0).unwrap()].clone();
        assert_eq!(&*moved.file, "lib/w.rhai");
        assert_eq!(alignment.function_moved(1), Some(1));
    }
}

#[test]
fn functions_keep_their_names_first() {
    let old = main_file("fn a(x) { x + 1 } fn b() { 2 } fn c() { 3 } fn gone() { 4 }");
    let new = main_file("fn c() { 30 } fn renamed() { 2 } fn a(x, y) { x } fn other() { 5 }");
    let alignment = align(old.places(), new.places());
    let pairs: Vec<_> = (0..4)
        .map(|index| alignment.function_moved(index))
        .collect();
    assert_eq!(pairs, [Some(2), Some(1), Some(0), None]);
}

const TWINS: &str = r#"fn on_connection(socket) { let a = 0; let b = 0;
set_interval(|| { a += 1 }, 10); set_interval(|| { a += 1 }, 20);
socket.on("x", || 1); socket.on("x", || 1); }"#;

fn twins(from: &str, to: &str, edited: &[(&str, &str)]) {
    assert!(TWINS.contains(from), "{from}");
    let new = TWINS.replacen(from, to, 1);
    assert_pairs(&main_file(TWINS), &main_file(&new), edited);
}

#[test]
fn twins_are_told_apart_by_their_statements() {
    let (first, second) = ("|| { a += 1 }, 10", "|| { a += 1 }, 20");
    let same = [(first, first), (second, second)];
    let inserted = |code: &str| format!("set_interval(|| {{ {code} }}, 15); set_interval({second}");
    let from = format!("set_interval({second}");
    twins(&from, &inserted("b += 1"), &same);
    twins(&from, &inserted("a += 1"), &same);
    twins(
        "set_interval(|| { a += 1 }, 10); ",
        "",
        &[(first, ""), (second, second)],
    );
    twins(
        first,
        "|| { a += 2 }, 10",
        &[(first, "|| { a += 2"), (second, second)],
    );
    twins(
        second,
        "|| { a += 2 }, 20",
        &[(first, first), (second, "|| { a += 2")],
    );
    // Only their order distinguishes these.
    let of_x = |first, second| [("|| 1@0", first), ("|| 1@1", second)];
    twins("\"x\", || 1", "\"x\", || 2", &of_x("|| 2", "|| 1"));
    twins("\"x\", || 1); }", "\"x\", || 2); }", &of_x("|| 1", "|| 2"));
}

#[test]
fn closures_within_twins_stay_with_them() {
    let text = |first: &str, more: &str, second: &str| {
        format!(
            "fn on_connection(socket) {{ let l = [];
set_interval(|| {{ l.map(|x| x + {first}) }}, 10);{more}
set_interval(|| {{ l.map(|x| x + {second}) }}, 20); }}"
        )
    };
    let old = main_file(&text("1", "", "1"));
    let more = "\nset_interval(|| { l.map(|x| x + 1) }, 15);";
    let new = main_file(&text("1", more, "1"));
    let alignment = align(old.places(), new.places());
    let pairs: Vec<_> = (0..4).map(|index| alignment.new_row(index)).collect();
    assert_eq!(pairs, [Some(0), Some(1), Some(4), Some(5)]);
    for new in [text("2", "", "1"), text("1", "", "2")] {
        let alignment = align(old.places(), main_file(&new).places());
        let pairs: Vec<_> = (0..4).map(|index| alignment.new_row(index)).collect();
        assert_eq!(pairs, [Some(0), Some(1), Some(2), Some(3)], "{new}");
    }
}

#[test]
fn a_copy_is_not_the_original() {
    let copies = [
        (
            "socket.on(\"hit\", || { score += 1; score });",
            "socket.on(\"hit\", || { score += 2; score }); socket.on(\"copy\", || { score += 1; score });",
            ("|| { score += 1", "|| { score += 2"),
        ),
        (
            "set_timeout(|| { score = 0; }, 100);",
            "set_timeout(|| { score = 5; }, 100); set_timeout(|| { score = 0; }, 300);",
            ("|| { score = 0", "|| { score = 5"),
        ),
        (
            "#{ add: |a, b| a + b,",
            "#{ copy: |a, b| a + b, add: |a, b| a + b + 1,",
            ("|a, b| a + b", "|a, b| a + b + 1"),
        ),
    ];
    for (from, to, edited) in copies {
        edit(from, to, &[edited]);
    }
    let old = "fn on_connection(socket) { socket.on(\"a\", |l| l.map(|x| x + 1)); }";
    let new = "fn on_connection(socket) { socket.on(\"b\", |l| l.map(|x| x + 1)); socket.on(\"a\", |l| l.map(|x| x + 2)); }";
    let alignment = align(main_file(old).places(), main_file(new).places());
    assert_eq!(
        (alignment.new_row(0), alignment.new_row(1)),
        (Some(2), Some(3))
    );
}

#[test]
fn what_is_new_or_gone_has_no_counterpart() {
    let old = main_file(
        "fn on_connection(socket) { socket.on(\"a\", |x| { let y = x * 7; print(y); }); }",
    );
    let new = main_file("fn on_connection(socket) { set_timeout(|| socket.disconnect(), 50); }");
    let alignment = align(old.places(), new.places());
    assert_eq!((alignment.new_row(0), alignment.old_row(0)), (None, None));
    assert_eq!((alignment.new_row(7), alignment.old_row(7)), (None, None));
}

/// Returns timers that differ only in their code.
fn timers(count: usize, name: &str) -> String {
    let timers = (0..count).map(|n| {
        format!("set_timeout(|| {{ {name} += {n}; if {name} > {n} {{ {name} = 0; }} }}, 5);\n")
    });
    let timers: String = timers.collect();
    format!("fn first(socket) {{ let {name} = 0; {timers} }}")
}

#[test]
fn two_hundred_edited_closures_are_found_by_similarity() {
    let (old, new) = (main_file(&timers(200, "x")), main_file(&timers(200, "y")));
    let alignment = align(old.places(), new.places());
    assert!((0..200).all(|index| alignment.new_row(index) == Some(index)));
}

/// There would be 29 million pairs, which would take minutes to compare.
#[test]
fn thousands_of_edited_closures_are_left_alone_instead_of_comparing_all_pairs() {
    let load = |name: &str| {
        let files = (0..18).map(|n| (format!("lib/{n}.rhai"), timers(300, &format!("{name}{n}"))));
        let files: Vec<_> = files.collect();
        let imports = (0..18).map(|n| format!("import \"lib/{n}\" as l{n};\n"));
        let imports: String = imports.collect();
        let mut all = vec![("main.rhai", &*imports)];
        all.extend(files.iter().map(|(name, text)| (&**name, &**text)));
        version(&all)
    };
    let (old, new) = (load("x"), load("y"));
    assert_eq!(old.places().rows().len(), 5400);
    let aligned = align(old.places(), new.places());
    let paired = (0..5400).filter(|row| aligned.new_row(*row).is_some());
    assert_eq!(
        paired.count(),
        0,
        "they are new, and the old ones are stale"
    );
}

mod random;
