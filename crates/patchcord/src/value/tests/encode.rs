//! Tests of encoding.

use bytes::Bytes;
use rhai::Dynamic;

use crate::value::{
    Binary, EncodeError, EncodedEvent, Refusal, Written,
    tests::{
        Handle, array, binary, closure, doubling, knot, map, nested, on_a_small_stack, poisoned,
        self_cell, timestamp,
    },
    to_packet,
};

fn text(value: Dynamic) -> String {
    let packet = to_packet(None, &[value]).unwrap();
    assert!(packet.attachments.is_empty());
    packet.text
}

fn refused(value: Dynamic) -> String {
    to_packet(None, &[value]).unwrap_err().to_string()
}

#[test]
fn each_type_has_its_json() {
    assert_eq!(text(().into()), "[null]");
    assert_eq!(text(true.into()), "[true]");
    assert_eq!(text(i64::MIN.into()), "[-9223372036854775808]");
    assert_eq!(text("a\"b\u{1}é".into()), "[\"a\\\"b\\u0001é\"]");
    assert_eq!(text('ß'.into()), "[\"ß\"]");
    assert_eq!(text(array([1_i64.into(), array([])])), "[[1,[]]]");
    assert_eq!(
        text(map([("b", 1_i64.into()), ("a", map([]))])),
        r#"[{"a":{},"b":1}]"#
    );
}

#[test]
fn floats_go_out_as_javascript_writes_them() {
    assert_eq!(text(2.5.into()), "[2.5]");
    assert_eq!(text(3.0.into()), "[3]");
    assert_eq!(text((-0.0).into()), "[0]");
    assert_eq!(text(9_007_199_254_740_992.0.into()), "[9007199254740992]");
    assert_eq!(
        text((-9_223_372_036_854_775_808.0).into()),
        "[-9223372036854775808]"
    );
    let large = text(9_223_372_036_854_775_808.0.into());
    let [large]: [f64; 1] = serde_json::from_str(&large).unwrap();
    assert_eq!(large, 9_223_372_036_854_775_808.0);
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(text(odd.into()), "[null]");
    }
}

