//! Metrics endpoint: `GET /metrics` returns the counters of the host, in Prometheus' text format.

use std::fmt::Write;

use axum::{
    Router,
    http::{HeaderName, header},
    routing::get,
};

use crate::{diagnostic::visible, host::Host};

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
    text
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
