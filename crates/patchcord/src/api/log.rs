//! `print`, `debug` and `log`: lines in the script's log, each with its script, line and socket.

use std::any::TypeId;

use rhai::{
    Array, Blob, Dynamic, Engine, FLOAT, FnPtr, INT, ImmutableString, Map, Module,
    NativeCallContext,
};

use super::{
    Fallible,
    registration::{function, set_raw},
    turn,
};
use crate::{
    event::{HostEvent, Level},
    script::{origin, placed},
};

/// Types for which Rhai has its own `print`, which would take precedence over a function for any type.
const TYPES: [fn() -> TypeId; 11] = [
    TypeId::of::<Dynamic>,
    TypeId::of::<()>,
    TypeId::of::<bool>,
    TypeId::of::<char>,
    TypeId::of::<INT>,
    TypeId::of::<FLOAT>,
    TypeId::of::<ImmutableString>,
    TypeId::of::<Array>,
    TypeId::of::<Blob>,
    TypeId::of::<Map>,
    TypeId::of::<FnPtr>,
];

pub(super) fn register(engine: &mut Engine, module: &mut Module) {
    // Rhai also prints the return value of these functions, so its output is ignored.
    engine.on_print(|_| {}).on_debug(|_, _, _| {});
    add(module, "print", "to_string", Level::Info, PRINT);
    add(module, "debug", "to_debug", Level::Debug, DEBUG);
    let mut module = Module::new();
    add(&mut module, "info", "to_string", Level::Info, &doc("info"));
    add(&mut module, "warn", "to_string", Level::Warn, &doc("warn"));
    add(
        &mut module,
        "error",
        "to_string",
        Level::Error,
        &doc("error"),
    );
    engine.register_static_module("log", module.into());
}

/// Returns the documentation of `log::info` and its siblings, which differ only in their level.
fn doc(level: &str) -> [String; 5] {
    [
        format!("/// Writes a line to the log, at level {level}."),
        "///".to_owned(),
        "/// ```rhai".to_owned(),
        format!("/// log::{level}(\"the room is full\");"),
        "/// ```".to_owned(),
    ]
}

const PRINT: &[&str] = &[
    "/// Writes a line to the log, at level info.",
    "///",
    "/// ```rhai",
    "/// print(`connected: ${socket.id}`);",
    "/// ```",
];

const DEBUG: &[&str] = &[
    "/// Writes a value to the log in Rhai's notation, at level debug.",
    "///",
    "/// ```rhai",
    "/// debug(#{ name: \"Ada\" });",
    "/// ```",
];

fn add(
    module: &mut Module,
    name: &'static str,
    convert: &'static str,
    level: Level,
    comments: &[impl AsRef<str>],
) {
    for (nth, id) in TYPES.iter().enumerate() {
        let (comments, signature) = match nth {
            0 => (comments, &["value: Dynamic", "()"][..]),
            _ => (&[][..], &[][..]),
        };
        let call = move |context: Option<NativeCallContext<'_>>, args: &mut [&mut Dynamic]| {
            if let (Some(context), Some(value)) = (context, args.first()) {
                placed(&context, || {
                    let value = value.flatten_clone();
                    let text: ImmutableString = context.call_native_fn(convert, (value,))?;
                    write(name, &context, level, text.to_string())
                })?;
            }
            Ok(ImmutableString::new().into())
        };
        set_raw(function(name, comments, signature), module, [id()], call);
    }
}

fn write(name: &str, context: &NativeCallContext<'_>, level: Level, text: String) -> Fallible {
    let turn = turn(name)?;
    if turn.draft.is_some() {
        return Ok(());
    }
    turn.namespace().driver().announce(HostEvent::Log {
        level,
        text,
        namespace: turn.namespace().path().clone(),
        socket: turn.connection.socket().map(ToString::to_string),
        script: origin(context).map(str::to_owned),
        line: context.call_position().line(),
    });
    Ok(())
}
