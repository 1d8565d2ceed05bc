//! A function value has the same meaning whichever file calls it: constants, functions, imports, and the places of
//! errors are those of the file where it is written.

use patchcord::testing::TestHost;

const UTIL: &str = "const MAX = 7;
fn apply(f) { f.call() }
fn twice(list, f) { list.map(f) }
fn top() { global::MAX }
private fn hidden() { \"hidden of util\" }
fn maker() { || [global::MAX, hidden()] }
fn listen(socket) {
    let count = 0;
    socket.on(\"util\", || { count += 1; [global::MAX, hidden(), count] });
    socket.on(\"util value\", named);
    set_timeout(|| { socket.emit(\"later\", global::MAX, hidden()); }, 10);
}
fn named(a) { [a, hidden(), global::MAX] }
";

fn answers(main: &str, event: &str) -> Option<String> {
    let host = TestHost::with([("main.rhai", main), ("lib/util.rhai", UTIL)]);
    let client = host.connect("/").unwrap();
    let answer = client.ask(event, ());
    assert_eq!(host.problems(), [] as [&str; 0]);
    answer
}

const MAIN: &str = "import \"lib/util\" as util;
const MAX = 42;
fn read() { global::MAX }
private fn secret() { global::MAX + 1 }
fn on_connection(socket) {
    util::listen(socket);
    socket.on(\"closure\", || util::apply(|| global::MAX));
    socket.on(\"function\", || util::apply(read));
    socket.on(\"private\", || util::apply(secret));
    socket.on(\"through\", || util::apply(|| read()));
    socket.on(\"list\", || util::twice([1, 2], |x| x * global::MAX));
    socket.on(\"made\", || { let f = util::maker(); [f.call(), [1].map(|x| f.call())] });
    let kept = util::maker();
    socket.on(\"kept\", || kept.call());
    socket.on(\"top\", || util::top());
    socket.on(\"update\", || io.data.update(\"n\", 0, |n| n + global::MAX));
    socket.on(\"direct\", kept);
}";

#[test]
fn a_closure_has_the_constants_and_functions_of_the_file_it_is_written_in() {
    for (event, answer) in [
        ("closure", "[42]"),
        ("function", "[42]"),
        ("private", "[43]"),
        ("through", "[42]"),
        ("list", "[[42,84]]"),
        (
            "made",
            "[[[7,\"hidden of util\"],[[7,\"hidden of util\"]]]]",
        ),
        ("kept", "[[7,\"hidden of util\"]]"),
        ("direct", "[[7,\"hidden of util\"]]"),
        ("util", "[[7,\"hidden of util\",1]]"),
        ("top", "[7]"),
        ("update", "[42]"),
    ] {
        assert_eq!(answers(MAIN, event).as_deref(), Some(answer), "{event}");
    }
}

#[test]
fn a_function_that_its_own_file_registers_is_found_there() {
    let host = TestHost::with([("main.rhai", MAIN), ("lib/util.rhai", UTIL)]);
    let client = host.connect("/").unwrap();
    assert_eq!(
        client.ask("util value", [1]).as_deref(),
        Some("[[1,\"hidden of util\",7]]")
    );
    client.heard();
    host.advance(20);
    assert_eq!(client.heard(), ["later [7,\"hidden of util\"]"]);
}

#[test]
fn an_import_in_a_function_holds_for_the_closures_that_are_made_there() {
    let main = "fn on_connection(socket) {
        import \"lib/util\" as u;
        socket.on(\"top\", || u::top());
    }";
    assert_eq!(answers(main, "top").as_deref(), Some("[7]"));
}

#[test]
fn closures_that_pass_through_two_files_keep_their_own() {
    let files = [
        (
            "main.rhai",
            "import \"lib/a\" as a;
            const N = 1;
            fn on_connection(socket) {
                socket.on(\"all\", || a::run(|x| [global::N, x]));
            }",
        ),
        (
            "lib/a.rhai",
            "import \"lib/b\" as b;
            const N = 2;
            fn run(f) { b::run(|x| f.call([global::N, x])) }",
        ),
        (
            "lib/b.rhai",
            "const N = 3;
            fn run(f) { f.call(global::N) }",
        ),
    ];
    let host = TestHost::with(files);
    let client = host.connect("/").unwrap();
    assert_eq!(client.ask("all", ()).as_deref(), Some("[[1,[2,3]]]"));
}

#[test]
fn an_error_and_a_line_of_the_log_name_the_file_in_which_the_closure_is_written() {
    let main = "import \"lib/util\" as util;
fn on_connection(socket) {
    socket.on(\"fail\", || util::apply(|| {
        let x = 0;
        1 / x
    }));
    socket.on(\"say\", || util::apply(|| { print(\"here\"); }));
}";
    let host = TestHost::with([("main.rhai", main), ("lib/util.rhai", UTIL)]);
    let client = host.connect("/").unwrap();
    host.events();
    client.ask("fail", ());
    let problems = host.problems().join("\n");
    assert!(problems.contains("main.rhai:5"), "{problems}");
    client.ask("say", ());
    let logged = host.events().into_iter().find_map(|event| match event {
        patchcord::HostEvent::Log { script, line, .. } => Some((script, line)),
        _ => None,
    });
    assert_eq!(logged, Some((Some("main.rhai".to_owned()), Some(7))));
}

#[test]
fn one_name_for_two_imports_is_refused() {
    let main = "fn a() { import \"lib/util\" as u; u::top() }
fn b() { import \"lib/other\" as u; u::top() }
fn on_connection(socket) { a(); b(); }";
    let host = TestHost::with([
        ("main.rhai", main),
        ("lib/util.rhai", UTIL),
        ("lib/other.rhai", "fn top() { 1 }"),
    ]);
    let problems = host.problems().join("\n");
    assert!(
        problems.contains("`u` is the name of two imports"),
        "{problems}"
    );
}
