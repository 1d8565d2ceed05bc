//! Messages and hints for a script that does not compile.
//!
//! In: the kind of a syntax error, and its token. Out: a diagnostic without a location. The hints cover Rhai's own
//! rules and common JavaScript habits.

use rhai::{LexError, ParseErrorType};

use super::{
    token::Token,
    words::{sentence, type_word},
};
use crate::diagnostic::Diagnostic;

/// Returns the message and the hints for a syntax error.
pub(super) fn explain(error: &ParseErrorType, token: Option<&Token<'_>>) -> Diagnostic {
    let mut diagnostic = match (error, token) {
        (ParseErrorType::BadInput(error), _) => lexical(error, token),
        (ParseErrorType::Reserved(word), _) => reserved(word, token),
        (ParseErrorType::PropertyExpected, Some(found)) if found.is_word() => {
            reserved(found.text, token)
        }
        (ParseErrorType::MissingToken(wanted, _), Some(found))
            if wanted == ";" && found.begins_a_line() =>
        {
            Diagnostic::error(format!("expected `;` before {}", found.found()))
                .hint("the statement before this one ends without `;`")
        }
        (ParseErrorType::WrongFnDefinition, _) => Diagnostic::error(message(error, token))
            .hint("a closure `|x| ...` can be written anywhere"),
        _ => Diagnostic::error(message(error, token)),
    };
    if let (ParseErrorType::MismatchedType(wanted, _), Some(token)) = (error, token)
        && wanted.contains("bool")
        && (token.follows("||") || token.follows("&&"))
    {
        diagnostic = diagnostic.hint(BOOLEAN);
    }
    diagnostic
        .hints
        .extend(token.and_then(javascript).map(str::to_owned));
    diagnostic
}

fn message(error: &ParseErrorType, token: Option<&Token<'_>>) -> String {
    use ParseErrorType as Kind;
    let found = token.map_or_else(String::new, |token| format!(", found {}", token.found()));
    match error {
        Kind::UnexpectedEOF => "the script ends in the middle of a statement".to_owned(),
        Kind::UnknownOperator(symbol) => format!("`{symbol}` is not an operator"),
        Kind::MissingToken(wanted, why) if wanted == "," => {
            format!("expected {}{found}", separator(why))
        }
        Kind::MissingToken(wanted, why) => format!("expected `{wanted}` {}{found}", sentence(why)),
        Kind::MissingSymbol(why) if why.is_empty() => format!("expected a symbol{found}"),
        Kind::MissingSymbol(why) => format!("{}{found}", sentence(why)),
        Kind::MalformedIndexExpr(why) if why.is_empty() => "invalid index".to_owned(),
        Kind::MalformedIndexExpr(why) | Kind::MalformedCapture(why) => sentence(why),
        Kind::DuplicatedProperty(key) => format!("key `{key}` is given twice in one map"),
        Kind::DuplicatedVariable(name) => format!("variable `{name}` is declared twice"),
        Kind::WrongSwitchIntegerCase => {
            "a case for a number cannot follow a case for a range".to_owned()
        }
        Kind::WrongSwitchDefaultCase => "the case `_` must be the last one".to_owned(),
        Kind::WrongSwitchCaseCondition => "the case `_` cannot have a condition".to_owned(),
        Kind::PropertyExpected => format!("expected the name of a property{found}"),
        Kind::VariableExpected => format!("expected the name of a variable{found}"),
        Kind::ForbiddenVariable(name) => format!("a variable cannot be named `{name}`"),
        Kind::MismatchedType(wanted, actual) => {
            format!("expected {}, found {}", typed(wanted), typed(actual))
        }
        Kind::ExprExpected(what) => format!("expected {what} expression{found}"),
        Kind::WrongDocComment => "a doc comment must stand directly before a function".to_owned(),
        Kind::WrongFnDefinition => {
            "a function cannot be declared inside a block or another function".to_owned()
        }
        Kind::FnDuplicatedDefinition(name, count) => {
            format!(
                "function `{name}` with {} is declared twice",
                parameters(*count)
            )
        }
        Kind::FnMissingName => format!("expected the name of a function after `fn`{found}"),
        Kind::FnMissingParams(name) => {
            format!("expected the parameters of function `{name}`{found}")
        }
        Kind::FnDuplicatedParam(_, name) => format!("parameter `{name}` is declared twice"),
        Kind::FnMissingBody(name) if name.is_empty() => {
            format!("expected the body of a closure{found}")
        }
        Kind::FnMissingBody(name) => format!("expected the body of function `{name}`{found}"),
        Kind::WrongExport => "`export` can only stand at top level".to_owned(),
        Kind::AssignmentToConstant(name) if name.is_empty() => {
            "a constant cannot be assigned to".to_owned()
        }
        Kind::AssignmentToConstant(name) => {
            format!("`{name}` is a constant and cannot be assigned to")
        }
        Kind::AssignmentToInvalidLHS(why) if why.is_empty() => {
            "this expression cannot be assigned to".to_owned()
        }
        Kind::AssignmentToInvalidLHS(why) => sentence(why),
        Kind::VariableExists(name) => format!("variable `{name}` exists already"),
        Kind::VariableUndefined(name) => format!("unknown variable `{name}`"),
        Kind::ModuleUndefined(name) => format!("unknown module `{name}`"),
        Kind::ExprTooDeep => "this expression is nested too deeply".to_owned(),
        Kind::TooManyFunctions => "the script has more functions than the limit allows".to_owned(),
        Kind::LiteralTooLarge(what, limit) => {
            format!("{} exceeds the limit of {limit}", sentence(what))
        }
        Kind::LoopBreak => token.map_or_else(
            || "`break` outside of a loop".to_owned(),
            |token| format!("{} outside of a loop", token.found()),
        ),
        other => sentence(&other.to_string()),
    }
}

