//! Writes events as log lines when the application has no listener, so that nothing is lost in silence.
//!
//! Invariant: no text of a client or a script gets into a field as it is, because a subscriber may write fields as they
//! are: each goes through [`visible`]. A diagnostic does so by itself.

use crate::{
    diagnostic::visible,
    event::{HostEvent, Level, StagedScript},
};

pub(super) fn trace(event: &HostEvent) {
    match event {
        HostEvent::Loaded { .. }
        | HostEvent::Replaced { .. }
        | HostEvent::RolledBack { .. }
        | HostEvent::KeptByRollBack { .. }
        | HostEvent::Rejected { .. }
        | HostEvent::Unchanged { .. }
        | HostEvent::Paused { .. }
        | HostEvent::Resumed
        | HostEvent::Staged { .. }
        | HostEvent::Promoted { .. }
        | HostEvent::Abandoned { .. }
        | HostEvent::WaitsForStage { .. }
        | HostEvent::HistoryFailed { .. }
        | HostEvent::Warned { .. }
        | HostEvent::Removed { .. }
        | HostEvent::Unreadable { .. } => scripts(event),
        HostEvent::Unheard {
            namespace,
            script,
            event,
            since,
            similar,
            clients,
        } => {
            let (namespace, script) = (visible(namespace), visible(script));
            let similar = shown(similar.as_ref());
            tracing::warn!(%namespace, %script, event = %visible(event), since, similar, clients, "clients send an event that nobody listens to");
        }
        HostEvent::Missing { .. }
        | HostEvent::Returned { .. }
        | HostEvent::Moved { .. }
        | HostEvent::Ignored { .. } => files(event),
        HostEvent::Unanswered {
            namespace,
            script,
            event,
        } => {
            let (namespace, script) = (visible(namespace), visible(script));
            tracing::warn!(%namespace, %script, event = %visible(event), "an ack was neither called nor kept");
        }
        HostEvent::HandlerFailed { diagnostic } => tracing::error!(%diagnostic, "handler failed"),
        HostEvent::Repeated { diagnostic, times } => {
            tracing::error!(%diagnostic, times, "the same error again and again");
        }
        HostEvent::Log {
            level,
            text,
            namespace,
            socket,
            script,
            line,
        } => {
            let (namespace, text) = (visible(namespace), visible(text));
            let (socket, script) = (shown(socket.as_ref()), shown(script.as_ref()));
            match level {
                Level::Debug => tracing::debug!(%namespace, socket, script, line, "{text}"),
                Level::Info => tracing::info!(%namespace, socket, script, line, "{text}"),
                Level::Warn => tracing::warn!(%namespace, socket, script, line, "{text}"),
                Level::Error => tracing::error!(%namespace, socket, script, line, "{text}"),
            }
        }
        HostEvent::Lost { .. }
        | HostEvent::CutOff { .. }
        | HostEvent::SlowConsumer { .. }
        | HostEvent::Refused { .. }
        | HostEvent::HeadersLeftOut { .. }
        | HostEvent::ResponseUnread { .. }
        | HostEvent::BundleMissing { .. }
        | HostEvent::UntrustedProxy { .. }
        | HostEvent::HostRefused { .. }
        | HostEvent::ConnectRefused { .. }
        | HostEvent::Suppressed { .. }
        | HostEvent::NoConnection { .. }
        | HostEvent::AttachWarning { .. }
        | HostEvent::OriginRefused { .. } => clients(event),
    }
}

/// Writes an event about the files of the scripts.
fn files(event: &HostEvent) {
    match event {
        HostEvent::Missing {
            namespace,
            script,
            clients,
            milliseconds,
            same_text,
        } => {
            let (namespace, script) = (visible(namespace), visible(script));
            let same_text = same_text.as_deref().map(visible);
            tracing::warn!(%namespace, %script, clients, milliseconds, ?same_text, "script missing");
        }
        HostEvent::Returned {
            namespace,
            script,
            version,
        } => {
            let (namespace, script) = (visible(namespace), visible(script));
            tracing::info!(%namespace, %script, version, "script back in time");
        }
        HostEvent::Moved {
            namespace,
            from,
            to,
            clients,
        } => {
            let (namespace, from, to) = (visible(namespace), visible(from), visible(to));
            tracing::warn!(%namespace, %from, %to, clients, "another script serves the namespace");
        }
        HostEvent::Ignored { file, reason } => {
            tracing::warn!(file = %visible(file), reason = %visible(reason), "file not served");
        }
        _ => {}
    }
}

