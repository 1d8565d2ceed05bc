//! Functions of a test client with a variable number of arguments: `emit`, `ask`, `answer`, `expect` and their
//! variants.

use std::{any::TypeId, sync::Arc};

use rhai::{Array, Dynamic, INT, ImmutableString, Module, NativeCallContext};

use super::{
    client::TestClient,
    running::{Fallible, fail, on_host},
};
use crate::{
    api::registration::{function, set_raw, signature},
    diagnostic::type_word,
    value::{self, Packet, register_type, to_packet},
};

/// Maximum number of arguments, the same as that of a script's `emit`.
const MAX_ARGS: usize = 8;

/// Registers these functions.
pub(super) fn register(module: &mut Module) {
    register_type::<Client>(module, "Client", |client| {
        Some(client.0.id().to_owned().into())
    });
    word(module, "emit", &["event: &str"], "()", EMIT, emit);
    word(module, "ask", &["event: &str"], "Dynamic", ASK, ask);
    word(
        module,
        "ask_within",
        &["ms: INT", "event: &str"],
        "Dynamic",
        ASK_WITHIN,
        ask_within,
    );
    word(module, "answer", &[], "()", ANSWER, answer);
    word(module, "expect", &["event: &str"], "Array", EXPECT, expect);
    word(
        module,
        "expect_within",
        &["ms: INT", "event: &str"],
        "Array",
        EXPECT_WITHIN,
        expect_within,
    );
}

/// Client of a test, as a script value.
#[derive(Debug, Clone)]
pub(super) struct Client(pub(super) Arc<TestClient>);

type Word = fn(&TestClient, Vec<Dynamic>) -> Fallible<Dynamic>;

/// Registers a function of a client that accepts the arguments `first` and up to eight more.
fn word(
    module: &mut Module,
    name: &'static str,
    first: &[&str],
    returns: &str,
    doc: &[&str],
    call: Word,
) {
    for more in 0..=MAX_ARGS {
        let types = std::iter::once(TypeId::of::<Client>());
        let types = types.chain(std::iter::repeat_n(
            TypeId::of::<Dynamic>(),
            first.len() + more,
        ));
        let types: Vec<_> = types.collect();
        let args: Vec<_> = (1..=more)
            .map(|place| format!("arg{place}: Dynamic"))
            .collect();
        let args = args.iter().map(String::as_str);
        let parameters: Vec<_> = first.iter().copied().chain(args).collect();
        let doc = if more == 0 { doc } else { &[] };
        let word = function(name, doc, &signature::<Client>(&parameters, returns));
        let native = move |_: Option<NativeCallContext<'_>>, args: &mut [&mut Dynamic]| {
            let Some((client, args)) = args.split_first_mut() else {
                return Ok(Dynamic::UNIT);
            };
            let client = client.flatten_clone().cast::<Client>();
            call(&client.0, args.iter_mut().map(|arg| arg.take()).collect())
        };
        set_raw(word, module, types, native);
    }
}

/// Removes and returns the first argument, which is the name of an event.
fn named(word: &str, args: &mut Vec<Dynamic>) -> Fallible<ImmutableString> {
    match args.remove(0).into_immutable_string() {
        Ok(name) => Ok(name),
        Err(got) => fail(
            format!(
                "`{word}` takes the name of an event, a string, and got {}",
                type_word(got)
            ),
            vec![],
        ),
    }
}

fn emit(client: &TestClient, mut args: Vec<Dynamic>) -> Fallible<Dynamic> {
    let event = named("emit", &mut args)?;
    client.send(&event, args, None);
    Ok(Dynamic::UNIT)
}

fn ask(client: &TestClient, mut args: Vec<Dynamic>) -> Fallible<Dynamic> {
    let event = named("ask", &mut args)?;
    let question = client.ask_values(&event, args);
    match client.answer_to(question) {
        Some(answer) => Ok(one_or_all(&answer)),
        None => fail(format!("expected an answer to `{event}`, got none"), vec![]),
    }
}

fn ask_within(client: &TestClient, mut args: Vec<Dynamic>) -> Fallible<Dynamic> {
    let within = milliseconds("ask_within", &mut args)?;
    let event = named("ask_within", &mut args)?;
    let question = client.ask_values(&event, args);
    match in_time(within, || client.answer_to(question))? {
        Some(answer) => Ok(one_or_all(&answer)),
        None => fail(
            format!("expected an answer to `{event}` within {within} ms, got none"),
            vec![],
        ),
    }
}

/// Returns the value of an ack: `()`, one value, or an array of several values.
fn one_or_all(answer: &Packet) -> Dynamic {
    let mut values = parse(answer);
    match values.len() {
        0 => Dynamic::UNIT,
        1 => values.remove(0),
        _ => values.into(),
    }
}

/// Advances the clock, by at most `within` milliseconds, until `get` returns a value.
fn in_time<T>(within: INT, mut get: impl FnMut() -> Option<T>) -> Fallible<Option<T>> {
    for _ in 0..within {
        if let Some(found) = get() {
            return Ok(Some(found));
        }
        on_host(|host| host.advance(1))?;
    }
    Ok(get())
}

/// Removes and returns the first argument, which is a time in milliseconds.
fn milliseconds(word: &str, args: &mut Vec<Dynamic>) -> Fallible<INT> {
    match args.remove(0).as_int() {
        Ok(ms) => Ok(ms),
        Err(got) => fail(
            format!(
                "`{word}` takes milliseconds first, a whole number, and got {}",
                type_word(got)
            ),
            vec![],
        ),
    }
}