/// Returns the expected separator. Rhai asks only for a comma, although a closing bracket is also possible, and is
/// usually what is missing.
fn separator(why: &str) -> String {
    let known = [
        ("arguments", "`,` or `)` after an argument"),
        ("array", "`,` or `]` after an item of an array"),
        ("object map", "`,` or `}` after a value of a map"),
        ("switch", "`,` or `}` after a case"),
        ("anonymous function", "`,` or `|` after a parameter"),
        ("parameters", "`,` or `)` after a parameter"),
    ];
    let found = known.iter().find(|(what, _)| why.contains(what));
    found.map_or_else(
        || format!("`,` {}", sentence(why)),
        |(_, text)| (*text).to_owned(),
    )
}

fn typed(what: &str) -> String {
    if what.contains(' ') {
        what.to_owned()
    } else {
        format!("`{}`", type_word(what))
    }
}

fn parameters(count: usize) -> String {
    match count {
        0 => "no parameters".to_owned(),
        1 => "1 parameter".to_owned(),
        _ => format!("{count} parameters"),
    }
}

fn lexical(error: &LexError, token: Option<&Token<'_>>) -> Diagnostic {
    let message = match error {
        LexError::UnexpectedInput(text) => return unexpected(text),
        LexError::ImproperSymbol(symbol, why) => return improper(symbol, why),
        LexError::MalformedChar(text) if text.chars().count() > 1 => {
            return Diagnostic::error(format!("`'{text}'` is longer than one character"))
                .hint("a string is written in double quotes");
        }
        LexError::UnterminatedString if token.is_some_and(|token| token.text.starts_with('\'')) => {
            return Diagnostic::error("this character has no closing quote")
                .hint("a string is written in double quotes");
        }
        LexError::UnterminatedString if token.is_some_and(|token| token.text.starts_with('"')) => {
            return Diagnostic::error("this string has no closing quote")
                .hint("a string of several lines is written in backticks");
        }
        LexError::UnterminatedString => "this string has no closing quote".to_owned(),
        LexError::MalformedChar(_) => "invalid character literal".to_owned(),
        LexError::StringTooLong(limit) => {
            format!("this string exceeds the limit of {limit} characters")
        }
        LexError::MalformedEscapeSequence(text) => format!("invalid escape sequence `{text}`"),
        LexError::MalformedNumber(text) if text.is_empty() => "invalid number".to_owned(),
        LexError::MalformedNumber(text) => format!("invalid number `{text}`"),
        LexError::MalformedIdentifier(text) => format!("`{text}` is not a name"),
        other => sentence(&other.to_string()),
    };
    Diagnostic::error(message)
}

fn unexpected(text: &str) -> Diagnostic {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) if !c.is_ascii() && c.is_alphanumeric() => {
            Diagnostic::error(format!("unexpected `{c}`"))
                .hint("a name consists of the letters `a` to `z`, digits and `_`")
        }
        (Some(c), None) if !c.is_ascii() && !c.is_alphanumeric() => Diagnostic::error(format!(
            "unexpected character `{c}` (`{}`)",
            c.escape_unicode()
        )),
        _ => Diagnostic::error(format!("unexpected `{text}`")),
    }
}

fn improper(symbol: &str, why: &str) -> Diagnostic {
    let not_one = || Diagnostic::error(format!("`{symbol}` is not an operator"));
    match symbol {
        "===" => not_one().hint("equality is written `==`"),
        "!==" => not_one().hint("inequality is written `!=`"),
        "<-" => not_one().hint("less or equal is written `<=`"),
        ":=" => not_one().hint("an assignment is written `=`"),
        "->" | ":;" | "::<" => not_one(),
        "(*" | "*)" => not_one().hint("a comment is written `/* ... */`"),
        "# {" => Diagnostic::error("`#` is not followed directly by `{`")
            .hint("a map is written `#{ key: value }`"),
        "=" => Diagnostic::error("an assignment is not a value").hint("equality is written `==`"),
        "eval" if why.contains("disabled") => {
            Diagnostic::error("`eval` is disabled").hint("a script cannot run text as code")
        }
        "curry" if why.contains("disabled") => Diagnostic::error("`curry` is disabled").hint(CURRY),
        _ if why.contains("disabled") => Diagnostic::error(format!("`{symbol}` is disabled")),
        _ if why.contains("method style") => {
            Diagnostic::error(format!("`{symbol}` is not a method"))
                .hint(format!("it is called as `{symbol}(...)`"))
        }
        _ if why.is_empty() => Diagnostic::error(format!("unexpected `{symbol}`")),
        _ => Diagnostic::error(sentence(why)),
    }
}

