//! What a test of a script can say: clients that connect, emit, and expect; edits, time, and shared data.

use std::{any::TypeId, cell::RefCell, rc::Rc, sync::Arc};

use rhai::{
    Array, Dynamic, Engine, EvalAltResult, FnPtr, FuncRegistration, INT, ImmutableString, Map,
    Module, NativeCallContext, Position, RhaiFunc, combine_with_exported_module,
    plugin::export_module,
};

use super::{Refused, TestClient, TestHost};
use crate::{
    api,
    diagnostic::type_word,
    script::{Globals, Known, Limits, Lines, Vocabulary, engine},
    value::{self, to_packet},
};

/// As many as `emit` of a script takes.
const MAX_ARGS: usize = 8;

/// The host of the test that runs on this thread, and what was seen when it failed.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) host: RefCell<TestHost>,
    pub(super) seen: RefCell<Vec<String>>,
}

impl Running {
    pub(super) fn new(host: TestHost) -> Rc<Self> {
        let seen = RefCell::default();
        let host = RefCell::new(host);
        Rc::new(Self { host, seen })
    }

    /// Runs a test, or a part of it.
    pub(super) fn enter<T>(self: &Rc<Self>, test: impl FnOnce() -> T) -> T {
        RUNNING.set(Some(self.clone()));
        let result = test();
        RUNNING.set(None);
        result
    }
}

thread_local! {
    static RUNNING: RefCell<Option<Rc<Running>>> = const { RefCell::new(None) };
}

/// Runs a test against a host, and gives what was seen where it failed.
pub(super) fn with_host<T>(host: TestHost, test: impl FnOnce() -> T) -> (T, TestHost, Vec<String>) {
    let running = Running::new(host);
    let result = running.enter(test);
    let host = running.host.replace(TestHost::with([]));
    (result, host, running.seen.take())
}

/// An engine with the words of tests, and what is known of it.
pub(super) fn test_engine(limits: &Limits) -> (Engine, Known) {
    let mut engine = engine(limits, Globals::new(|_| None, is_client));
    register(&mut engine);
    let known = Known::of(&engine, Vocabulary::NONE);
    (engine, known)
}

/// Lines that can say what tests and scripts can.
pub(super) fn lines(limits: Limits) -> Lines {
    let is_handle = |value: &Dynamic| is_client(value) || (api::GLOBALS.is_handle)(value);
    let mut engine = engine(&limits, Globals::new(api::GLOBALS.resolve, is_handle));
    api::register(&mut engine);
    register(&mut engine);
    Lines::new(engine, api::VOCABULARY, limits)
}

fn is_client(value: &Dynamic) -> bool {
    !value.is_locked() && value.is::<Client>()
}

/// The id of a client, if this is one.
pub(super) fn client_id(value: &Dynamic) -> Option<String> {
    is_client(value).then(|| value.flatten_clone().cast::<Client>().0.id().to_owned())
}

fn register(engine: &mut Engine) {
    let mut module = Module::new();
    module.set_custom_type::<Client>("Client");
    combine_with_exported_module!(&mut module, "testing", words);
    word(&mut module, "emit", &["event: &str"], "()", EMIT, emit);
    word(&mut module, "ask", &["event: &str"], "Dynamic", ASK, ask);
    word(&mut module, "answer", &[], "()", ANSWER, answer);
    word(
        &mut module,
        "expect",
        &["event: &str"],
        "Array",
        EXPECT,
        expect,
    );
    word(
        &mut module,
        "expect_within",
        &["ms: INT", "event: &str"],
        "Array",
        EXPECT_WITHIN,
        expect_within,
    );
    engine.register_global_module(module.into());
}

type Fallible<T = ()> = Result<T, Box<EvalAltResult>>;

fn fail<T>(message: impl Into<String>, seen: Vec<String>) -> Fallible<T> {
    if let Some(running) = RUNNING.with_borrow(Clone::clone) {
        running.seen.replace(seen);
    }
    Err(EvalAltResult::ErrorRuntime(message.into().into(), Position::NONE).into())
}

fn on_host<T>(act: impl FnOnce(&mut TestHost) -> T) -> Fallible<T> {
    match RUNNING.with_borrow(Clone::clone) {
        Some(running) => Ok(act(&mut running.host.borrow_mut())),
        None => fail("there is no test here: write a function `test_...`", vec![]),
    }
}

/// A client of a test.
#[derive(Debug, Clone)]
struct Client(Arc<TestClient>);

type Word = fn(&TestClient, Vec<Dynamic>) -> Fallible<Dynamic>;

