//! Properties that hold for every value and every input.

use bytes::Bytes;
use proptest::{collection, prelude::*};
use rhai::{Array, Blob, Dynamic, Map};
use serde_json::{Value, json};

use crate::value::{
    Binary, EncodedEvent, Limits, Written, args, event, plain, same, tests::on_a_small_stack,
    to_json, to_packet, value,
};

/// Model of a value that a script may send, from which both sides are built.
#[derive(Debug, Clone)]
enum Model {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Blob(Vec<u8>),
    Binary(Vec<u8>),
    Array(Vec<Model>),
    Map(Vec<(String, Model)>),
    Shared(Box<Model>),
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,40}",
        Just("num".to_owned()),
        "[\"\\\\\\x00-\\x1f\u{2028}]{0,4}"
    ]
}

fn model() -> impl Strategy<Value = Model> {
    let number = prop_oneof![any::<f64>(), any::<i32>().prop_map(f64::from)];
    let leaf = prop_oneof![
        Just(Model::Null),
        any::<bool>().prop_map(Model::Bool),
        any::<i64>().prop_map(Model::Int),
        number.prop_map(Model::Float),
        text().prop_map(Model::Text),
        any::<Vec<u8>>().prop_map(Model::Blob),
        any::<Vec<u8>>().prop_map(Model::Binary),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..8).prop_map(Model::Array),
            collection::vec((text(), inner.clone()), 0..8).prop_map(Model::Map),
            inner.prop_map(|model| Model::Shared(Box::new(model))),
        ]
    })
}

impl Model {
    fn to_dynamic(&self) -> Dynamic {
        match self {
            Self::Null => Dynamic::UNIT,
            Self::Bool(flag) => (*flag).into(),
            Self::Int(int) => (*int).into(),
            Self::Float(float) => (*float).into(),
            Self::Text(text) => text.into(),
            Self::Blob(bytes) => Dynamic::from_blob(bytes.clone()),
            Self::Binary(bytes) => Dynamic::from(Binary::from(bytes.clone())),
            Self::Array(array) => Dynamic::from_array(array.iter().map(Self::to_dynamic).collect()),
            Self::Map(map) => {
                let entries = map
                    .iter()
                    .map(|(key, value)| (key.into(), value.to_dynamic()));
                Dynamic::from_map(entries.collect())
            }
            Self::Shared(content) => content.to_dynamic().into_shared(),
        }
    }
}

/// Returns the JSON of a value, by a second, independent implementation of the rules. Appends its attachments in order.
fn as_json(value: &Dynamic, attachments: &mut Vec<Bytes>) -> Value {
    let mut attach = |bytes: Bytes| {
        attachments.push(bytes);
        json!({ "_placeholder": true, "num": attachments.len() - 1 })
    };
    let value = value.flatten_clone();
    match value.type_name() {
        "()" => Value::Null,
        "bool" => value.as_bool().unwrap().into(),
        "i64" => value.as_int().unwrap().into(),
        "f64" => number(value.as_float().unwrap()),
        "string" => value.into_string().unwrap().into(),
        "blob" => attach(value.cast::<Blob>().into()),
        "array" => {
            let array = value.cast::<Array>();
            array
                .iter()
                .map(|item| as_json(item, attachments))
                .collect()
        }
        "map" => {
            let map = value.cast::<Map>();
            let entries = map.iter();
            entries
                .map(|(key, item)| (key.to_string(), as_json(item, attachments)))
                .collect()
        }
        _ => attach(value.cast::<Binary>().as_bytes().clone()),
    }
}

fn number(float: f64) -> Value {
    let digits = format!("{float:.0}").parse::<i64>();
    match digits {
        Ok(int) if float.fract() == 0.0 && int != i64::MAX => int.into(),
        _ => float.into(),
    }
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    (
        limits.max_string,
        limits.max_array,
        limits.max_map,
        limits.max_depth,
    ) = (30, 5, 5, 5);
    limits
}

/// Decodes a text in all three ways. The results can be sent or are rejected, but nothing panics.
fn decode_all(text: &str, attachments: &[Bytes]) {
    for limits in [limits(), Limits::default()] {
        if let Ok(event) = event(text, attachments, &limits) {
            let _ = to_packet(Some(&event.name), &event.args);
        }
        let _ = args(text, attachments, &limits).map(|args| to_packet(None, &args));
        let _ = value(text, attachments, &limits).map(|value| plain(&value));
    }
}

