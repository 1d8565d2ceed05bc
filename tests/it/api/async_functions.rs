//! Async functions of the application.

use patchcord::{host::AsyncContext, testing::TestHost};

fn host(script: &str) -> TestHost {
    TestHost::build([("main.rhai", script)], |builder| {
        builder
            .async_function("find_user", |id: i64, name: String| async move {
                match id {
                    0 => Err("there is none".to_owned()),
                    1 => panic!("a fault of the program"),
                    id => Ok(format!("{name} {id}")),
                }
            })
            .async_function("now", || async { Ok::<_, String>(true) })
    })
}

const SCRIPT: &str = r#"fn on_connection(socket) {
    let found = 0;
    socket.on("find", |id| {
        find_user(id, "user", |err, user| { found += 1; socket.emit("found", err, user, found); });
    });
    now(|err, yes| { socket.emit("now", yes); });
}"#;

#[test]
fn the_result_comes_to_a_closure_that_shares_the_variables_of_its_connection() {
    let host = host(SCRIPT);
    let ada = host.connect("/").unwrap();
    host.advance(1);
    assert_eq!(ada.heard(), ["now [true]"]);
    for (id, answer) in [
        (7, "[null,\"user 7\",1]"),
        (0, "[\"there is none\",null,2]"),
        (1, "[\"the function panicked\",null,3]"),
    ] {
        ada.emit("find", [id]);
        host.advance(1);
        assert_eq!(ada.heard(), [format!("found {answer}")]);
    }
    assert_eq!(host.problems(), [] as [&str; 0]);
}

#[test]
fn a_draft_skips_it_and_a_client_that_has_left_hears_nothing() {
    let mut host = host(SCRIPT);
    let ada = host.connect("/").unwrap();
    host.advance(1);
    ada.heard();
    host.edit("main.rhai", &SCRIPT.replace("\"found\"", "\"there\""));
    host.advance(1);
    assert_eq!(ada.heard(), [] as [&str; 0]);
    ada.emit("find", [7]);
    host.advance(1);
    assert_eq!(ada.heard(), ["there [null,\"user 7\",1]"]);
    ada.emit("find", [7]);
    ada.disconnect();
    host.advance(1);
    assert_eq!(host.problems(), [] as [&str; 0]);
}

#[test]
fn a_wrong_call_is_told_before_it_runs() {
    let host = host("fn on_connection(socket) { find_user(1, |err, user| user); }");
    assert!(host.problems()[0].contains("function `find_user` takes 3 arguments, found 2"));
}

#[test]
fn it_knows_its_caller_and_hears_that_the_caller_has_left() {
    let (left, has_left) = std::sync::mpsc::channel();
    let script = r#"
        fn on_load() { whose(|err, answer| print(answer)); }
        fn on_connection(socket) {
            socket.on("whose", || whose(|err, answer| socket.emit("whose", answer)));
            socket.on("wait", || wait_long(1, |err, answer| print("too late")));
        }"#;
    let host = TestHost::build([("main.rhai", script)], |builder| {
        builder
            .async_function("whose", |context: AsyncContext| async move {
                let socket = context.socket().unwrap_or("-");
                Ok::<_, String>(format!("{} {socket}", context.namespace()))
            })
            .async_function("wait_long(n)", move |context: AsyncContext, n: i64| {
                let left = left.clone();
                async move {
                    context.cancelled().await;
                    assert!(context.is_cancelled());
                    left.send(n).unwrap();
                    Ok::<_, String>(n)
                }
            })
    });
    host.advance(1);
    assert_eq!(host.log(), ["/ -"]);
    let ada = host.connect("/").unwrap();
    ada.emit("whose", ());
    host.advance(1);
    assert_eq!(ada.heard(), [format!("whose [\"/ {}\"]", ada.id())]);
    ada.emit("wait", ());
    host.advance(1);
    assert!(has_left.try_recv().is_err());
    ada.disconnect();
    host.advance(1);
    assert_eq!(has_left.try_recv(), Ok(1));
    assert_eq!(host.log(), [] as [&str; 0]);
}

#[test]
fn it_has_up_to_eight_arguments() {
    let script = r#"fn on_connection(socket) {
        add(1, 2, 3, 4, 5, 6, 7, 8, |err, sum| socket.emit("sum", sum));
    }"#;
    let host = TestHost::build([("main.rhai", script)], |builder| {
        type N = i64;
        builder.async_function(
            "add(a, b, c, d, e, f, g, h)",
            |a: N, b: N, c: N, d: N, e: N, f: N, g: N, h: N| async move {
                Ok::<_, String>(a + b + c + d + e + f + g + h)
            },
        )
    });
    let ada = host.connect("/").unwrap();
    host.advance(1);
    assert_eq!(ada.heard(), ["sum [36]"]);
}

#[test]
fn a_result_that_a_script_could_not_have_made_is_an_error() {
    let script = r#"fn on_connection(socket) {
        socket.on("text", |n| text(n, |err, value| socket.emit("text", err, value == ())));
        socket.on("list", |n| list(n, |err, value| socket.emit("list", err, value == ())));
    }"#;
    let host = TestHost::build([("main.rhai", script)], |builder| {
        let mut options = patchcord::testing::options();
        options.limits.string_size = 10;
        options.limits.array_size = 10;
        builder
            .options(options)
            .async_function("text", |n: i64| async move {
                Ok::<_, String>("x".repeat(n.unsigned_abs() as usize))
            })
            .async_function("list", |n: i64| async move {
                Ok::<_, String>(vec![
                    patchcord::rhai::Dynamic::UNIT;
                    n.unsigned_abs() as usize
                ])
            })
    });
    let ada = host.connect("/").unwrap();
    let large = "the result is larger than `max-string-size` or `max-array-size` allows";
    for word in ["text", "list"] {
        for (n, heard) in [
            (10, format!("{word} [null,false]")),
            (11, format!("{word} [\"{large}\",true]")),
        ] {
            ada.emit(word, [n]);
            host.advance(1);
            assert_eq!(ada.heard(), [heard]);
        }
    }
    assert_eq!(host.problems(), [] as [&str; 0]);
}
