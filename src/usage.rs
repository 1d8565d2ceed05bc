//! Errors of the command line, in one line.

use std::env;

use clap::{
    Command, Error,
    error::{ContextKind, ContextValue},
};

/// Options whose values may contain a password, as errors name them.
const SECRET: [&str; 1] = ["--db "];

/// Returns the message of an error and its suggestions, in one line, without the value of a secret option.
pub(super) fn one_line(error: &Error) -> String {
    let mut text = error.to_string();
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let option = context(ContextKind::InvalidArg).unwrap_or_default();
    if let Some(value) = context(ContextKind::InvalidValue)
        && SECRET.iter().any(|secret| option.starts_with(secret))
    {
        text = text.replacen(value, "...", 1);
    }
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let message = text.lines().map(str::trim).take_while(|l| !l.is_empty());
    let mut line = message.collect::<Vec<_>>().join(" ");
    for tip in text.lines().filter_map(|l| l.trim().strip_prefix("tip: ")) {
        line += "; ";
        line += tip;
    }
    line
}

/// Returns the command that is most similar to a mistyped word.
pub(super) fn like<'a>(wrong: &str, command: &'a Command) -> Option<&'a str> {
    let names = command.get_subcommands().map(Command::get_name);
    let distances = names.map(|name| (strsim::damerau_levenshtein(wrong, name), name));
    let (distance, name) = distances.min()?;
    (distance <= 2).then_some(name)
}

/// Returns the line of [`one_line`], after the name of the environment variable if the value comes from one.
pub(super) fn with_source(error: &Error, command: &Command) -> String {
    let line = one_line(error);
    let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidArg) else {
        return line;
    };
    let option = command.get_arguments().find(|a| a.to_string() == *wrong);
    let variable = option.and_then(|arg| arg.get_env());
    let given = option.and_then(|arg| arg.get_long()).is_some_and(|name| {
        let flag = format!("--{name}");
        env::args().any(|argument| argument.split('=').next() == Some(&flag))
    });
    match variable.filter(|_| !given) {
        Some(variable) if env::var_os(variable).is_some() => {
            format!("{}: {line}", variable.display())
        }
        _ => line,
    }
}
