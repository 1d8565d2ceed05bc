//! Messages and hints for a call that failed.
//!
//! In: the innermost error of a call, its token, and the text of its file. Out: a diagnostic without a location: the
//! message, and hints with known facts about the error.

use rhai::{Dynamic, EvalAltResult};

use super::{
    token::{Token, is_word_char},
    words::{sentence, thrown, type_word, type_words},
};
use crate::diagnostic::{Diagnostic, javascript};

/// Prefix of the names that Rhai gives to closures.
pub(super) const CLOSURE: &str = "anon$";

const DATA_RACE: &str = "a variable is used while it is being changed, for example an array that a closure given to \
                         one of its own methods changes";

/// Returns the message and the hints for a failed call.
pub(super) fn explain(
    error: &EvalAltResult,
    token: Option<&Token<'_>>,
    source: Option<&str>,
) -> Diagnostic {
    use EvalAltResult as Kind;
    match error {
        Kind::ErrorFunctionNotFound(signature, _) => unknown_function(signature, token, source),
        Kind::ErrorVariableNotFound(name, _) => unknown_variable(name, source),
        Kind::ErrorModuleNotFound(name, _) => unknown_module(name, token),
        Kind::ErrorDotExpr(why, _) => property(why),
        Kind::ErrorDataRace(..) => Diagnostic::error(message(error)).hint(DATA_RACE),
        Kind::ErrorTooManyOperations(_) => Diagnostic::error(message(error))
            .hint("a loop that does not end uses up what one call may do"),
        Kind::ErrorTerminated(reason, _) => match terminated(reason) {
            text if text.starts_with(PANICKED) => Diagnostic::error(text)
                .hint("this is a bug in the host application, not in the script"),
            text => Diagnostic::error(text),
        },
        Kind::ErrorMismatchDataType(wanted, ..) if type_word(wanted) == "closure" => {
            Diagnostic::error(message(error))
                .hint("`call` is for closures; an ack is `()` where the client asks for no answer")
        }
        Kind::ErrorStackOverflow(_) => Diagnostic::error(message(error))
            .hint("a function that calls itself needs a case in which it does not"),
        _ => Diagnostic::error(message(error)),
    }
}

/// Returns the token at the position of `error`. A data race error has no position: its token is the call that it
/// names, if the text contains this call only once.
pub(super) fn token<'a>(error: &EvalAltResult, source: &'a str) -> Option<Token<'a>> {
    match error {
        EvalAltResult::ErrorDataRace(why, at) if at.is_none() => Token::only(source, quoted(why)?),
        _ => Token::at(source, error.position()),
    }
}

fn message(error: &EvalAltResult) -> String {
    use EvalAltResult as Kind;
    match error {
        Kind::ErrorSystem(what, inner) if what.is_empty() => sentence(&inner.to_string()),
        Kind::ErrorSystem(what, inner) => format!("{}: {inner}", sentence(what)),
        Kind::ErrorVariableExists(name, _) => format!("variable `{name}` exists already"),
        Kind::ErrorForbiddenVariable(name, _) => format!("a variable cannot be named `{name}`"),
        Kind::ErrorPropertyNotFound(name, _) => format!("unknown property `{name}`"),
        Kind::ErrorIndexNotFound(index, _) => format!("unknown index `{}`", thrown(index)),
        Kind::ErrorUnboundThis(_) => "`this` has no value here".to_owned(),
        Kind::ErrorMismatchDataType(wanted, actual, _)
        | Kind::ErrorMismatchOutputType(wanted, actual, _) => mismatch(wanted, actual),
        Kind::ErrorIndexingType(what, _) => indexing(what),
        Kind::ErrorArrayBounds(len, index, _) => bounds(*index, "array", *len, "element"),
        Kind::ErrorStringBounds(len, index, _) => bounds(*index, "string", *len, "character"),
        Kind::ErrorBitFieldBounds(len, index, _) => bounds(*index, "number", *len, "bit"),
        Kind::ErrorFor(_) => {
            "expected something that `for` can go through, such as an array or a range".to_owned()
        }
        Kind::ErrorDataRace(what, _) if what.is_empty() => "data race".to_owned(),
        Kind::ErrorDataRace(what, _) => format!("data race on {}", sentence(what)),
        Kind::ErrorNonPureMethodCallOnConstant(name, _) => constant(name),
        Kind::ErrorAssignmentToConstant(name, _) if name.is_empty() => {
            "a constant cannot be assigned to".to_owned()
        }
        Kind::ErrorAssignmentToConstant(name, _) => {
            format!("`{name}` is a constant and cannot be assigned to")
        }
        Kind::ErrorArithmetic(what, _) => arithmetic(what),
        Kind::ErrorTooManyOperations(_) => "too many operations in one call".to_owned(),
        Kind::ErrorTooManyVariables(_) => "too many variables at once".to_owned(),
        Kind::ErrorTooManyModules(_) => "too many imported modules".to_owned(),
        Kind::ErrorStackOverflow(_) => {
            "stack overflow: too many calls inside each other".to_owned()
        }
        Kind::ErrorDataTooLarge(what, _) => too_large(what),
        Kind::ErrorTerminated(reason, _) => terminated(reason),
        Kind::ErrorCustomSyntax(what, ..) => sentence(what),
        Kind::ErrorRuntime(value, _) => thrown(value),
        Kind::LoopBreak(true, ..) => "`break` outside of a loop".to_owned(),
        Kind::LoopBreak(false, ..) => "`continue` outside of a loop".to_owned(),
        Kind::Return(..) => "`return` outside of a function".to_owned(),
        Kind::Exit(..) => "the script ended itself with `exit`".to_owned(),
        other => sentence(&other.to_string()),
    }
}