/// Explains a reserved word or a keyword in a position where Rhai expects a name.
fn reserved(word: &str, token: Option<&Token<'_>>) -> Diagnostic {
    let is_word = word.starts_with(|c: char| c.is_ascii_alphabetic());
    let Some(token) = token.filter(|_| is_word) else {
        return Diagnostic::error(format!("`{word}` is not used in Rhai"));
    };
    let error = |rest: &str| Diagnostic::error(format!("`{word}` is a reserved word{rest}"));
    match token.receiver() {
        Some(receiver) => after_dot(
            word,
            receiver,
            token.precedes("("),
            error(" and cannot follow `.`"),
        ),
        None if token.follows("::") => error(" and cannot follow `::`"),
        None if is_key(token) => error(" and cannot be a key without quotes")
            .hint(format!("a key of this name is written `\"{word}\": ...`")),
        None => error(""),
    }
}

fn is_key(token: &Token<'_>) -> bool {
    (token.follows("#{") || token.follows(",")) && token.precedes(":") && !token.precedes("::")
}

fn after_dot(word: &str, receiver: &str, is_call: bool, error: Diagnostic) -> Diagnostic {
    let receiver = if receiver.is_empty() {
        "value"
    } else {
        receiver
    };
    match word {
        "curry" => error.hint(CURRY),
        "in" => error.hint("the sockets of a room are chosen with `within`"),
        "use" => error.hint("a function that sees every event is registered with `middleware`"),
        _ if is_call => error,
        _ => error.hint(format!(
            "a field of this name is read with `{receiver}[\"{word}\"]`"
        )),
    }
}

/// Returns the hint for a JavaScript habit at this token.
fn javascript(token: &Token<'_>) -> Option<&'static str> {
    if token.receiver().is_some() {
        return None;
    }
    if let Some(hint) = after_javascript(token) {
        return Some(hint);
    }
    match token.text {
        "let" | "const" | "var" if token.follows("(") => Some(LOOP),
        "var" => Some("a variable is declared with `let`"),
        "null" => Some("no value is written `()`"),
        "async" | "await" => Some("a script does not wait: what comes later stands in a closure"),
        "++" => Some("adding one is written `x += 1`"),
        "--" => Some("subtracting one is written `x -= 1`"),
        "?" => Some("a choice is written `if condition { a } else { b }`"),
        "=>" => Some(CLOSURE),
        "{" if token.before_on_its_line("function") => Some(CLOSURE),
        "of" => Some(LOOP),
        "{" | "[" | "(" if token.follows("let") || token.follows("const") => {
            Some("a name is declared for each value: `let a = map.a;`")
        }
        ":" if token.before_on_its_line("{") => Some("a map is written `#{ key: value }`"),
        "new" if !token.precedes_a_name() => None,
        "new" if token.follows("throw") => Some("an error is thrown as a text: `throw \"reason\"`"),
        "new" => Some("nothing is made with `new`: a map is written `#{}`, an array `[]`"),
        "instanceof" | "typeof" => Some(TYPE),
        "finally" => Some("what is to happen in any case stands after the `catch` block"),
        "from" => Some("a file is imported with `import \"lib/names\" as names;`"),
        "default" if token.follows("export") => Some(EXPORT),
        "module" | "exports" => Some(EXPORT),
        "case" => Some("a case of `switch` is written `1 => ...`, the last one `_ => ...`"),
        "..." => Some(
            "an array stands for its elements with `spread(array)`, and arrays are joined with `+`",
        ),
        ".." if token.follows("{") => Some("maps are joined with `+`"),
        _ => None,
    }
}

const BOOLEAN: &str =
    "`||` and `&&` are for `true` and `false`; a value in place of `()` is written `a ?? b`";
const CLOSURE: &str = "a closure is written `|x| x + 1`";
const CURRY: &str = "a closure does it: `|b| add(1, b)`";
const LOOP: &str = "a loop is written `for x in list { ... }` or `for i in 0..3 { ... }`";
const TYPE: &str = "the type of a value is told by `type_of(x)`";
const EXPORT: &str = "the functions of a file are there for whoever imports it";

/// Returns the hint for a JavaScript word before this token.
fn after_javascript(token: &Token<'_>) -> Option<&'static str> {
    let known = [
        ("function", "a function is declared with `fn`"),
        (
            "class",
            "there are no classes: values stand in a map, functions beside it",
        ),
        ("typeof", TYPE),
        ("delete", "a key is removed with `map.remove(\"key\")`"),
    ];
    let found = known.into_iter().find(|(word, _)| token.follows(word));
    found.map(|(_, hint)| hint)
}