fn answer(client: &TestClient, args: Vec<Dynamic>) -> Fallible<Dynamic> {
    match client.answer_values(args) {
        true => Ok(Dynamic::UNIT),
        false => fail("expected a question of the server, got none", vec![]),
    }
}

fn expect(client: &TestClient, mut args: Vec<Dynamic>) -> Fallible<Dynamic> {
    let event = named("expect", &mut args)?;
    let wanted = wanted(&args)?;
    match client.take(&event, wanted.as_ref()) {
        Some(args) => Ok(parse(&args).into()),
        None => missed(client, &event, wanted.as_ref(), ""),
    }
}

fn expect_within(client: &TestClient, mut args: Vec<Dynamic>) -> Fallible<Dynamic> {
    let within = milliseconds("expect_within", &mut args)?;
    let event = named("expect_within", &mut args)?;
    let wanted = wanted(&args)?;
    match in_time(within, || client.take(&event, wanted.as_ref()))? {
        Some(args) => Ok(parse(&args).into()),
        None => missed(
            client,
            &event,
            wanted.as_ref(),
            &format!(" within {within} ms"),
        ),
    }
}

fn missed(
    client: &TestClient,
    event: &str,
    args: Option<&Packet>,
    when: &str,
) -> Fallible<Dynamic> {
    let args = args.map_or_else(String::new, |args| format!(" with {}", written(args)));
    let heard = client.unheard();
    let got = match heard.as_slice() {
        [] => vec!["got nothing".to_owned()],
        heard => heard
            .iter()
            .map(|(event, args)| format!("got `{event}` with {}", written(args)))
            .collect(),
    };
    fail(format!("expected `{event}`{args}{when}"), got)
}

/// Returns the arguments that an event must have, if there are any.
fn wanted(args: &[Dynamic]) -> Fallible<Option<Packet>> {
    if args.is_empty() {
        return Ok(None);
    }
    match to_packet(None, args) {
        Ok(packet) => Ok(Some(packet)),
        Err(error) => fail(error.to_string(), vec![]),
    }
}

pub(super) fn parse(args: &Packet) -> Array {
    value::args(&args.text, &args.attachments, &value::Limits::default()).unwrap_or_default()
}

/// Returns arguments as text for a message, with the first bytes of binary data.
pub(super) fn written(args: &Packet) -> String {
    const SHOWN: usize = 16;
    let mut text = args.text.clone();
    for (num, bytes) in args.attachments.iter().enumerate() {
        let hex: Vec<_> = bytes
            .iter()
            .take(SHOWN)
            .map(|b| format!("{b:02x}"))
            .collect();
        let more = if bytes.len() > SHOWN { " ..." } else { "" };
        let binary = format!("<{} bytes: {}{more}>", bytes.len(), hex.join(" "));
        let [first, second] = [
            format!("{{\"_placeholder\":true,\"num\":{num}}}"),
            format!("{{\"num\":{num},\"_placeholder\":true}}"),
        ];
        text = text.replace(&first, &binary).replace(&second, &binary);
    }
    text
}

const EMIT: &[&str] = &[
    "/// Sends an event to the server, with up to eight arguments.",
    "///",
    "/// ```rhai",
    "/// let ada = connect(\"/\");",
    "/// ada.emit(\"say\", \"hello\");",
    "/// ```",
];
const ASK: &[&str] = &[
    "/// Sends an event that asks for an ack, and returns the value of the ack, or an array if there are several",
    "/// values. The test fails if there is no ack.",
    "///",
    "/// ```rhai",
    "/// let ada = connect(\"/\");",
    "/// assert_eq(ada.ask(\"say\", \"hello\"), \"sent\");",
    "/// ```",
];
const ASK_WITHIN: &[&str] = &[
    "/// Does the same as `ask`, but advances the clock until the ack arrives, by at most `ms` milliseconds.",
    "///",
    "/// ```rhai",
    "/// let ada = connect(\"/\");",
    "/// assert_eq(ada.ask_within(2000, \"later\"), \"done\");",
    "/// ```",
];
const ANSWER: &[&str] = &[
    "/// Answers the oldest event from the server that is waiting for an ack.",
    "///",
    "/// ```rhai",
    "/// let ada = connect(\"/\");",
    "/// ada.emit(\"quiz\");",
    "/// ada.answer(42);",
    "/// ada.expect(\"answered\", 42);",
    "/// ```",
];
const EXPECT: &[&str] = &[
    "/// Consumes the next event of this name that the client has received, and returns its arguments. Other events",
    "/// before it do not matter. If you pass arguments, consumes the next event of this name with exactly these",
    "/// arguments. The test fails if there is no such event.",
    "///",
    "/// ```rhai",
    "/// let ada = connect(\"/\");",
    "/// ada.emit(\"say\", \"hello\");",
    "/// assert_eq(ada.expect(\"said\"), [\"hello\"]);",
    "/// ```",
];
const EXPECT_WITHIN: &[&str] = &[
    "/// Does the same as `expect`, but advances the clock until the event arrives, by at most `ms` milliseconds.",
    "///",
    "/// ```rhai",
    "/// let ada = connect(\"/\");",
    "/// ada.emit(\"later\");",
    "/// ada.expect_within(2000, \"late\");",
    "/// ```",
];