fn unknown_function(
    signature: &str,
    token: Option<&Token<'_>>,
    source: Option<&str>,
) -> Diagnostic {
    let call = signature
        .strip_suffix(')')
        .and_then(|call| call.split_once(" ("));
    let Some((name, types)) = call else {
        let is_name = signature.chars().all(|c| is_word_char(c) || c == ':');
        return Diagnostic::error(if is_name {
            format!("unknown function `{signature}`")
        } else {
            sentence(signature)
        });
    };
    let types = type_words(types);
    if name.starts_with(CLOSURE) {
        return Diagnostic::error(format!(
            "a closure cannot be called with {}",
            arguments(types.len())
        ));
    }
    if !name.starts_with(is_word_char) {
        return Diagnostic::error(operator(name, &types));
    }
    let receiver = token
        .filter(|token| token.text == name)
        .and_then(Token::receiver);
    let declared = source.and_then(|text| parameters(text, name));
    let error = match (receiver, declared) {
        (None, Some(count)) if count != types.len() => {
            let wanted = arguments(count);
            return Diagnostic::error(format!(
                "function `{name}` takes {wanted}, found {}",
                types.len()
            ));
        }
        (None, _) => format!("unknown function `{name}`"),
        (Some(""), _) => match types.first() {
            Some(first) => format!("unknown function `{name}` on `{first}`"),
            None => format!("unknown function `{name}`"),
        },
        (Some(receiver), _) => format!("unknown function `{name}` on `{receiver}`"),
    };
    if let Some(hint) = javascript_call(name, receiver.is_some(), &types) {
        return Diagnostic::error(error).hint(hint);
    }
    if types.is_empty() {
        return Diagnostic::error(error);
    }
    Diagnostic::error(error).hint(format!(
        "no function is for this call: `{name}({})`",
        types.join(", ")
    ))
}

/// Returns the hint for a JavaScript function that is called on a value or without one.
fn javascript_call(name: &str, on_something: bool, types: &[String]) -> Option<&'static str> {
    let receiver = types.first().filter(|_| on_something);
    match receiver.map(String::as_str) {
        Some(receiver) => javascript_member(name, receiver),
        None => javascript::of_global(name),
    }
}

/// Returns the hint for a member that values of this type have in JavaScript.
fn javascript_member(name: &str, receiver: &str) -> Option<&'static str> {
    match receiver {
        "Socket" | "Io" | "Operator" | "Sockets" | "Rooms" => javascript::of_handle(name),
        "string" | "array" | "map" | "int" | "float" | "blob" | "closure" => {
            javascript::of_value(name)
        }
        _ => None,
    }
}

fn operator(symbol: &str, types: &[String]) -> String {
    let named: Vec<_> = types.iter().map(|name| format!("`{name}`")).collect();
    format!(
        "operator `{symbol}` is not defined for {}",
        named.join(" and ")
    )
}

fn arguments(count: usize) -> String {
    match count {
        0 => "no arguments".to_owned(),
        1 => "1 argument".to_owned(),
        _ => format!("{count} arguments"),
    }
}

/// Returns the number of parameters of the function `name`, if the text declares it exactly once.
fn parameters(source: &str, name: &str) -> Option<usize> {
    let head = format!("fn {name}(");
    let mut declared = source
        .match_indices(&head)
        .map(|(start, _)| start + head.len());
    let start = declared.next()?;
    if declared.next().is_some() {
        return None;
    }
    let (list, _) = source.get(start..)?.split_once(')')?;
    Some(
        list.split(',')
            .filter(|part| !part.trim().is_empty())
            .count(),
    )
}

/// Returns the diagnostic for a name that is not a variable in scope.
pub(crate) fn unknown_variable(name: &str, source: Option<&str>) -> Diagnostic {
    let error = Diagnostic::error(format!("unknown variable `{name}`"));
    let declared = |word: &str| {
        let head = format!("{word} {name}");
        source.is_some_and(|text| {
            text.lines()
                .filter_map(|line| line.strip_prefix(&head))
                .any(|rest| !rest.starts_with(is_word_char))
        })
    };
    match name {
        _ if declared("const") => error.hint(format!(
            "inside a function, the constant `{name}` of the top level is written `global::{name}`"
        )),
        _ if declared("let") => error.hint(format!(
            "`{name}` is a variable of the top level, which functions do not see"
        )),
        _ => match javascript::of_global(name) {
            Some(hint) => error.hint(hint),
            None => error,
        },
    }
}

