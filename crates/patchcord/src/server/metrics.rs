//! Metrics endpoint: `GET /metrics` returns the counters of the host, and the metrics of its scripts, in Prometheus'
//! text format. The names of the host begin with `patchcord_`, and those of scripts with `script_`, so that they are
//! never the same.

use std::fmt::Write;

use axum::{
    Router,
    http::{HeaderName, header},
    routing::get,
};

use crate::{
    diagnostic::visible,
    event::{MetricKind, MetricValue, ScriptMetric},
    host::Host,
};

const TEXT: [(HeaderName, &str); 1] = [(
    header::CONTENT_TYPE,
    "text/plain; version=0.0.4; charset=utf-8",
)];

pub(super) fn router(host: Host) -> Router {
    Router::new().route(
        "/metrics",
        get(move || {
            let text = text(&host);
            async { (TEXT, text) }
        }),
    )
}

fn text(host: &Host) -> String {
    let mut text = String::new();
    let counters = host.counters();
    for (name, meaning, count) in counters.all() {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "# HELP patchcord_{name}_total {meaning}\n# TYPE patchcord_{name}_total counter\n"
        );
        let _ = match counters.reasons(name) {
            None => writeln!(text, "patchcord_{name}_total {count}"),
            Some(reasons) => reasons.iter().try_for_each(|(reason, count)| {
                writeln!(
                    text,
                    "patchcord_{name}_total{{reason=\"{reason}\"}} {count}"
                )
            }),
        };
    }
    text.push_str(
        "# HELP patchcord_sockets sockets that are connected now\n# TYPE patchcord_sockets gauge\n",
    );
    for (namespace, sockets) in host.sockets() {
        let label = label(&namespace);
        let _ = writeln!(text, "patchcord_sockets{{namespace=\"{label}\"}} {sockets}");
    }
    text.push_str(
        "# HELP patchcord_present_keys keys of `socket.present`\n# TYPE patchcord_present_keys gauge\n",
    );
    for (namespace, keys) in host.present_keys() {
        let label = label(&namespace);
        let _ = writeln!(
            text,
            "patchcord_present_keys{{namespace=\"{label}\"}} {keys}"
        );
    }
    for metric in host.script_metrics() {
        script_metric(&mut text, &metric);
    }
    text
}

/// Writes a metric of scripts.
fn script_metric(text: &mut String, metric: &ScriptMetric) {
    let (ending, kind) = match metric.kind {
        MetricKind::Counter => ("_total", "counter"),
        MetricKind::Gauge => ("", "gauge"),
        MetricKind::Time => ("_seconds", "histogram"),
    };
    let name = format!("script_{}{ending}", metric.name);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# TYPE {name} {kind}");
    for series in &metric.series {
        let labels = series.labels.iter();
        let labels: Vec<_> = labels
            .map(|(name, value)| format!("{name}=\"{}\"", label(value)))
            .collect();
        let mut line = |ending: &str, more: Option<String>, value: &dyn std::fmt::Display| {
            let all: Vec<_> = labels.iter().cloned().chain(more).collect();
            let all = match all.is_empty() {
                true => String::new(),
                false => format!("{{{}}}", all.join(",")),
            };
            let _ = writeln!(text, "{name}{ending}{all} {value}");
        };
        match &series.value {
            MetricValue::Counter(count) => line("", None, count),
            MetricValue::Gauge(value) => line("", None, &number(*value)),
            MetricValue::Time {
                count,
                sum_seconds,
                buckets,
            } => {
                for (bound, count) in buckets {
                    line("_bucket", Some(format!("le=\"{bound}\"")), count);
                }
                line("_bucket", Some("le=\"+Inf\"".to_owned()), count);
                line("_sum", None, &number(*sum_seconds));
                line("_count", None, count);
            }
        }
    }
}

/// Returns a number as Prometheus reads it.
fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}

/// Escapes the value of a label. Adds no quotes around it.
fn label(value: &str) -> String {
    visible(value).replace('\\', r"\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{hostile::TEXT, is_hidden};

    #[test]
    fn a_label_stays_in_its_quotes_and_in_its_line() {
        for value in [TEXT, "a\"b\\c\nd", "\\", "\""] {
            let label = label(value);
            assert!(!label.contains(is_hidden), "{label:?}");
            let ends = label.replace(r"\\", "").replace("\\\"", "");
            assert!(!ends.contains(['"', '\\']), "{label}");
        }
        assert_eq!(label("/room/{id}"), "/room/{id}");
    }
}