/// Registers a word of a client that takes some arguments and up to eight more.
fn word(
    module: &mut Module,
    name: &'static str,
    first: &[&str],
    gives: &str,
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
        let mut info = vec!["client: &mut Client".to_owned()];
        info.extend(first.iter().map(|name| (*name).to_owned()));
        info.extend((1..=more).map(|place| format!("arg{place}: Dynamic")));
        info.push(gives.to_owned());
        let native = move |_: Option<NativeCallContext<'_>>, args: &mut [&mut Dynamic]| {
            let Some((client, args)) = args.split_first_mut() else {
                return Ok(Dynamic::UNIT);
            };
            let client = client.flatten_clone().cast::<Client>();
            call(&client.0, args.iter_mut().map(|arg| arg.take()).collect())
        };
        FuncRegistration::new(name)
            .in_global_namespace()
            .with_params_info(info)
            .with_comments(if more == 0 { doc } else { &[] })
            .set_into_module_raw(
                module,
                types,
                RhaiFunc::Method {
                    func: Arc::new(native),
                    has_context: true,
                    is_pure: true,
                    is_volatile: true,
                },
            );
    }
}

/// The first argument, which is a text.
fn named(word: &str, args: &mut Vec<Dynamic>) -> Fallible<ImmutableString> {
    match args.remove(0).into_immutable_string() {
        Ok(name) => Ok(name),
        Err(got) => fail(
            format!("`{word}` takes the name of an event, a string, and got {got}"),
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
    let Some(answer) = client.ask_values(&event, args) else {
        return fail(format!("expected an answer to `{event}`, got none"), vec![]);
    };
    let mut values = parse(&answer);
    Ok(match values.len() {
        0 => Dynamic::UNIT,
        1 => values.remove(0),
        _ => values.into(),
    })
}

fn answer(client: &TestClient, args: Vec<Dynamic>) -> Fallible<Dynamic> {
    match client.answer_values(args) {
        true => Ok(Dynamic::UNIT),
        false => fail("expected a question of the server, got none", vec![]),
    }
}

fn expect(client: &TestClient, mut args: Vec<Dynamic>) -> Fallible<Dynamic> {
    let event = named("expect", &mut args)?;
    let wanted = (!args.is_empty()).then(|| text(&args)).transpose()?;
    match client.take(&event, wanted.as_deref()) {
        Some(args) => Ok(parse(&args).into()),
        None => missed(client, &event, wanted.as_deref(), ""),
    }
}

fn expect_within(client: &TestClient, mut args: Vec<Dynamic>) -> Fallible<Dynamic> {
    let Ok(within) = args.remove(0).as_int() else {
        return fail("`expect_within` takes milliseconds first", vec![]);
    };
    let event = named("expect_within", &mut args)?;
    let wanted = (!args.is_empty()).then(|| text(&args)).transpose()?;
    for _ in 0..=within {
        if let Some(args) = client.take(&event, wanted.as_deref()) {
            return Ok(parse(&args).into());
        }
        on_host(|host| host.advance(1))?;
    }
    missed(
        client,
        &event,
        wanted.as_deref(),
        &format!(" within {within} ms"),
    )
}

fn missed(client: &TestClient, event: &str, args: Option<&str>, when: &str) -> Fallible<Dynamic> {
    let args = args.map_or_else(String::new, |args| format!(" with {args}"));
    let heard = client.unheard();
    let got = match heard.as_slice() {
        [] => vec!["got nothing".to_owned()],
        heard => heard
            .iter()
            .map(|(event, args)| format!("got `{event}` with {args}"))
            .collect(),
    };
    fail(format!("expected `{event}`{args}{when}"), got)
}

fn text(args: &[Dynamic]) -> Fallible<String> {
    match to_packet(None, args) {
        Ok(packet) => Ok(packet.text),
        Err(error) => fail(error.to_string(), vec![]),
    }
}

fn parse(args: &str) -> Array {
    value::args(args, &[], &value::Limits::default()).unwrap_or_default()
}

/// A value as JSON, or the type of one that has no JSON.
pub(super) fn shown(value: &Dynamic) -> String {
    value::to_json(value).unwrap_or_else(|_| type_word(value.type_name()))
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod words {
    /// A client of `/`.
    ///
    /// ```rhai
    /// let ada = connect();
    /// ```
    #[rhai_fn(name = "connect", return_raw, volatile)]
    pub(super) fn connect_to_main() -> Result<Client, Box<EvalAltResult>> {
        connect("/")
    }

    /// A client of a namespace. The test fails if it is refused.
    ///
    /// ```rhai
    /// let ada = connect("/");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn connect(namespace: &str) -> Result<Client, Box<EvalAltResult>> {
        with_handshake(namespace, Map::new())
    }

    /// A client of a namespace that comes with `auth` or a `query` in its handshake.
    ///
    /// ```rhai
    /// let ada = connect("/", #{ auth: #{ token: "open sesame" }, query: #{ room: "lobby" } });
    /// ```
    #[rhai_fn(name = "connect", return_raw, volatile)]
    pub(super) fn with_handshake(namespace: &str, with: Map) -> Result<Client, Box<EvalAltResult>> {
        match on_host(|host| host.connect_with(namespace, with))? {
            Ok(client) => Ok(Client(client.into())),
            Err(Refused(reason)) => fail(
                format!("`{namespace}` refused the client: {reason}"),
                vec![],
            ),
        }
    }

    /// The reason for which a namespace refuses a client. The test fails if it does not.
    ///
    /// ```rhai
    /// refused("/nowhere", #{}) == "Invalid namespace"
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn refused(namespace: &str, with: Map) -> Result<String, Box<EvalAltResult>> {
        match on_host(|host| host.connect_with(namespace, with))? {
            Ok(_) => fail(
                format!("expected `{namespace}` to refuse the client, got in"),
                vec![],
            ),
            Err(Refused(reason)) => Ok(reason),
        }
    }

    /// The id of its socket.
    #[rhai_fn(get = "id", pure)]
    pub(super) fn id(client: &mut Client) -> ImmutableString {
        client.0.id().into()
    }

    /// Whether the server has not ended the connection, nor the client.
    #[rhai_fn(get = "connected", pure)]
    pub(super) fn connected(client: &mut Client) -> bool {
        client.0.is_connected()
    }

    /// The events that its socket listens to.
    #[rhai_fn(get = "handlers", pure)]
    pub(super) fn handlers(client: &mut Client) -> Array {
        client.0.handlers()
    }

    /// Leaves.
    #[rhai_fn(pure, volatile)]
    pub(super) fn disconnect(client: &mut Client) {
        client.0.disconnect();
    }

    /// Everything that it was sent and that no `expect` has taken: an array of maps `#{ event, args }`.
    #[rhai_fn(pure, volatile)]
    pub(super) fn heard(client: &mut Client) -> Array {
        let heard = client.0.unheard().into_iter();
        let heard = heard.map(|(event, args)| {
            let args = Dynamic::from_array(parse(&args));
            Map::from([("event".into(), event.into()), ("args".into(), args)]).into()
        });
        let heard = heard.collect();
        client.0.forget();
        heard
    }

    /// The test fails if there is such an event among those that it was sent.
    #[rhai_fn(pure, return_raw, volatile)]
    pub(super) fn expect_none(client: &mut Client, event: &str) -> Result<(), Box<EvalAltResult>> {
        let heard = client.0.unheard();
        match heard.iter().find(|(heard, _)| heard == event) {
            Some((_, args)) => fail(
                format!("expected no `{event}`"),
                vec![format!("got `{event}` with {args}")],
            ),
            None => Ok(()),
        }
    }

    /// Moves the clock that timers go by, in milliseconds.
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn advance(ms: INT) -> Result<(), Box<EvalAltResult>> {
        on_host(|host| host.advance(u64::try_from(ms).unwrap_or_default()))
    }

    /// What the connections of a namespace share: its `io.data`.
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn data(namespace: &str) -> Result<Map, Box<EvalAltResult>> {
        on_host(|host| host.data(namespace))
    }

    /// Saves a script and reloads, while clients are connected.
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn edit(file: &str, text: &str) -> Result<(), Box<EvalAltResult>> {
        on_host(|host| host.edit(file, text))
    }

    /// The text of a script as it is now.
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn script(file: &str) -> Result<ImmutableString, Box<EvalAltResult>> {
        match on_host(|host| host.script(file))? {
            Some(text) => Ok(text.into()),
            None => fail(format!("there is no file `{file}`"), vec![]),
        }
    }

    /// What has failed or was refused since this was asked last, as texts. A test that does not ask fails if there is
    /// any.
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn failures() -> Result<Array, Box<EvalAltResult>> {
        on_host(|host| host.problems().into_iter().map(Dynamic::from).collect())
    }

    /// The test fails unless this is true.
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn assert(is_true: bool) -> Result<(), Box<EvalAltResult>> {
        match is_true {
            true => Ok(()),
            false => fail("expected this to be true", vec![]),
        }
    }

    /// The test fails unless both are the same value.
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn assert_eq(got: Dynamic, expected: Dynamic) -> Result<(), Box<EvalAltResult>> {
        match value::same(&got, &expected) {
            true => Ok(()),
            false => fail(
                format!("expected {}", shown(&expected)),
                vec![format!("got {}", shown(&got))],
            ),
        }
    }

    /// The test fails if this closure does not throw; what it throws is given.
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn throws(
        context: NativeCallContext<'_>,
        call: FnPtr,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        match call.call_within_context::<Dynamic>(&context, ()) {
            Ok(_) => fail("expected this to throw", vec![]),
            Err(error) => Ok(error.unwrap_inner().to_string().into()),
        }
    }
}

const EMIT: &[&str] = &["/// Sends an event to the server, with up to eight arguments."];
const ASK: &[&str] = &[
    "/// Sends an event that asks for an ack, and gives the answer: one value, or an array of several. The test fails if",
    "/// there is none.",
];
const ANSWER: &[&str] = &["/// Answers the oldest question of the server that waits for an ack."];
const EXPECT: &[&str] = &[
    "/// Takes the next such event out of those that the client was sent, whatever came before it, and gives its",
    "/// arguments. With arguments it must have exactly these.",
];
const EXPECT_WITHIN: &[&str] =
    &["/// The same; the clock is moved by up to so many milliseconds until the event is there."];
