//! Test of a script in Rust, in memory. Run `cargo run --example test_script`: it exits without output on success.

use patchcord::testing::{Refused, TestHost};

fn main() -> Result<(), Refused> {
    let mut host = TestHost::new(
        "fn on_connection(socket) { let n = 0; socket.on(\"add\", |x| { n += x; n }); }",
    );
    let ada = host.connect("/")?;
    assert_eq!(ada.ask("add", [1]).as_deref(), Some("[1]"));

    // The edit changes the code while the client is connected, and the client keeps its number.
    host.edit(
        "main.rhai",
        "fn on_connection(socket) { let n = 0; socket.on(\"add\", |x| { n += 10 * x; n }); }",
    );
    assert_eq!(ada.ask("add", [1]).as_deref(), Some("[11]"));
    assert!(host.problems().is_empty());
    Ok(())
}
