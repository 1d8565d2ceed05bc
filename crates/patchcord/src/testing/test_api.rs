//! Functions for tests of scripts: clients that connect, emit and expect; edits, time and shared data.

use rhai::{
    Array, Dynamic, Engine, EvalAltResult, FnPtr, INT, ImmutableString, Map, Module,
    NativeCallContext, combine_with_exported_module, plugin::export_module,
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    client_api::{self, Client, parse, written},
    host::TestHost,
    running::{Fallible, fail, on_host, print},
    runtime::Refused,
};
use crate::{
    api,
    diagnostic::type_word,
    event::MetricValue,
    host::{Options, Services, metric_labels},
    script::{ApiReference, EngineBuilder, Globals, Limits, ReplSession, SymbolTable, Vocabulary},
    value::{self, to_packet},
};

/// Creates an engine with the functions for tests, and its symbols.
pub(super) fn test_engine(limits: &Limits) -> (Engine, SymbolTable) {
    let mut binary = Module::new();
    api::register_binary(&mut binary);
    let engine = EngineBuilder::new(limits);
    Services::new(&Options::default(), true)
        .with_pure_modules(engine)
        .globals(Globals::new(|_| None, is_client))
        .functions(binary)
        .register(register)
        .register(|engine| {
            engine.on_print(print).on_debug(|text, _, _| print(text));
        })
        .build()
}

/// Returns the reference, in Markdown, of the functions that tests of scripts can call in addition to those of scripts.
///
/// ```
/// assert!(patchcord::testing::reference().contains("### `client.expect(event, ...)`"));
/// ```
pub fn reference() -> String {
    let of_tests = test_engine(&Limits::default()).0;
    let of_scripts = TestHost::with([]).engine().build().0;
    let words = |engine| ApiReference::new(engine, Vocabulary::default());
    words(&of_tests).without(&words(&of_scripts)).all()
}

/// Creates a REPL session that can call the functions of tests and of scripts.
pub(super) fn lines(host: &TestHost, limits: Limits) -> ReplSession {
    let is_handle = |value: &Dynamic| is_client(value) || (api::GLOBALS.is_handle)(value);
    let engine = host.engine();
    let (engine, known) = engine
        .globals(Globals::new(api::GLOBALS.resolve, is_handle))
        .register(register)
        .build();
    ReplSession::new(engine, known, limits)
}

fn is_client(value: &Dynamic) -> bool {
    !value.is_locked() && value.is::<Client>()
}

/// Returns the id of a client, if `value` is one.
pub(super) fn client_id(value: &Dynamic) -> Option<String> {
    is_client(value).then(|| value.flatten_clone().cast::<Client>().0.id().to_owned())
}

fn register(engine: &mut Engine) {
    let mut module = Module::new();
    client_api::register(&mut module);
    combine_with_exported_module!(&mut module, "testing", words);
    #[cfg(feature = "sql")]
    combine_with_exported_module!(&mut module, "databases", sql_words);
    engine.register_global_module(module.into());
}

/// Checks that a handshake has only `auth` and `query`.
fn check_handshake(with: &Map) -> Fallible {
    match with
        .keys()
        .find(|key| !["auth", "query"].contains(&key.as_str()))
    {
        Some(key) => fail(
            format!("a client comes with `auth` and `query`, and not with `{key}`"),
            vec![],
        ),
        None => Ok(()),
    }
}

/// Returns `true` if both values have the same binary data in their encoded forms. The values have different types: a
/// client receives a `Binary`, and a test creates a `blob`.
fn same_bytes(got: &Dynamic, expected: &Dynamic) -> bool {
    let packet = |value: &Dynamic| to_packet(None, std::slice::from_ref(value)).ok();
    packet(got).is_some_and(|got| {
        !got.attachments.is_empty() && packet(expected).is_some_and(|expected| got == expected)
    })
}

/// Returns a value as JSON, or its type if JSON cannot represent it.
pub(super) fn shown(value: &Dynamic) -> String {
    value::to_json(value).unwrap_or_else(|_| type_word(value.type_name()))
}

