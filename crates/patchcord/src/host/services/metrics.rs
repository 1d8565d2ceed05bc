//! `metrics`: numbers that scripts count for the operator.

use std::sync::Arc;

use rhai::{Dynamic, EvalAltResult, FLOAT, INT, ImmutableString, Map};

use crate::{
    connection::Turn,
    event::{Change, HostEvent, Labels, MetricKind, Noted, ScriptMetrics},
    host::functions::{Functions, Signature},
    script::misuse,
};

/// Maximum length of the name of a metric or of a label, in bytes.
const MAX_NAME: usize = 64;
/// Maximum number of labels of a series.
const MAX_LABELS: usize = 8;
/// Maximum length of the value of a label, in bytes. The rest is cut off.
const MAX_VALUE: usize = 64;
/// Maximum of a duration, in milliseconds: a year. Beyond it, a sum would lose its precision.
const MAX_MS: FLOAT = 366.0 * 24.0 * 60.0 * 60.0 * 1_000.0;

type Fallible<T = ()> = Result<T, Box<EvalAltResult>>;

/// Returns `true` for a name that Prometheus accepts.
fn is_name(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.len() <= MAX_NAME
        && name.starts_with(is_letter)
        && name.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}

fn check_name(word: &str, name: &str) -> Fallible {
    if !is_name(name) {
        let shown: String = name.chars().take(MAX_NAME).collect();
        return Err(misuse(format!(
            "`{word}` takes a name of up to {MAX_NAME} letters, digits and `_`, and got `{shown}`"
        )));
    }
    if let Some(bare) = name.strip_suffix("_total") {
        return Err(misuse(format!(
            "`{word}` takes a name without `_total`: write `{bare}`"
        )));
    }
    Ok(())
}

/// Returns the text of a label's value, without the part beyond its maximum length.
fn label_value(word: &str, name: &str, value: &Dynamic) -> Fallible<String> {
    let cut = |text: &str| {
        let end = text.floor_char_boundary(MAX_VALUE);
        text.get(..end).unwrap_or_default().to_owned()
    };
    match value.read_lock::<ImmutableString>() {
        Some(text) => Ok(cut(&text)),
        None if value.is_int() || value.is_bool() => Ok(value.to_string()),
        None => {
            let wanted = "a string, an integer or a boolean";
            Err(misuse(format!(
                "`{word}`: the value of the label `{name}` must be {wanted}"
            )))
        }
    }
}

/// Returns labels, sorted by their names. `word` is the function that receives them.
pub(crate) fn labels(word: &str, map: &Map) -> Fallible<Labels> {
    if map.len() > MAX_LABELS {
        return Err(misuse(format!(
            "`{word}` takes up to {MAX_LABELS} labels, and got {}",
            map.len()
        )));
    }
    let label = |(name, value): (&rhai::Identifier, &Dynamic)| {
        let is_reserved = name == "le" || name.starts_with("__");
        match is_name(name) && !is_reserved {
            true => Ok((name.to_string(), label_value(word, name, value)?)),
            false => Err(misuse(format!(
                "`{word}` takes labels whose names are up to {MAX_NAME} letters, digits and `_`, and not `le` or `__...`"
            ))),
        }
    };
    map.iter().map(label).collect()
}

/// Names of the kinds, as their functions are called.
const fn function_of(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Counter => "metrics::incr",
        MetricKind::Gauge => "metrics::gauge",
        MetricKind::Time => "metrics::time",
    }
}

fn note(
    metrics: &ScriptMetrics,
    word: &'static str,
    name: &str,
    map: &Map,
    change: Change,
) -> Fallible {
    check_name(word, name)?;
    match metrics.note(name, &labels(word, map)?, change) {
        Noted::Yes => Ok(()),
        Noted::Taken { by, kind } => {
            let other = function_of(kind);
            Err(misuse(match by == name {
                true => format!("`{word}`: `{name}` is a metric of `{other}`: use another name"),
                false => format!(
                    "`{word}`: `/metrics` cannot show both `{name}` and `{by}`, which is a metric of `{other}`: use another name"
                ),
            }))
        }
        Noted::Dropped { first } => {
            dropped(word, name, first);
            Ok(())
        }
    }
}

/// Counts a change that was dropped, and announces the first one.
fn dropped(word: &str, name: &str, first: bool) {
    let Some(turn) = Turn::current() else { return };
    let driver = turn.namespace().driver();
    driver.counters().metrics_dropped.add();
    if first {
        driver.announce(HostEvent::ServiceFailed {
            namespace: turn.namespace().path().clone(),
            socket: turn.connection.socket().map(ToString::to_string),
            service: word.to_owned(),
            target: name.to_owned(),
            error:
                "the host has 1,000 series, which is the limit: further ones are dropped; labels \
                    with fewer values help"
                    .to_owned(),
        });
    }
}

