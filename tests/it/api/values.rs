//! Values that pass through a script.

use proptest::{
    collection::{btree_map, vec},
    prelude::*,
};
use serde_json::Value;

use patchcord::testing::TestHost;

/// Returns any JSON whose numbers a script can hold exactly.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Not whole, because a whole float comes back as an integer, as from JavaScript.
        (-1e15..1e15f64)
            .prop_filter("not whole", |x| x.fract() != 0.0)
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

const SCRIPT: &str = r#"fn on_connection(socket) {
    let kept = ();
    socket.on("echo", |value| value);
    socket.on("variable", |value| { kept = value; let copy = kept; [copy][0] });
    socket.on("data", |value| { socket.data.value = value; socket.data.value });
    socket.on("shared", |value| { io.data.value = #{ inside: [value] }; io.data.value.inside[0] });
    socket.on("emit", |value| { socket.emit("back", value); });
}"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_json_comes_back_equal_whatever_the_script_does_with_it(value in json()) {
        let host = TestHost::new(SCRIPT);
        let client = host.connect("/").unwrap();
        for event in ["echo", "variable", "data", "shared"] {
            let answer = client.ask(event, [&value]).unwrap();
            let answer: Vec<Value> = serde_json::from_str(&answer).unwrap();
            // The ack of `()` has no arguments.
            let expected = if value.is_null() { vec![] } else { vec![value.clone()] };
            prop_assert_eq!(answer, expected, "{}", event);
        }
        client.emit("emit", [&value]);
        let heard = client.heard().remove(0);
        let args: Vec<Value> = serde_json::from_str(heard.strip_prefix("back ").unwrap()).unwrap();
        prop_assert_eq!(args, vec![value]);
    }
}