/// Writes an event about the scripts.
fn scripts(event: &HostEvent) {
    match event {
        HostEvent::Loaded {
            namespace,
            script,
            version,
            hash,
            ..
        } => {
            let (namespace, script) = (visible(namespace), visible(script));
            let hash = visible(hash);
            tracing::info!(%namespace, %script, version, %hash, "script loaded");
        }
        HostEvent::Replaced {
            namespace,
            script,
            version,
            hash,
            reload,
            ..
        } => {
            let effects = reload.details(script).join("; ");
            let (namespace, script) = (visible(namespace), visible(script));
            let (hash, rebound) = (visible(hash), reload.rebound);
            tracing::info!(%namespace, %script, version, %hash, rebound, effects = %visible(&effects), "script replaced");
        }
        HostEvent::RolledBack {
            namespace,
            script,
            from,
            version,
            hash,
            reason,
            reload,
            ..
        } => {
            let effects = reload.details(script).join("; ");
            let (namespace, script, hash) = (visible(namespace), visible(script), visible(hash));
            tracing::warn!(%namespace, %script, from, version, %hash, ?reason, effects = %visible(&effects), "script rolled back");
        }
        HostEvent::KeptByRollBack {
            namespace,
            script,
            version,
            reason,
        } => {
            let (namespace, script) = (visible(namespace), visible(script));
            tracing::warn!(%namespace, %script, version, ?reason, "script kept by a rollback");
        }
        HostEvent::Rejected {
            scripts,
            diagnostics,
        } => {
            let scripts = format!("{scripts:?}");
            let scripts = visible(&scripts);
            for problem in diagnostics {
                tracing::error!(%scripts, %problem, "scripts rejected");
            }
        }
        HostEvent::Unchanged {
            namespace,
            script,
            version,
        } => {
            let (namespace, script) = (visible(namespace), visible(script));
            tracing::info!(%namespace, %script, version, "script is as the version that serves");
        }
        HostEvent::Paused { files } => {
            let files = files.join(", ");
            tracing::info!(files = %visible(&files), "saves wait");
        }
        HostEvent::Resumed => tracing::info!("saves take effect again"),
        HostEvent::Staged {
            whom,
            connections,
            scripts,
        } => {
            let (whom, scripts) = (visible(whom), versions(scripts));
            tracing::info!(%whom, connections, scripts = %visible(&scripts), "versions staged");
        }
        HostEvent::Promoted { batch, scripts } => {
            let scripts = scripts.join(", ");
            tracing::info!(batch, scripts = %visible(&scripts), "staged versions promoted");
        }
        HostEvent::Abandoned { reason, scripts } => {
            let scripts = versions(scripts);
            tracing::warn!(?reason, scripts = %visible(&scripts), "staged versions abandoned");
        }
        HostEvent::WaitsForStage { files } => {
            let files = files.join(", ");
            tracing::info!(files = %visible(&files), "saves wait for the end of the stage");
        }
        HostEvent::HistoryFailed { problem } => {
            tracing::warn!(problem = %visible(problem), "history not kept");
        }
        HostEvent::Warned { diagnostics } => {
            for problem in diagnostics {
                tracing::warn!(%problem, "scripts loaded with warnings");
            }
        }
        HostEvent::Removed { namespace, script } => {
            let (namespace, script) = (visible(namespace), visible(script));
            tracing::warn!(%namespace, %script, "script removed");
        }
        HostEvent::Unreadable { problem } => {
            tracing::error!(problem = %visible(problem), "scripts cannot be read");
        }
        _ => {}
    }
}

fn versions(scripts: &[StagedScript]) -> String {
    let versions = scripts.iter().map(|one| {
        format!(
            "{} version {} of {}",
            one.script, one.version, one.namespace
        )
    });
    versions.collect::<Vec<_>>().join(", ")
}