fn json_like() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "\"",
        "\\",
        "\\u12",
        "\\ud800",
        "null",
        "true",
        "1",
        "-",
        "0",
        "1e400",
        ".5",
        " ",
        "\"a\"",
        "\"_placeholder\":true",
        "\"num\":",
        "\"num\":0",
        "é",
        "[[[[",
        "{\"a\":",
        "]]]]",
        "\u{0}",
    ]);
    collection::vec(token, 0..200).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn a_round_trip_changes_nothing(models in collection::vec(model(), 0..4), name in text()) {
        let sent: Vec<_> = models.iter().map(Model::to_dynamic).collect();
        let packet = to_packet(Some(&name), &sent).unwrap();

        let mut attachments = Vec::new();
        let mut expected = vec![Value::from(name.clone())];
        expected.extend(sent.iter().map(|value| as_json(value, &mut attachments)));
        let read: Value = serde_json::from_str(&packet.text).unwrap();
        prop_assert_eq!(read, Value::Array(expected.clone()));
        prop_assert_eq!(&packet.attachments, &attachments);

        let event = event(&packet.text, &packet.attachments, &Limits::default()).unwrap();
        prop_assert_eq!(&event.name, &name);
        let mut again = Vec::new();
        let received: Vec<_> = event.args.iter().map(|value| as_json(value, &mut again)).collect();
        prop_assert_eq!(received.as_slice(), &expected[1..]);
        prop_assert_eq!(again, attachments);
        prop_assert_eq!(to_packet(Some(&name), &event.args).unwrap(), packet);
    }

    #[test]
    fn what_is_handed_on_is_what_was_encoded(models in collection::vec(model(), 0..4), name in text()) {
        let sent: Vec<_> = models.iter().map(Model::to_dynamic).collect();
        let packet = to_packet(None, &sent).unwrap();
        let event = EncodedEvent::new(&name, &sent).unwrap();
        prop_assert_eq!(&event.arguments(), &packet);
        let written = serde_json::to_string(&Written::event(&event)).unwrap();
        prop_assert_eq!(&serde_json::to_string(&Written::ack(&packet)).unwrap(), &written);
        // serde_json writes the bytes themselves, where a packet has the placeholders of attachments.
        let bytes: Vec<_> = sent.iter().map(|value| to_json(value).unwrap()).collect();
        prop_assert_eq!(written, format!("[{}]", bytes.join(",")));
    }

    #[test]
    fn a_plain_copy_is_the_same(model in model()) {
        let value = model.to_dynamic();
        let copy = plain(&value).unwrap();
        prop_assert!(same(&value, &copy));
        prop_assert!(same(&copy, &value));
    }

    #[test]
    fn comparing_is_symmetric(a in model(), b in model()) {
        let (a, b) = (a.to_dynamic(), b.to_dynamic());
        prop_assert_eq!(same(&a, &b), same(&b, &a));
    }

    #[test]
    fn a_value_reads_as_serde_json_reads_it(model in model()) {
        let mut attachments = Vec::new();
        let text = as_json(&model.to_dynamic(), &mut attachments).to_string();
        let value = value(&text, &attachments, &Limits::default()).unwrap();
        let mut again = Vec::new();
        prop_assert_eq!(as_json(&value, &mut again).to_string(), text);
        prop_assert_eq!(again, attachments);
    }

    #[test]
    fn any_text_is_decoded_or_refused(text in ".{0,200}") {
        on_a_small_stack(move || decode_all(&text, &[]));
    }

    #[test]
    fn text_that_resembles_json_is_decoded_or_refused(text in json_like()) {
        on_a_small_stack(move || decode_all(&text, &[Bytes::from_static(b"x")]));
    }

    #[test]
    fn a_damaged_packet_is_decoded_or_refused(
        models in collection::vec(model(), 0..4),
        damage in collection::vec((any::<prop::sample::Index>(), any::<char>()), 1..4),
    ) {
        let sent: Vec<_> = models.iter().map(Model::to_dynamic).collect();
        let packet = to_packet(Some("event"), &sent).unwrap();
        let mut letters: Vec<char> = packet.text.chars().collect();
        for (index, letter) in damage {
            let index = index.index(letters.len());
            letters[index] = letter;
        }
        let text: String = letters.into_iter().collect();
        on_a_small_stack(move || decode_all(&text, &packet.attachments));
    }
}