/// Converts data of the host to a script value.
fn as_data(data: &impl Serialize) -> Dynamic {
    let text = serde_json::to_string(data).unwrap_or_default();
    value::value(&text, &[], &value::Limits::default()).unwrap_or_default()
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod words {
    /// Connects a client to `/`.
    ///
    /// ```rhai
    /// let ada = connect();
    /// ```
    #[rhai_fn(name = "connect", return_raw, volatile)]
    pub(super) fn connect_to_main() -> Result<Client, Box<EvalAltResult>> {
        connect("/")
    }

    /// Connects a client to a namespace. The test fails if the client is rejected.
    ///
    /// ```rhai
    /// let ada = connect("/");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn connect(namespace: &str) -> Result<Client, Box<EvalAltResult>> {
        with_handshake(namespace, Map::new())
    }

    /// Connects a client to a namespace, with `auth` or a `query` in its handshake.
    ///
    /// ```rhai
    /// let ada = connect("/", #{ auth: #{ token: "open sesame" }, query: #{ room: "lobby" } });
    /// ```
    #[rhai_fn(name = "connect", return_raw, volatile)]
    pub(super) fn with_handshake(namespace: &str, with: Map) -> Result<Client, Box<EvalAltResult>> {
        check_handshake(&with)?;
        match on_host(|host| host.connect_with(namespace, with))? {
            Ok(client) => Ok(Client(client.into())),
            Err(Refused(reason)) => fail(
                format!("`{namespace}` refused the client: {reason}"),
                vec![],
            ),
        }
    }

    /// Returns the reason why a namespace rejects a client. The test fails if the client is accepted.
    ///
    /// ```rhai
    /// assert_eq(refused("/nowhere", #{}), "Invalid namespace");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn refused(namespace: &str, with: Map) -> Result<String, Box<EvalAltResult>> {
        check_handshake(&with)?;
        match on_host(|host| host.connect_with(namespace, with))? {
            Ok(_) => fail(
                format!("expected `{namespace}` to refuse the client, got in"),
                vec![],
            ),
            Err(Refused(reason)) => Ok(reason),
        }
    }

    /// Id of the client's socket.
    ///
    /// ```rhai
    /// let ada = connect("/");
    /// assert_eq(inspect(ada).socket, ada.id);
    /// ```
    #[rhai_fn(get = "id", pure)]
    pub(super) fn id(client: &mut Client) -> ImmutableString {
        client.0.id().into()
    }

    /// `true` until the server or the client closes the connection.
    ///
    /// ```rhai
    /// let ada = connect("/");
    /// ada.disconnect();
    /// assert(!ada.connected);
    /// ```
    #[rhai_fn(get = "connected", pure)]
    pub(super) fn connected(client: &mut Client) -> bool {
        client.0.is_connected()
    }

    /// Names of the events to which the client's socket listens on the server.
    ///
    /// ```rhai
    /// let ada = connect("/");
    /// assert(ada.handlers.contains("say"));
    /// ```
    #[rhai_fn(get = "handlers", pure)]
    pub(super) fn handlers(client: &mut Client) -> Array {
        client.0.handlers()
    }

    /// Disconnects the client from its namespace.
    ///
    /// ```rhai
    /// let ada = connect("/");
    /// ada.disconnect();
    /// ```
    #[rhai_fn(pure, volatile)]
    pub(super) fn disconnect(client: &mut Client) {
        client.0.disconnect();
    }

    /// Returns all events that the client has received and no `expect` has consumed, as an array of maps
    /// `#{ event, args }`. Each event is returned only once.
    ///
    /// ```rhai
    /// let ada = connect("/");
    /// assert_eq(ada.heard().map(|one| one.event), ["welcome"]);
    /// ```
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

    /// Fails the test if the client has received an event with this name that no `expect` has consumed.
    ///
    /// ```rhai
    /// let ada = connect("/");
    /// ada.expect_none("said");
    /// ```
    #[rhai_fn(pure, return_raw, volatile)]
    pub(super) fn expect_none(client: &mut Client, event: &str) -> Result<(), Box<EvalAltResult>> {
        let heard = client.0.unheard();
        match heard.iter().find(|(heard, _)| heard == event) {
            Some((_, args)) => fail(
                format!("expected no `{event}`"),
                vec![format!("got `{event}` with {}", written(args))],
            ),
            None => Ok(()),
        }
    }

    /// Advances the clock of timers by `ms` milliseconds, and runs everything that becomes due.
    ///
    /// ```rhai
    /// let ada = connect("/");
    /// ada.emit("later");
    /// advance(1000);
    /// ada.expect("late");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn advance(ms: INT) -> Result<(), Box<EvalAltResult>> {
        on_host(|host| host.advance(u64::try_from(ms).unwrap_or_default()))
    }

    /// Advances the clock of schedules to a time, and runs everything that becomes due. A schedule is set by `cron`. The
    /// clock starts on 1 January 2026 at 00:00 UTC, and `advance` moves it too; `now_ms()` does not follow it.
    ///
    /// ```rhai
    /// let ada = connect("/");
    /// advance_to("2026-03-29T03:00:00Z");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn advance_to(time: &str) -> Result<(), Box<EvalAltResult>> {
        on_host(|host| host.advance_to(time))?.or_else(|error| fail(error, vec![]))
    }

    /// Returns the value of a metric that scripts count: a number for `metrics::incr` and `metrics::gauge`, a map
    /// `#{ count, sum_ms }` for `metrics::time`, and `()` if nothing has counted it.
    ///
    /// ```rhai
    /// let ada = connect("/");
    /// ada.emit("say", "hello");
    /// assert_eq(metric("messages"), 1);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn metric(name: &str) -> Result<Dynamic, Box<EvalAltResult>> {
        metric_of(name, Map::new())
    }

    /// Returns the value of a metric for these labels.
    ///
    /// ```rhai
    /// let ada = connect("/");
    /// ada.emit("say", "hello");
    /// assert_eq(metric("messages_of_room", #{ room: "lobby" }), 1);
    /// ```
    #[rhai_fn(name = "metric", return_raw, volatile)]
    pub(super) fn metric_of(name: &str, labels: Map) -> Result<Dynamic, Box<EvalAltResult>> {
        let labels = metric_labels("metric", &labels)?;
        Ok(match on_host(|host| host.metric(name, &labels))? {
            Some(MetricValue::Counter(count)) => INT::try_from(count).unwrap_or(INT::MAX).into(),
            Some(MetricValue::Gauge(value)) => value.into(),
            Some(MetricValue::Time {
                count, sum_seconds, ..
            }) => {
                let count = INT::try_from(count).unwrap_or(INT::MAX);
                let sum = sum_seconds * 1_000.0;
                Map::from([
                    ("count".into(), count.into()),
                    ("sum_ms".into(), sum.into()),
                ])
                .into()
            }
            None => Dynamic::UNIT,
        })
    }

    /// Sets a variable of the environment, as scripts read it with `env`. The variables of the real environment are not
    /// used in tests.
    ///
    /// ```rhai
    /// env_is("CHAT_TOKEN", "open sesame");
    /// let ada = connect("/");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn env_is(name: &str, value: &str) -> Result<(), Box<EvalAltResult>> {
        on_host(|host| host.set_env(name, value))
    }

    /// Sets the answer to HTTP requests of scripts: `status` (200), `headers`, and `json` or `body`; or `error`, the text
    /// of a failure. The URL may end with `*`, and have a method before it: `"POST https://example.com/*"`. In tests,
    /// nothing is sent to the network. A request without an answer fails.
    ///
    /// ```rhai
    /// http_answer("https://api.example.com/users/7", #{ json: #{ name: "Ada" } });
    /// let ada = connect("/");
    /// ```
    #[cfg(feature = "http")]
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn http_answer(url: &str, answer: Map) -> Result<(), Box<EvalAltResult>> {
        on_host(|host| host.http()?.set(url, answer))?.or_else(|problem| fail(problem, vec![]))
    }

    /// Returns the HTTP requests of scripts since the last call, as an array of maps: `method`, `url`, `headers` and
    /// `body`.
    ///
    /// ```rhai
    /// assert_eq(http_requests().len(), 0);
    /// ```
    #[cfg(feature = "http")]
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn http_requests() -> Result<Array, Box<EvalAltResult>> {
        let requests = on_host(|host| Ok(host.http()?.take_requests()))?;
        let requests = requests.or_else(|problem: String| fail(problem, vec![]))?;
        Ok(requests.into_iter().map(Dynamic::from_map).collect())
    }

    /// Returns the `io.data` of a namespace, which its connections share.
    ///
    /// ```rhai
    /// let ada = connect("/");
    /// ada.emit("count");
    /// assert_eq(data("/").count, 1);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn data(namespace: &str) -> Result<Map, Box<EvalAltResult>> {
        on_host(|host| host.data(namespace))
    }

    /// Saves a script and reloads it while clients are connected. Returns the report of the save as a map: `namespace`,
    /// `version`, `rebound`, `code`, `variables` and so on. Returns `()` if the save was rejected, or if it changes
    /// nothing.
    ///
    /// ```rhai
    /// let ada = connect("/");
    /// ada.emit("hit");
    /// let text = script("main.rhai") + "// a comment";
    /// assert_eq(edit("main.rhai", text).rebound, 1);
    /// assert_eq(ada.ask("hit"), 2);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn edit(file: &str, text: &str) -> Result<Dynamic, Box<EvalAltResult>> {
        on_host(|host| as_data(&host.saved(file, text)))
    }

    /// Replaces every occurrence of `old` in a script, saves the script, and returns the report as `edit(file, text)`
    /// does. The test fails if `old` does not occur.
    ///
    /// ```rhai
    /// let ada = connect("/");
    /// edit("main.rhai", "let score = 0", "let score = 10");
    /// assert_eq(ada.ask("hit"), 11);
    /// ```
    #[rhai_fn(name = "edit", return_raw, volatile)]
    pub(super) fn edit_part(
        file: &str,
        old: &str,
        new: &str,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        let text = script(file)?;
        match !old.is_empty() && text.contains(old) {
            true => edit(file, &text.replace(old, new)),
            false => fail(format!("`{file}` does not contain `{old}`"), vec![]),
        }
    }

    /// Returns the report that saving a script would produce, in the format of `edit`. Saves nothing.
    ///
    /// ```rhai
    /// let ada = connect("/");
    /// let text = script("main.rhai");
    /// text.replace("score += 1", "score += 2");
    /// assert_eq(preview("main.rhai", text).rebound, 1);
    /// assert_eq(ada.ask("hit"), 1);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn preview(file: &str, text: &str) -> Result<Dynamic, Box<EvalAltResult>> {
        on_host(|host| as_data(&host.previewed(file, text)))
    }

    /// Returns the state of a client's connection: `version`, `listeners`, `timers`, `acks`, `rooms`, `present`,
    /// `data`, `variables`, and `vars`, the values of the variables by name.
    ///
    /// ```rhai
    /// let ada = connect("/");
    /// ada.emit("hit");
    /// assert_eq(inspect(ada).vars.score, 1);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn inspect(client: Client) -> Result<Dynamic, Box<EvalAltResult>> {
        match on_host(|host| host.inspect(client.0.id()))? {
            Ok(inspection) => {
                let mut seen = as_data(&inspection);
                let variables = inspection.variables.iter();
                let vars = variables.map(|one| (one.name.as_str().into(), as_data(&one.value)));
                let vars: Map = vars.collect();
                if let Ok(mut seen) = seen.as_map_mut() {
                    seen.insert("vars".into(), vars.into());
                }
                Ok(seen)
            }
            Err(problem) => fail(problem.to_string(), vec![]),
        }
    }

    /// Explains, as a string, why an event of a client has a listener, or has none.
    ///
    /// ```rhai
    /// let ada = connect("/");
    /// edit("main.rhai", "\"say\"", "\"speak\"");
    /// assert(why("say", ada).starts_with("not listened to since version 2"));
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn why(event: &str, client: Client) -> Result<String, Box<EvalAltResult>> {
        match on_host(|host| host.why(event, Some(client.0.id())))? {
            Ok(why) => Ok(why
                .answers
                .first()
                .map(ToString::to_string)
                .unwrap_or_default()),
            Err(problem) => fail(problem.to_string(), vec![]),
        }
    }

    /// Calls `on_api` of a namespace, as a backend does by the HTTP API, and returns the answer. The test fails if the
    /// script throws.
    ///
    /// ```rhai
    /// assert_eq(call_api("/", "add", [1, 2]), 3);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn call_api(
        namespace: &str,
        name: &str,
        args: Array,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        let args = match to_packet(None, &args) {
            Ok(args) => args,
            Err(problem) => return fail(problem.to_string(), vec![]),
        };
        let args = RawValue::from_string(args.text);
        match on_host(|host| host.call(namespace, name, args.unwrap_or_default()))? {
            Ok(answer) => Ok(as_data(&answer)),
            Err(problem) => fail(problem.to_string(), vec![]),
        }
    }

    /// Returns the current text of a script.
    ///
    /// ```rhai
    /// assert(script("main.rhai").contains("on_connection"));
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn script(file: &str) -> Result<ImmutableString, Box<EvalAltResult>> {
        match on_host(|host| host.script(file))? {
            Some(text) => Ok(text.into()),
            None => fail(format!("there is no file `{file}`"), vec![]),
        }
    }

    /// Returns the failures of handlers and the rejected saves since the last call, as an array of strings. A failure
    /// that the test does not retrieve in this way fails the test.
    ///
    /// ```rhai
    /// let ada = connect("/");
    /// ada.emit("fail");
    /// assert(failures()[0].contains("on purpose"));
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn failures() -> Result<Array, Box<EvalAltResult>> {
        on_host(|host| host.problems().into_iter().map(Dynamic::from).collect())
    }

    /// Fails the test unless `is_true` is `true`.
    ///
    /// ```rhai
    /// assert(1 + 1 == 2);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn assert(is_true: bool) -> Result<(), Box<EvalAltResult>> {
        match is_true {
            true => Ok(()),
            false => fail("expected this to be true", vec![]),
        }
    }

    /// Fails the test unless both values are equal.
    ///
    /// ```rhai
    /// assert_eq([1, 2].len(), 2);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn assert_eq(got: Dynamic, expected: Dynamic) -> Result<(), Box<EvalAltResult>> {
        match value::same(&got, &expected) || same_bytes(&got, &expected) {
            true => Ok(()),
            false => fail(
                format!("expected {}", shown(&expected)),
                vec![format!("got {}", shown(&got))],
            ),
        }
    }

    /// Calls a closure, and returns what it throws as a string. The test fails if the closure does not throw.
    ///
    /// ```rhai
    /// assert(throws(|| throw "no").contains("no"));
    /// ```
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

