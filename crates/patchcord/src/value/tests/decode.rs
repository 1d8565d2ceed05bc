//! Tests of decoding.

use std::{borrow::Cow, error::Error};

use bytes::Bytes;
use rhai::{Array, Dynamic, Map};

use crate::value::{
    Binary, DecodeError, Limits, args, event, same,
    tests::{array, map, on_a_small_stack},
    value,
};

fn read(text: &str) -> Dynamic {
    value(text, &[], &Limits::default()).unwrap()
}

fn refused(text: &str) -> String {
    value(text, &[], &Limits::default())
        .unwrap_err()
        .to_string()
}

#[track_caller]
fn reads(text: &str, expected: impl Into<Dynamic>) {
    let (found, expected) = (read(text), expected.into());
    assert!(same(&found, &expected), "{text}: {found:?}");
}

#[test]
fn each_kind_of_value_has_its_type() {
    reads("null", ());
    reads("true", true);
    reads("-7", -7_i64);
    reads("2.5", 2.5);
    reads("1e3", 1000.0);
    reads(r#""h\u00e9""#, "hé");
    reads(
        "[1, [], \"x\"]",
        array([1_i64.into(), array([]), "x".into()]),
    );
    reads(
        r#"{"b": 1, "a": {}}"#,
        map([("a", map([])), ("b", 1_i64.into())]),
    );
}

#[test]
fn numbers_that_are_no_integer_become_floats() {
    reads("9223372036854775807", i64::MAX);
    reads("-9223372036854775808", i64::MIN);
    reads("9223372036854775808", 9_223_372_036_854_775_808.0);
    reads("18446744073709551616", 18_446_744_073_709_551_616.0);
    reads("3.0", 3.0);
    assert!(read("-0").as_float().unwrap().is_sign_negative());
}

#[test]
fn numbers_are_read_exactly() {
    let text = "9.871578470273117e-285";
    reads(text, text.parse::<f64>().unwrap());
}

#[test]
fn the_last_of_duplicate_keys_wins() {
    reads(r#"{"a": 1, "a": 2}"#, map([("a", 2_i64.into())]));
}

#[test]
fn strings_are_rhai_strings() {
    assert!(read(r#""a string longer than what is kept inline""#).is_string());
}

#[test]
fn an_event_is_its_name_and_arguments() {
    let event = event(
        r#"["chat message", {"text": "hi"}, 2]"#,
        &[],
        &Limits::default(),
    )
    .unwrap();
    assert!(matches!(event.name, Cow::Borrowed("chat message")));
    assert_eq!(event.args.len(), 2);
    assert_eq!(event.args[1].as_int(), Ok(2));
}

#[test]
fn an_escaped_event_name_is_unescaped() {
    let event = event(r#"["say \"hi\""]"#, &[], &Limits::default()).unwrap();
    assert_eq!(event.name, "say \"hi\"");
    assert!(event.args.is_empty());
}

#[test]
fn a_number_is_an_event_name_as_in_node() {
    for (text, name) in [("[5, 1]", "5"), ("[-1, 1]", "-1"), ("[1.5, 1]", "1.5")] {
        let event = event(text, &[], &Limits::default()).unwrap();
        assert_eq!((&*event.name, event.args.len()), (name, 1));
    }
}

#[test]
fn what_is_not_an_event_is_refused() {
    let refused = |text| {
        event(text, &[], &Limits::default())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(refused(r#"{"a": 1}"#), "the payload is not an array");
    assert_eq!(refused("null"), "the payload is not an array");
    assert_eq!(refused("[]"), "the event has no name");
    let name = "the event name is neither a string nor a number";
    for text in ["[[]]", "[null]", "[true, 1]", "[{}]"] {
        assert_eq!(refused(text), name);
    }
    assert_eq!(refused("[nope"), "malformed JSON at line 1, column 3");
    assert_eq!(refused(""), "malformed JSON at line 1, column 0");
    assert_eq!(refused(r#"["a"] []"#), "malformed JSON at line 1, column 7");
}

#[test]
fn the_arguments_of_an_ack_have_no_name() {
    let found = args("[1, null]", &[], &Limits::default()).unwrap();
    assert_eq!(found.len(), 2);
    assert!(args("[]", &[], &Limits::default()).unwrap().is_empty());
    let error = args("1", &[], &Limits::default()).unwrap_err();
    assert!(matches!(error, DecodeError::NotAnArray));
}

#[test]
fn malformed_text_is_refused_with_its_position_and_cause() {
    for text in [
        "",
        "{",
        "[1,]",
        "{\"a\"}",
        "{1: 2}",
        "01",
        "1 2",
        "nul",
        "\"\\ud800\"",
        "\"\n\"",
        "1e999",
    ] {
        let error = value(text, &[], &Limits::default()).unwrap_err();
        assert!(matches!(error, DecodeError::Malformed { .. }), "{text}");
        assert!(error.source().is_some());
    }
    assert_eq!(refused("[1,\n 2,,]"), "malformed JSON at line 2, column 4");
}

#[test]
fn a_placeholder_becomes_its_attachment() {
    let attachments = [Bytes::from_static(b"zero"), Bytes::from_static(b"one")];
    let text = r#"["file", {"_placeholder":true,"num":1}, [{"num":0,"_placeholder":true}], {"_placeholder":true,"num":1}]"#;
    let args = event(text, &attachments, &Limits::default()).unwrap().args;
    let first = args[0].read_lock::<Binary>().unwrap();
    assert_eq!(first.as_bytes().as_ptr(), attachments[1].as_ptr());
    let inner = args[1].read_lock::<Array>().unwrap()[0].clone_cast::<Binary>();
    assert_eq!(*inner.as_bytes(), attachments[0]);
    assert_eq!(args[2].clone_cast::<Binary>(), *first);
}

#[test]
fn a_wrong_placeholder_is_refused() {
    let one = [Bytes::from_static(b"x")];
    let refused = |num: &str| {
        let text = format!(r#"{{"_placeholder":true,"num":{num}}}"#);
        value(&text, &one, &Limits::default())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused("1"),
        "placeholder for attachment 1 in a packet with 1"
    );
    assert_eq!(
        refused("-1"),
        "placeholder for attachment -1 in a packet with 1"
    );
    assert_eq!(refused("0.5"), "placeholder whose `num` is not an integer");
    assert_eq!(
        refused("\"0\""),
        "placeholder whose `num` is not an integer"
    );
    assert_eq!(refused("null"), "placeholder whose `num` is not an integer");
}

#[test]
fn what_only_resembles_a_placeholder_is_a_map() {
    for text in [
        r#"{"_placeholder":false,"num":0}"#,
        r#"{"_placeholder":1,"num":0}"#,
        r#"{"_placeholder":true}"#,
        r#"{"num":0}"#,
        r#"{"_placeholder":true,"num":0,"more":1}"#,
        r#"{"_placeholder":true,"number":0}"#,
    ] {
        let one = [Bytes::from_static(b"x")];
        assert!(
            value(text, &one, &Limits::default()).unwrap().is_map(),
            "{text}"
        );
    }
}

#[test]
fn each_limit_is_reached_and_not_exceeded() {
    let mut limits = Limits::default();
    (
        limits.max_string,
        limits.max_array,
        limits.max_map,
        limits.max_depth,
    ) = (3, 2, 1, 2);
    let cases = [
        ("\"abc\"", "\"abcd\"", "string of more than 3 bytes"),
        (
            "\"h\u{e9}\"",
            "\"\u{e9}\u{e9}\"",
            "string of more than 3 bytes",
        ),
        (
            r#"{"abc":1}"#,
            r#"{"abcd":1}"#,
            "string of more than 3 bytes",
        ),
        ("[1,2]", "[1,2,3]", "array of more than 2 elements"),
        (
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"b":2}"#,
            "map of more than 1 entries",
        ),
        (
            r#"[{"a":1}]"#,
            r#"[{"a":[]}]"#,
            "nested more than 2 levels deep",
        ),
        ("[[]]", "[[{}]]", "nested more than 2 levels deep"),
    ];
    for (good, bad, message) in cases {
        assert!(value(good, &[], &limits).is_ok(), "{good}");
        assert_eq!(value(bad, &[], &limits).unwrap_err().to_string(), message);
    }
}

#[test]
fn limits_hold_for_events_and_their_arguments() {
    let mut limits = Limits::default();
    (limits.max_string, limits.max_array, limits.max_depth) = (3, 2, 1);
    let refused = |text| event(text, &[], &limits).unwrap_err().to_string();
    assert!(event(r#"["abc",[1],2]"#, &[], &limits).is_ok());
    assert_eq!(refused(r#"["abcd"]"#), "string of more than 3 bytes");
    assert_eq!(refused(r#"["\u0061bcd"]"#), "string of more than 3 bytes");
    assert_eq!(refused(r#"["a",1,2,3]"#), "array of more than 2 elements");
    assert_eq!(refused(r#"["a",[[]]]"#), "nested more than 1 levels deep");
    assert!(args("[1,2,3]", &[], &limits).is_err());
}

#[test]
fn a_limit_of_zero_is_not_special() {
    let mut limits = Limits::default();
    (
        limits.max_string,
        limits.max_array,
        limits.max_map,
        limits.max_depth,
    ) = (0, 0, 0, 1);
    for (good, bad) in [("\"\"", "\"a\""), ("[]", "[1]"), ("{}", r#"{"":1}"#)] {
        assert!(value(good, &[], &limits).is_ok(), "{good}");
        assert!(value(bad, &[], &limits).is_err(), "{bad}");
    }
    limits.max_depth = 0;
    assert!(value("1", &[], &limits).is_ok());
    assert!(value("[]", &[], &limits).is_err());
}

#[test]
fn deep_nesting_is_refused_by_our_own_limit() {
    on_a_small_stack(|| {
        let nested = |open: &str, close: &str, depth| {
            format!("{}1{}", open.repeat(depth), close.repeat(depth))
        };
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            assert!(value(&nested(open, close, 64), &[], &Limits::default()).is_ok());
            for text in [
                nested(open, close, 65),
                nested(open, close, 200),
                open.repeat(100_000),
            ] {
                assert_eq!(refused(&text), "nested more than 64 levels deep");
                let text = format!("[\"e\",{text}]");
                let event = event(&text, &[], &Limits::default());
                assert!(matches!(event, Err(DecodeError::TooDeep { limit: 64 })));
            }
        }
        let limits = Limits {
            max_depth: usize::MAX,
            ..Limits::default()
        };
        let error = args(&"[".repeat(1000), &[], &limits).unwrap_err();
        assert_eq!(error.to_string(), "nested more than 120 levels deep");
        assert!(value(&nested("[", "]", 120), &[], &limits).is_ok());
    });
}

#[test]
fn a_map_keeps_all_its_keys() {
    let found = read(r#"{"zeta":1,"":2,"a key that is longer than what is kept inline":3}"#);
    let keys: Vec<_> = found.read_lock::<Map>().unwrap().keys().cloned().collect();
    assert_eq!(
        keys,
        ["", "a key that is longer than what is kept inline", "zeta"]
    );
}
