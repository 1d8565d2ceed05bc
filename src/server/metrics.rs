//! `GET /metrics`: what the host counts, in Prometheus' text format.

use std::fmt::Write;

use axum::{
    Router,
    http::{HeaderName, header},
    routing::get,
};

use crate::host::Host;

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
    for (name, meaning, count) in host.counters().all() {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "# HELP patchcord_{name}_total {meaning}\n# TYPE patchcord_{name}_total counter\npatchcord_{name}_total {count}\n"
        );
    }
    text.push_str(
        "# HELP patchcord_sockets sockets that are connected now\n# TYPE patchcord_sockets gauge\n",
    );
    for (namespace, sockets) in host.sockets() {
        let label = namespace.replace('\\', r"\\").replace('"', "\\\"");
        let _ = writeln!(text, "patchcord_sockets{{namespace=\"{label}\"}} {sockets}");
    }
    text
}
