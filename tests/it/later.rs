//! Async functions of the application.

use patchcord::testing::TestHost;

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