/// Writes an event about clients.
fn clients(event: &HostEvent) {
    match event {
        HostEvent::Lost {
            namespace,
            socket,
            event,
            reason,
            times,
        } => {
            let (namespace, socket) = (visible(namespace), shown(socket.as_ref()));
            let (event, reason) = (visible(event), visible(reason));
            tracing::warn!(%namespace, socket, %event, %reason, times, "event lost");
        }
        HostEvent::CutOff {
            peer,
            socket,
            reason,
        } => {
            let (socket, reason) = (shown(socket.as_ref()), visible(reason));
            tracing::warn!(?peer, socket, %reason, "client disconnected");
        }
        HostEvent::SlowConsumer {
            peer,
            socket,
            packets,
            backlog,
        } => {
            let socket = shown(socket.as_ref());
            tracing::warn!(
                ?peer,
                socket,
                packets,
                backlog,
                "slow consumer disconnected"
            );
        }
        HostEvent::Refused {
            peer,
            reason,
            times,
        } => tracing::warn!(?peer, reason = %visible(reason), times, "client refused"),
        HostEvent::HeadersLeftOut { peer, names, times } => {
            let names = names.join(", ");
            tracing::warn!(?peer, names = %visible(&names), times, "headers left out");
        }
        HostEvent::ResponseUnread { peer, times } => {
            tracing::warn!(?peer, times, "response not read");
        }
        HostEvent::BundleMissing { path } => {
            tracing::warn!(path = %visible(path), "the official client's bundle is not served");
        }
        HostEvent::UntrustedProxy { peer, header } => {
            tracing::warn!(%peer, header = %visible(header), "proxy not trusted");
        }
        HostEvent::ConnectRefused {
            namespace,
            address,
            socket,
            kind,
            reason,
        } => {
            let (namespace, socket) = (visible(namespace), shown(socket.as_ref()));
            let reason = visible(reason);
            tracing::warn!(?address, socket, %namespace, ?kind, %reason, "client not let into a namespace");
        }
        HostEvent::Suppressed { event, times } => {
            tracing::warn!(
                times,
                "the following was announced a few times, and then counted"
            );
            trace(event);
        }
        HostEvent::NoConnection { problem } => {
            tracing::error!(problem = %visible(problem), "no connection is taken for now");
        }
        HostEvent::AttachWarning { problem } => {
            tracing::warn!(problem = %visible(problem), "host attached");
        }
        HostEvent::HostRefused { host } => {
            tracing::warn!(host = %visible(host), "host refused");
        }
        HostEvent::OriginRefused { origin } => {
            tracing::warn!(origin = %visible(origin), "origin refused");
        }
        _ => {}
    }
}

fn shown(text: Option<&String>) -> Option<String> {
    text.map(|text| visible(text).into_owned())
}

#[cfg(test)]
mod tests {
    use std::{
        fmt::Debug,
        sync::{Arc, Mutex},
    };

    use tracing::{
        Event, Metadata, Subscriber,
        field::{Field, Visit},
        span::{Attributes, Id, Record},
    };

    use super::*;
    use crate::{
        diagnostic::{hostile::TEXT, is_hidden},
        event::tests::every,
    };

    /// Subscriber that writes the fields of all events as they are.
    #[derive(Clone, Default)]
    struct Fields(Arc<Mutex<Vec<String>>>);

    impl Visit for Fields {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.0.lock().unwrap().push(format!("{field}={value:?}"));
        }

        fn record_str(&mut self, field: &Field, value: &str) {
            self.0.lock().unwrap().push(format!("{field}={value}"));
        }
    }

    impl Subscriber for Fields {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            event.record(&mut self.clone());
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn no_field_of_any_event_is_written_as_a_client_chose_it() {
        for event in every(TEXT) {
            let fields = Fields::default();
            tracing::subscriber::with_default(fields.clone(), || trace(&event));
            let fields = fields.0.lock().unwrap();
            assert!(
                fields.iter().any(|field| field.starts_with("message=")),
                "{event:?}"
            );
            for field in fields.iter() {
                // A diagnostic has several lines, and none of them begins with the text.
                let hidden = |c| c != '\n' && is_hidden(c);
                assert!(
                    !field.contains(hidden) && !field.contains("\nFORGED"),
                    "{field:?}"
                );
            }
        }
    }
}