fn unknown_module(name: &str, token: Option<&Token<'_>>) -> Diagnostic {
    let error = Diagnostic::error(format!("unknown module `{name}`"));
    if token.is_some_and(Token::is_word) {
        error.hint(format!(
            "a module gets its name from an import: `import \"...\" as {name};`"
        ))
    } else {
        error
    }
}

/// Explains an error about a property. Rhai says `Unknown property 'p' - a getter is not registered for type 't'`, or
/// `No writable property 'p' - ...`.
fn property(why: &str) -> Diagnostic {
    let mut names = why.split('\'').skip(1).step_by(2);
    match (names.next(), names.next(), names.next()) {
        (Some(name), Some("()"), _) => {
            Diagnostic::error(format!("unknown property `{name}` of `()`"))
                .hint("a key that a map does not have gives `()`")
        }
        (Some(name), Some(owner), None) => {
            let owner = type_word(owner);
            let error = Diagnostic::error(format!("unknown property `{name}` of `{owner}`"));
            match javascript_member(name, &owner) {
                Some(hint) => error.hint(hint),
                None => error,
            }
        }
        (Some(name), Some(owner), Some(value)) => Diagnostic::error(format!(
            "property `{name}` of `{}` cannot be set to `{}`",
            type_word(owner),
            type_word(value)
        )),
        _ => Diagnostic::error(sentence(why)),
    }
}

fn mismatch(wanted: &str, actual: &str) -> String {
    match (type_word(wanted).as_str(), type_word(actual).as_str()) {
        (wanted, "") => format!("expected `{wanted}`"),
        ("", actual) => format!("unexpected `{actual}`"),
        (wanted, actual) => format!("expected `{wanted}`, found `{actual}`"),
    }
}

/// Explains an error about an index. Rhai says `t [i]` for a read, and `t [i] = v` for a write.
fn indexing(what: &str) -> String {
    let read = what.split_once(" = ").map_or(what, |(read, _)| read);
    match read
        .strip_suffix(']')
        .and_then(|read| read.split_once(" ["))
    {
        Some((owner, index)) => format!(
            "`{}` has no index of type `{}`",
            type_word(owner),
            type_word(index)
        ),
        None => format!("`{}` cannot be indexed", type_word(what)),
    }
}

fn bounds(index: rhai::INT, owner: &str, len: usize, unit: &str) -> String {
    let size = match len {
        0 => "is empty".to_owned(),
        1 => format!("has 1 {unit}"),
        _ => format!("has {len} {unit}s"),
    };
    format!("index {index} is out of bounds: the {owner} {size}")
}

fn constant(name: &str) -> String {
    if name.starts_with("index$") {
        return "an element of a constant cannot be changed".to_owned();
    }
    match name.split_once('$') {
        Some((_, property)) => format!("property `{property}` of a constant cannot be changed"),
        None => format!(
            "`{name}` changes its value and cannot be called on a constant: `let` declares a variable"
        ),
    }
}

fn arithmetic(what: &str) -> String {
    match what.split_once(": ") {
        _ if what.is_empty() => "arithmetic error".to_owned(),
        Some((problem, term)) if !term.contains(['\'', ':']) => {
            format!("{}: `{term}`", sentence(problem))
        }
        _ => sentence(what),
    }
}

fn too_large(what: &str) -> String {
    let thing = match what {
        "Length of string" => "a string",
        "Size of array/BLOB" => "an array or a blob",
        "Size of object map" => "a map",
        other => return format!("{} exceeds the limit", sentence(other)),
    };
    format!("{thing} grows beyond the limit")
}

const PANICKED: &str = "a native function panicked";

/// Returns the message for a call that ended with an error that a script cannot catch. The reasons of the host's limits
/// are single words.
fn terminated(reason: &Dynamic) -> String {
    let word = reason.as_immutable_string_ref();
    match word.as_ref().map_or("", |word| word.as_str()) {
        "operations" => "too many operations in one call".to_owned(),
        "time" => "the call took longer than it may".to_owned(),
        "produced" => {
            "the call made more and larger strings, arrays and maps than it may".to_owned()
        }
        "memory" => "the call took more memory than it may".to_owned(),
        "keys" => "a map grows beyond the limit".to_owned(),
        "large" => {
            "a value grows beyond the limit, with what its closures have captured".to_owned()
        }
        "depth" => {
            "a value is nested too deep: arrays, maps or closures one inside the other".to_owned()
        }
        _ if reason.is_unit() => "script terminated".to_owned(),
        word => match word.strip_prefix("panic: ") {
            Some(text) => format!("{PANICKED}: {text}"),
            None => format!("script terminated: {}", thrown(reason)),
        },
    }
}

/// Returns the last part of `text` that Rhai has put in quotes.
fn quoted(text: &str) -> Option<&str> {
    text.trim_end_matches('\'')
        .rsplit_once('\'')
        .map(|(_, name)| name)
}