fn add(metrics: &ScriptMetrics, name: &str, n: INT, labels: &Map) -> Fallible {
    let word = function_of(MetricKind::Counter);
    let n = u64::try_from(n).map_err(|_| {
        format!("`{word}` takes 0 or more, and got {n}: `metrics::gauge` sets a number that falls")
    })?;
    note(metrics, word, name, labels, Change::Add(n))
}

fn set(metrics: &ScriptMetrics, name: &str, value: FLOAT, labels: &Map) -> Fallible {
    let word = function_of(MetricKind::Gauge);
    note(metrics, word, name, labels, Change::Set(value))
}

fn time(metrics: &ScriptMetrics, name: &str, ms: FLOAT, labels: &Map) -> Fallible {
    let word = function_of(MetricKind::Time);
    if !(0.0..=MAX_MS).contains(&ms) {
        return Err(misuse(format!(
            "`{word}` takes 0 to {MAX_MS} ms, and got {ms}"
        )));
    }
    note(metrics, word, name, labels, Change::Time(ms))
}

const INCR: &str = "\
Adds `n`, which is 1 by default, to a counter. It is for the operator: `/metrics` shows it as `script_NAME_total`, in \
Prometheus' text format, and `Host::script_metrics` returns it to the application. A counter only grows, and starts at 0 \
when the host starts. `labels` is a map with up to 8 strings, integers or booleans; each combination of their values is a \
series of its own. All namespaces of the host share the series, and there are at most 1,000 of them: the host drops \
further ones, announces this once, and counts it in `patchcord_metrics_dropped_total`. So use labels with few values, and \
neither ids nor text of clients. A name has up to 64 letters, digits and `_`, and belongs to one kind of metric for \
ever. A label's value is cut off after 64 bytes. In Node, the package `prom-client` does this.

```rhai
socket.on(\"say\", |room, text| {
    metrics::incr(\"messages\");
    metrics::incr(\"message_bytes\", text.len(), #{ kind: \"chat\" });
});
```";

const GAUGE: &str = "\
Sets a number that rises and falls. `/metrics` shows it as `script_NAME`. The names, labels and limits are those of \
`metrics::incr`.

```rhai
metrics::gauge(\"players\", 12, #{ game: \"chess\" });
```";

const TIME: &str = "\
Adds a duration in milliseconds, from 0 to a year, to a histogram. `/metrics` shows it as `script_NAME_seconds`: the \
number of durations, their sum in seconds, and the number of those up to 1, 2.5, 5, 10, 25, 50, 100, 250 and 500 ms, 1, \
2.5, 5 and 10 s. The names, labels and limits are those of `metrics::incr`.

```rhai
let since = now_ms();
socket.on(\"pong\", || { metrics::time(\"round_trip\", now_ms() - since); });
```";

/// Returns the functions of the module `metrics`.
#[allow(clippy::cast_precision_loss, reason = "a metric is a float")]
pub(super) fn functions(metrics: &Arc<ScriptMetrics>) -> Functions {
    let mut functions = Functions::new();
    macro_rules! effect {
        ($doc:ident, $signature:literal, |$to:ident, $($arg:ident: $type:ty),*| $call:expr) => {
            let $to = metrics.clone();
            let call = move |$($arg: $type),*| $call;
            functions = functions.effect(Signature::new($signature).doc($doc), call);
        };
    }
    let none = Map::new;
    effect!(INCR, "incr(name)", |to, name: &str| add(
        &to,
        name,
        1,
        &none()
    ));
    effect!(INCR, "incr(name, n)", |to, name: &str, n: INT| add(
        &to,
        name,
        n,
        &none()
    ));
    effect!(
        INCR,
        "incr(name, n, labels)",
        |to, name: &str, n: INT, labels: Map| { add(&to, name, n, &labels) }
    );
    effect!(GAUGE, "gauge(name, value)", |to, name: &str, value: INT| {
        set(&to, name, value as FLOAT, &none())
    });
    effect!(
        GAUGE,
        "gauge(name, value)",
        |to, name: &str, value: FLOAT| { set(&to, name, value, &none()) }
    );
    effect!(
        GAUGE,
        "gauge(name, value, labels)",
        |to, name: &str, value: INT, labels: Map| { set(&to, name, value as FLOAT, &labels) }
    );
    effect!(
        GAUGE,
        "gauge(name, value, labels)",
        |to, name: &str, value: FLOAT, labels: Map| { set(&to, name, value, &labels) }
    );
    effect!(TIME, "time(name, ms)", |to, name: &str, ms: INT| {
        time(&to, name, ms as FLOAT, &none())
    });
    effect!(TIME, "time(name, ms)", |to, name: &str, ms: FLOAT| time(
        &to,
        name,
        ms,
        &none()
    ));
    effect!(
        TIME,
        "time(name, ms, labels)",
        |to, name: &str, ms: INT, labels: Map| { time(&to, name, ms as FLOAT, &labels) }
    );
    effect!(
        TIME,
        "time(name, ms, labels)",
        |to, name: &str, ms: FLOAT, labels: Map| { time(&to, name, ms, &labels) }
    );
    functions
}
