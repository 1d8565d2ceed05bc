//! Tests that run failing scripts on a real engine, and check the text that their author sees.
//!
//! `tests/fixtures/diagnostic/<case>.rhai` is a script, and `<case>.txt` beside it has the exact text. Modules for
//! import are in `lib`. `UPDATE_EXPECT=1` rewrites the texts.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use rhai::{
    AST, Dynamic, Engine, EvalAltResult, FnPtr, FuncRegistration, Module, ModuleResolver,
    NativeCallContext, ParseErrorType, Position, Scope, Shared,
};

use super::{Diagnostic, Frame, FrameKind, Origin, Place, Style, render};

#[derive(Clone)]
struct Socket;

struct Folder(PathBuf);

impl ModuleResolver for Folder {
    fn resolve(
        &self,
        engine: &Engine,
        _: Option<&str>,
        path: &str,
        at: Position,
    ) -> Result<Shared<Module>, Box<EvalAltResult>> {
        let file = format!("{path}.rhai");
        let in_module = |error| EvalAltResult::ErrorInModule(path.to_owned(), error, at);
        let text = fs::read_to_string(self.0.join(&file))
            .map_err(|_| EvalAltResult::ErrorModuleNotFound(path.to_owned(), at))?;
        let mut ast = engine
            .compile(text)
            .map_err(|error| in_module(Box::new(error.into())))?;
        ast.set_source(file.as_str());
        let mut module = Module::eval_ast_as_new(Scope::new(), &ast, engine).map_err(in_module)?;
        module.set_id(file);
        module.build_index();
        Ok(module.into())
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/diagnostic")
}

fn engine() -> Engine {
    let mut engine = Engine::new();
    engine
        .set_module_resolver(Folder(folder()))
        .disable_symbol("eval")
        .set_max_operations(10_000)
        .set_max_call_levels(12)
        .set_max_string_size(200)
        .set_max_array_size(100)
        .set_max_variables(40)
        .on_print(|_| ())
        .register_type_with_name::<Socket>("Socket")
        .register_get("id", |_: &mut Socket| "abc".to_owned())
        .register_fn("cut", || -> Result<(), Box<EvalAltResult>> {
            Err(EvalAltResult::ErrorTerminated("50 ms have passed".into(), Position::NONE).into())
        });
    FuncRegistration::new("emit")
        .with_purity(true)
        .register_into_engine(&mut engine, |_: &mut Socket, _: &str, _: rhai::INT| ());
    FuncRegistration::new("on")
        .with_purity(true)
        .register_into_engine(
            &mut engine,
            |context: NativeCallContext<'_>, _: &mut Socket, _: &str, handler: FnPtr| {
                handler.call_within_context::<()>(&context, ("hello".to_owned(),))
            },
        );
    handles_are_plain_values(&mut engine);
    engine
}

/// Turns handles into plain values. Otherwise a closure that captures `socket` could not be passed to one of its
/// methods.
#[expect(deprecated, reason = "`on_var` is marked as not yet stable")]
fn handles_are_plain_values(engine: &mut Engine) {
    engine.on_var(|name, _, context| {
        let value = context.scope().get(name).filter(|value| value.is_shared());
        let value = value.map(Dynamic::flatten_clone);
        Ok(value.filter(Dynamic::is::<Socket>))
    });
}

fn text_of(file: &str) -> Option<Arc<str>> {
    fs::read_to_string(folder().join(file)).ok().map(Arc::from)
}

fn call(engine: &Engine, ast: &AST) -> Result<&'static str, (&'static str, Box<EvalAltResult>)> {
    engine.run_ast(ast).map_err(|error| ("top level", error))?;
    if ast
        .iter_functions()
        .any(|function| function.name == "on_connection")
    {
        let called: Result<Dynamic, _> =
            engine.call_fn(&mut Scope::new(), ast, "on_connection", (Socket,));
        if let Err(error) = called {
            return Err(("`on_connection`", error));
        }
    }
    Ok("nothing is wrong")
}

fn diagnose(file: &str) -> Diagnostic {
    let engine = engine();
    let text = text_of(file).unwrap();
    let mut ast = match engine.compile(&text) {
        Ok(ast) => ast,
        Err(error) => return Diagnostic::from_parse(&error, file, &text),
    };
    ast.set_source(file);
    let (what, error) = call(&engine, &ast).expect_err(file);
    Diagnostic::from_eval(&error, file, &text_of)
        .from_call(Origin::new("/chat", what, 3).socket("abc"))
}

