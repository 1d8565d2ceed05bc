//! `emit` and related functions, for all types that can send: an event name and up to eight arguments.

use std::any::TypeId;

use rhai::{
    Array, Dynamic, FnPtr, ImmutableString, Module, NativeCallContext, StaticVec,
    combine_with_exported_module, plugin::export_module,
};

use super::{
    Fallible, is_reserved,
    payload::as_value,
    refuse,
    registration::{function, set_raw, signature},
};
use crate::{diagnostic::type_word, script::Handler, value::register_type};

/// Maximum number of arguments of an event. Rhai looks up a function with n arguments of any type 2^n times.
pub(super) const MAX_ARGS: usize = 8;
/// Number of arguments beyond [`MAX_ARGS`] for which the error explains the problem. With even more arguments, Rhai
/// reports that there is no such function.
const EXPLAINED_ARGS: usize = 4;

/// Array whose elements are passed as separate arguments of `emit` or `ack.call`.
#[derive(Debug, Clone)]
pub(super) struct Spread(Array);

/// Registers the function `spread`.
pub(super) fn register_spread(module: &mut Module) {
    register_type::<Spread>(module, "Spread", |spread| {
        Some(Dynamic::from_array(spread.0.clone()))
    });
    combine_with_exported_module!(module, "spread", functions);
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Passes the elements of `array` as separate arguments of `emit` or of an ack, as `...array` does in JavaScript.
    ///
    /// ```rhai
    /// let scores = [3, 1, 2];
    /// socket.emit("scores", spread(scores));
    /// ```
    pub(crate) fn spread(array: Array) -> Spread {
        Spread(array)
    }
}

/// Function that sends an event. Receives the name of the event, its arguments, and the handler for the ack.
pub(super) type Send<T> = fn(&T, &str, &[Dynamic], Option<Handler>) -> Fallible;

/// Registers the function `name` on the type `T`, for every number of arguments.
pub(super) fn register<T: Clone + std::marker::Send + Sync + 'static>(
    module: &mut Module,
    name: &'static str,
    comments: &[&str],
    send: Send<T>,
) {
    for count in 0..=MAX_ARGS + EXPLAINED_ARGS {
        let mut types = StaticVec::<TypeId>::new();
        types.push(TypeId::of::<T>());
        types.push(TypeId::of::<ImmutableString>());
        types.extend(std::iter::repeat_n(TypeId::of::<Dynamic>(), count));
        let shown = if count == 0 { comments } else { &[] };
        let info = info::<T>(true, count);
        add(
            module,
            name,
            (shown, &info),
            &types,
            move |context, on: &T, args| emit(name, context, on, args, send),
        );
    }
    // Overloads whose event name is not a string. Rhai considers them only after all others.
    for count in 0..=1 {
        let mut types = StaticVec::<TypeId>::new();
        types.push(TypeId::of::<T>());
        types.extend(std::iter::repeat_n(TypeId::of::<Dynamic>(), count + 1));
        add(
            module,
            name,
            (&[], &[]),
            &types,
            move |context, on: &T, args| emit(name, context, on, args, send),
        );
    }
}

/// Registers `send` on the type `T`, for every number of arguments.
pub(super) fn register_send<T: Clone + std::marker::Send + Sync + 'static>(
    module: &mut Module,
    comments: &[&str],
    send: fn(&T, &[Dynamic], Option<Handler>) -> Fallible,
) {
    for count in 0..=MAX_ARGS + EXPLAINED_ARGS {
        let mut types = StaticVec::<TypeId>::new();
        types.push(TypeId::of::<T>());
        types.extend(std::iter::repeat_n(TypeId::of::<Dynamic>(), count));
        let shown = if count == 0 { comments } else { &[] };
        add(
            module,
            "send",
            (shown, &info::<T>(false, count)),
            &types,
            move |context, on: &T, args| {
                let (values, ack) = values_and_ack(context, args)?;
                check_count("send", values.len())?;
                send(on, &values, ack)
            },
        );
    }
}