#[cfg(feature = "sql")]
#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod sql_words {
    /// Sets the answer of statements that contain a text: an array of maps for `db::query`, a number of rows for
    /// `db::execute`, either of them for `db::transaction`, or `#{ error: text }`. A later answer goes before an earlier
    /// one. Without an answer, statements of a test run in a database of SQLite in memory, which is empty when the test
    /// begins. All databases of the scripts are such databases.
    ///
    /// ```rhai
    /// db_answer("from messages", [#{ id: 1, text: "hello" }]);
    /// db_answer("insert into", #{ error: "disk full" });
    /// let ada = connect("/");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn db_answer(part: &str, answer: Dynamic) -> Result<(), Box<EvalAltResult>> {
        match value::plain(&answer) {
            Ok(answer) => on_host(|host| host.set_sql_answer(part, answer)),
            Err(problem) => fail(problem.to_string(), vec![]),
        }
    }

    /// Returns the statements that scripts have sent to databases since the last call, as an array of maps
    /// `#{ database, sql, parameters }`: at most 1,000.
    ///
    /// ```rhai
    /// let ada = connect("/");
    /// ada.emit("say", "hello");
    /// assert_eq(db_calls(), []);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub(super) fn db_calls() -> Result<Array, Box<EvalAltResult>> {
        on_host(|host| {
            host.sql_calls()
                .into_iter()
                .map(Dynamic::from_map)
                .collect()
        })
    }
}