fn cases() -> BTreeSet<String> {
    let files = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    files.filter(|file| file.ends_with(".rhai")).collect()
}

#[test]
fn every_failing_script_is_told_what_is_wrong() {
    let update = env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    for file in cases() {
        let actual = format!("{}\n", diagnose(&file));
        let expected = folder().join(&file).with_extension("txt");
        if update {
            fs::write(&expected, &actual).unwrap();
        } else if fs::read_to_string(&expected)
            .unwrap_or_default()
            .replace("\r\n", "\n")
            != actual
        {
            wrong.push(format!("{file}:\n{actual}"));
        }
    }
    assert!(wrong.is_empty(), "not as expected:\n\n{}", wrong.join("\n"));
    assert!(cases().len() >= 25);
}

#[test]
fn messages_and_hints_follow_the_house_rule() {
    for file in cases() {
        let diagnostic = diagnose(&file);
        for text in diagnostic.hints.iter().chain([&diagnostic.message]) {
            assert!(!text.ends_with(['.', '?', '!']), "{file}: {text}");
            assert!(!text.starts_with(char::is_uppercase), "{file}: {text}");
            assert!(
                !text.contains("::ImmutableString") && !text.contains("i64"),
                "{file}: {text}"
            );
        }
    }
}

#[test]
fn every_place_is_inside_its_file() {
    for file in cases() {
        let diagnostic = diagnose(&file);
        let places = diagnostic
            .trace
            .iter()
            .filter_map(|frame| frame.place.as_ref());
        for place in places.chain(&diagnostic.place) {
            let text = text_of(&place.file).unwrap();
            let line = text.lines().nth(place.line - 1).unwrap();
            assert!(
                place.column + place.length <= line.chars().count() + 2,
                "{file}: {place}"
            );
        }
    }
}

#[test]
fn a_message_of_a_client_cannot_write_control_sequences() {
    let diagnostic = Diagnostic::error("a\u{1b}[2J\u{9b}31m\nerror: b\u{202e}")
        .at(Place::new("a.rhai", 1, 1).source("\u{1b}[2J\u{9b}31m".into()))
        .hint("\u{7}\r\n")
        .from_call(Origin::new("/\u{1b}", "`x`", 1).socket("\u{1b}"));
    let text = render(&diagnostic, Style::Plain);
    assert!(
        text.chars().all(|c| c == '\n' || !c.is_control()),
        "{text:?}"
    );
    assert!(!text.contains('\u{202e}'));
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("error"))
            .count(),
        1
    );
}

#[test]
fn colours_are_there_only_when_asked_for() {
    let diagnostic = diagnose("unknown_method.rhai");
    let plain = render(&diagnostic, Style::Plain);
    assert_eq!(diagnostic.to_string(), plain);
    assert!(!plain.contains('\u{1b}'));
    let colored = render(&diagnostic, Style::Color);
    let mut escaped = false;
    let bare: String = colored
        .chars()
        .filter(|&c| {
            let hidden = escaped || c == '\u{1b}';
            escaped = c == '\u{1b}' || (escaped && !c.is_ascii_alphabetic());
            !hidden
        })
        .collect();
    assert_ne!(colored, plain);
    assert_eq!(bare, plain);
}

/// Calls a listener later, as the host does: with the state in which it was registered.
#[test]
#[expect(deprecated, reason = "stored call state is marked as not yet stable")]
fn a_closure_that_the_host_calls_later_knows_its_own_file() {
    let kept = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&kept);
    let mut engine = engine();
    engine.register_fn(
        "keep",
        move |context: NativeCallContext<'_>, handler: FnPtr| {
            *keep.lock().unwrap() = Some((handler, context.store_data()));
        },
    );
    let mut ast = engine
        .compile("import \"lib/later\" as later; later::register()")
        .unwrap();
    ast.set_source("main.rhai");
    engine.run_ast(&ast).unwrap();

    let (handler, state) = kept.lock().unwrap().take().unwrap();
    let context = NativeCallContext::from_stored_data(&engine, &state);
    let error = handler
        .call_within_context::<Dynamic>(&context, (1 as rhai::INT,))
        .unwrap_err();
    let diagnostic = Diagnostic::from_eval(&error, "lib/later.rhai", &text_of);
    let trace: Vec<_> = diagnostic.trace.iter().map(Frame::to_string).collect();
    assert_eq!(diagnostic.place.unwrap().to_string(), "lib/words.rhai:3:20");
    assert_eq!(
        trace,
        [
            "in closure called at lib/later.rhai:4:5",
            "in function `polite` called at lib/later.rhai:4:24"
        ]
    );
}

