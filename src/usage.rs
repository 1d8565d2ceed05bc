//! What is wrong with the arguments, in one line.

use std::env;

use clap::{
    Command, Error,
    error::{ContextKind, ContextValue},
};

/// The message of an error, and what it suggests.
pub(super) fn one_line(error: &Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let message = text.lines().map(str::trim).take_while(|l| !l.is_empty());
    let mut line = message.collect::<Vec<_>>().join(" ");
    for tip in text.lines().filter_map(|l| l.trim().strip_prefix("tip: ")) {
        line += "; ";
        line += tip;
    }
    line
}

/// The command that a wrong word is most like.
pub(super) fn like<'a>(wrong: &str, command: &'a Command) -> Option<&'a str> {
    let names = command.get_subcommands().map(Command::get_name);
    let distances = names.map(|name| (strsim::damerau_levenshtein(wrong, name), name));
    let (distance, name) = distances.min()?;
    (distance <= 2).then_some(name)
}

/// The same, with the variable of the environment that the value comes from, if it does.
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