/// Returns the parameters for definitions, or nothing for overloads that only explain an error.
fn info<T>(event: bool, count: usize) -> Vec<String> {
    if count > MAX_ARGS {
        return Vec::new();
    }
    let event = event.then(|| "event: &str".to_owned());
    let args = (1..=count).map(|place| format!("arg{place}: Dynamic"));
    let parameters: Vec<_> = event.into_iter().chain(args).collect();
    let parameters: Vec<_> = parameters.iter().map(String::as_str).collect();
    signature::<T>(&parameters, "()")
}

fn add<T: Clone + std::marker::Send + Sync + 'static>(
    module: &mut Module,
    name: &'static str,
    (comments, info): (&[&str], &[String]),
    types: &[TypeId],
    call: impl Fn(Option<&NativeCallContext<'_>>, &T, &mut [&mut Dynamic]) -> Fallible
    + std::marker::Send
    + Sync
    + 'static,
) {
    let call = move |context: Option<NativeCallContext<'_>>, args: &mut [&mut Dynamic]| {
        let Some((on, args)) = args.split_first_mut() else {
            return Ok(Dynamic::UNIT);
        };
        let Some(on) = on.read_lock::<T>() else {
            return refuse(format!("`{name}` is not a function of this value"));
        };
        call(context.as_ref(), &on, args).map(|()| Dynamic::UNIT)
    };
    set_raw(function(name, comments, info), module, types, call);
}

fn emit<T>(
    name: &str,
    context: Option<&NativeCallContext<'_>>,
    on: &T,
    args: &mut [&mut Dynamic],
    send: Send<T>,
) -> Fallible {
    let Some((event, values)) = args.split_first_mut() else {
        return Ok(());
    };
    let Ok(event) = event.as_immutable_string_ref() else {
        let got = type_word(event.type_name());
        return refuse(format!(
            "`{name}` takes the name of an event, a string, and got {got}"
        ));
    };
    let (values, ack) = values_and_ack(context, values)?;
    check_count(name, values.len())?;
    check_event(&event).or_else(refuse)?;
    send(on, &event, &values, ack)
}

/// Returns the arguments and, separately, the closure at the end that receives the ack.
fn values_and_ack(
    context: Option<&NativeCallContext<'_>>,
    given: &mut [&mut Dynamic],
) -> Fallible<(StaticVec<Dynamic>, Option<Handler>)> {
    let mut values = arguments(given)?;
    let closure = values
        .last()
        .and_then(|last| last.read_lock::<FnPtr>().map(|closure| closure.clone()));
    let handler = closure
        .zip(context)
        .and_then(|(closure, context)| Handler::new(closure, context));
    if handler.is_some() {
        values.pop();
    }
    Ok((values, handler))
}

/// Checks that an event with this name can be sent.
///
/// # Errors
/// Returns the text of the error.
pub(crate) fn check_event(event: &str) -> Result<(), String> {
    if is_reserved(event) {
        return Err(format!(
            "`{event}` is a reserved event name and cannot be sent"
        ));
    }
    match event.starts_with('\0') {
        true => Err(
            "the name of an event that begins with a NUL cannot be sent: such names are the host's own"
                .to_owned(),
        ),
        false => Ok(()),
    }
}

fn check_count(name: &str, count: usize) -> Fallible {
    match count > MAX_ARGS {
        true => refuse(format!(
            "`{name}` takes up to {MAX_ARGS} arguments and got {count}: send an array or a map"
        )),
        false => Ok(()),
    }
}

/// Returns the values to send: a [`Spread`] is replaced with its elements, and a handle for data with its map.
pub(super) fn arguments(given: &mut [&mut Dynamic]) -> Fallible<StaticVec<Dynamic>> {
    let mut values = StaticVec::new();
    for value in given {
        match value.take().try_cast_result::<Spread>() {
            Ok(Spread(spread)) => {
                for value in spread {
                    values.push(as_value(value)?);
                }
            }
            Err(value) => values.push(as_value(value)?),
        }
    }
    Ok(values)
}