#[test]
fn an_event_stands_before_its_arguments() {
    let packet = to_packet(Some("say \"hi\""), &[1_i64.into(), array([2_i64.into()])]).unwrap();
    assert_eq!(packet.text, r#"["say \"hi\"",1,[2]]"#);
    assert_eq!(to_packet(Some("ping"), &[]).unwrap().text, r#"["ping"]"#);
    assert_eq!(to_packet(None, &[]).unwrap().text, "[]");
}

#[test]
fn binary_data_becomes_attachments_in_order() {
    let data = Bytes::from_static(b"shared");
    let nested = map([
        ("a", Dynamic::from_blob(b"blob".to_vec())),
        ("b", binary(b"static")),
    ]);
    let shared = Dynamic::from(Binary::from(data.clone())).into_shared();
    let packet = to_packet(Some("file"), &[nested, shared]).unwrap();
    assert_eq!(
        packet.text,
        r#"["file",{"a":{"_placeholder":true,"num":0},"b":{"_placeholder":true,"num":1}},{"_placeholder":true,"num":2}]"#
    );
    assert_eq!(packet.attachments, [&b"blob"[..], b"static", b"shared"]);
    assert_eq!(packet.attachments[2].as_ptr(), data.as_ptr());
}

#[test]
fn shared_values_are_read_through() {
    let cell = map([("n", Dynamic::from_int(1).into_shared())]).into_shared();
    assert_eq!(text(array([cell.clone(), cell])), r#"[[{"n":1},{"n":1}]]"#);
}

#[test]
fn what_javascript_does_not_have_is_refused_with_its_place() {
    let user = map([("name", "a".into()), ("on_click", closure())]);
    let args = [1_i64.into(), map([("user", user)])];
    let error = to_packet(Some("e"), &args).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a closure cannot be sent: argument 2, at `user.on_click`"
    );
    let EncodeError::Refused {
        what,
        argument,
        path,
    } = error;
    assert_eq!(
        (what, argument, path.as_str()),
        (Refusal::Closure, Some(2), "user.on_click")
    );

    assert_eq!(refused(closure()), "a closure cannot be sent: argument 1");
    assert_eq!(
        refused(array([1_i64.into(), timestamp().into_shared()])),
        "a timestamp cannot be sent: argument 1, at `[1]`"
    );
    assert_eq!(
        refused(map([("my key", array([Dynamic::from(Handle)]))])),
        "a value of type `Handle` cannot be sent: argument 1, at `[\"my key\"][0]`"
    );
    assert_eq!(
        refused(Dynamic::from(vec![String::new()])),
        "a value of type `alloc::vec::Vec<alloc::string::String>` cannot be sent: argument 1"
    );
}

#[test]
fn a_message_stays_short() {
    let long = map([(&*"k".repeat(100_000), closure())]);
    assert!(refused(long).len() < 200);
    assert!(refused(knot()).len() < 200);
}

#[test]
fn a_map_that_would_be_taken_for_an_attachment_is_refused_beside_binary_data() {
    let message =
        "a map whose `_placeholder` is `true`, in a packet with binary data, cannot be sent";
    let forged = map([("_placeholder", true.into()), ("num", 0_i64.into())]);
    let shared = map([("_placeholder", Dynamic::from_bool(true).into_shared())]);
    let bytes: Dynamic = Dynamic::from_blob(vec![1]);
    for forged in [forged, shared] {
        for pair in [
            [forged.clone(), bytes.clone()],
            [bytes.clone(), forged.clone()],
        ] {
            assert!(refused(array(pair)).starts_with(message));
        }
        assert!(
            to_packet(None, &[forged]).is_ok(),
            "without binary data nobody takes it for an attachment"
        );
    }
}

#[test]
fn depth_is_bounded() {
    on_a_small_stack(|| {
        assert!(to_packet(None, &[nested(120)]).is_ok());
        let message = "a value nested more than 120 levels deep cannot be sent: argument 1";
        for value in [nested(121), knot(), self_cell()] {
            assert!(refused(value).starts_with(message));
        }
    });
}

#[test]
fn a_value_that_shares_itself_over_and_over_does_not_hang() {
    let message = "a value of more than 4096 shared variables cannot be sent: argument 1";
    assert!(refused(doubling()).starts_with(message));
}

#[test]
fn a_variable_in_use_is_refused() {
    let cell = Dynamic::from_int(1).into_shared();
    let mut held = cell.clone();
    let guard = held.write_lock::<Dynamic>().unwrap();
    let message = "a variable that is in use cannot be sent: argument 1, at `a`";
    assert_eq!(refused(map([("a", cell)])), message);
    drop(guard);
    assert_eq!(refused(map([("a", poisoned())])), message);
}

#[test]
fn an_event_is_handed_on_as_it_was_encoded() {
    let args = [
        1.5.into(),
        map([("a\"b", 'x'.into()), ("c", array([().into()]))]),
        Dynamic::UNIT.into_shared(),
    ];
    let event = EncodedEvent::new("say \"hi\"", &args).unwrap();
    let expected = r#"[1.5,{"a\"b":"x","c":[null]},null]"#;
    assert_eq!(
        event.packet().text,
        format!(r#"["say \"hi\"",{}"#, &expected[1..])
    );
    assert_eq!(event.arguments().text, expected);
    assert_eq!(
        serde_json::to_string(&Written::event(&event)).unwrap(),
        expected
    );
    assert_eq!(
        serde_json::to_string(&Written::ack(&event.arguments())).unwrap(),
        expected
    );
    let alone = EncodedEvent::new("e", &[]).unwrap();
    assert_eq!(alone.arguments().text, "[]");
    assert_eq!(
        serde_json::to_string(&Written::event(&alone)).unwrap(),
        "[]"
    );
}

#[test]
fn attachments_are_handed_on_as_bytes_where_they_are() {
    // serde_json itself writes `serialize_bytes` as an array of numbers.
    let looks_alike = map([("_placeholder", 1.into()), ("num", 0.into())]);
    let nested = map([("b", binary(&[1, 2])), ("a", array([looks_alike]))]);
    let args = [binary(&[]), nested, "{".into(), Dynamic::from_blob(vec![3])];
    let event = EncodedEvent::new("file", &args).unwrap();
    assert_eq!(
        serde_json::to_string(&Written::event(&event)).unwrap(),
        r#"[[],{"a":[{"_placeholder":1,"num":0}],"b":[1,2]},"{",[3]]"#
    );
}