#[test]
fn rare_errors_have_words_of_ours_too() {
    use EvalAltResult as Kind;
    let at = Position::NONE;
    let text = || "x".to_owned();
    let cases = [
        (
            Kind::ErrorSystem("Cannot read".into(), "disk full".into()),
            "cannot read: disk full",
        ),
        (
            Kind::ErrorVariableExists(text(), at),
            "variable `x` exists already",
        ),
        (
            Kind::ErrorForbiddenVariable(text(), at),
            "a variable cannot be named `x`",
        ),
        (
            Kind::ErrorPropertyNotFound(text(), at),
            "unknown property `x`",
        ),
        (
            Kind::ErrorIndexNotFound("x".into(), at),
            "unknown index `x`",
        ),
        (
            Kind::ErrorFunctionNotFound("on_load".into(), at),
            "unknown function `on_load`",
        ),
        (
            Kind::ErrorMismatchOutputType("alloc::string::String".into(), "i64".into(), at),
            "expected `string`, found `int`",
        ),
        (
            Kind::ErrorIndexingType("Socket [i64] = map".into(), at),
            "`Socket` has no index of type `int`",
        ),
        (
            Kind::ErrorStringBounds(1, 4, at),
            "index 4 is out of bounds: the string has 1 character",
        ),
        (
            Kind::ErrorBitFieldBounds(64, 70, at),
            "index 70 is out of bounds: the number has 64 bits",
        ),
        (
            Kind::ErrorArrayBounds(0, 0, at),
            "index 0 is out of bounds: the array is empty",
        ),
        (
            Kind::ErrorNonPureMethodCallOnConstant("set$x".into(), at),
            "property `x` of a constant cannot be changed",
        ),
        (
            Kind::ErrorNonPureMethodCallOnConstant("index$set$".into(), at),
            "an element of a constant cannot be changed",
        ),
        (Kind::ErrorArithmetic(String::new(), at), "arithmetic error"),
        (Kind::ErrorTooManyModules(at), "too many imported modules"),
        (
            Kind::ErrorTerminated(Dynamic::UNIT, at),
            "script terminated",
        ),
        (
            Kind::ErrorDataTooLarge("Size of object map".into(), at),
            "a map grows beyond the limit",
        ),
        (
            Kind::LoopBreak(true, Dynamic::UNIT, at),
            "`break` outside of a loop",
        ),
        (
            Kind::ErrorParsing(
                ParseErrorType::LiteralTooLarge("Size of array literal".into(), 5),
                at,
            ),
            "size of array literal exceeds the limit of 5",
        ),
    ];
    for (error, message) in cases {
        assert_eq!(
            Diagnostic::from_eval(&error, "a.rhai", &|_| None).message,
            message,
            "{error:?}"
        );
    }
}

#[test]
fn json_has_the_documented_shape() {
    let frame = Frame {
        kind: FrameKind::Function,
        function: "greet".to_owned(),
        place: Some(Place::new("chat.rhai", 4, 5).length(5)),
    };
    let mut diagnostic = Diagnostic::error("unknown function `brodcast` on `socket`")
        .at(Place::new("chat.rhai", 12, 10)
            .length(8)
            .source("text".into()))
        .hint("`socket` has a function `broadcast`")
        .from_call(Origin::new("/chat", "`message` handler", 3).socket("abc"));
    diagnostic.trace.push(frame);
    let documented: String = include_str!("mod.rs")
        .lines()
        .skip_while(|line| *line != "//! ```json")
        .skip(1)
        .take_while(|line| *line != "//! ```")
        .map(|line| line.trim_start_matches("//!"))
        .collect();
    let documented: serde_json::Value = serde_json::from_str(&documented).unwrap();
    assert_eq!(serde_json::to_value(&diagnostic).unwrap(), documented);

    let bare = serde_json::to_value(Diagnostic::warning("w")).unwrap();
    assert_eq!(
        bare,
        serde_json::json!({
            "severity": "warning", "message": "w", "place": null, "trace": [], "hints": [], "origin": null
        })
    );
}
