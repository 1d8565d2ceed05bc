//! Writes events as log lines when the application has no listener, so that nothing is lost in silence.

use crate::event::{HostEvent, Level};

pub(super) fn trace(event: &HostEvent) {
    match event {
        HostEvent::Loaded {
            namespace,
            script,
            version,
            hash,
            ..
        } => {
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
            let rebound = reload.rebound;
            tracing::info!(%namespace, %script, version, %hash, rebound, "script replaced");
        }
        HostEvent::RolledBack {
            namespace,
            script,
            from,
            version,
            hash,
            reason,
            ..
        } => {
            tracing::warn!(%namespace, %script, from, version, %hash, ?reason, "script rolled back");
        }
        HostEvent::Rejected {
            scripts,
            diagnostics,
        } => {
            for problem in diagnostics {
                tracing::error!(?scripts, %problem, "scripts rejected");
            }
        }
        HostEvent::Warned { diagnostics } => {
            for problem in diagnostics {
                tracing::warn!(%problem, "scripts loaded with warnings");
            }
        }
        HostEvent::Removed { namespace, script } => {
            tracing::warn!(%namespace, %script, "script removed");
        }
        HostEvent::Unreadable { problem } => tracing::error!(problem, "scripts cannot be read"),
        HostEvent::HandlerFailed { diagnostic } => tracing::error!(%diagnostic, "handler failed"),
        HostEvent::Lost {
            namespace,
            socket,
            event,
            reason,
            times,
        } => {
            tracing::warn!(%namespace, socket, event, reason, times, "event lost");
        }
        HostEvent::Repeated { diagnostic, times } => {
            tracing::error!(%diagnostic, times, "the same error again and again");
        }
        HostEvent::CutOff {
            peer,
            socket,
            reason,
        } => tracing::warn!(?peer, socket, reason, "client disconnected"),
        HostEvent::SlowConsumer {
            peer,
            socket,
            packets,
            backlog,
        } => {
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
        } => tracing::warn!(?peer, reason, times, "client refused"),
        HostEvent::NoConnection { problem } => {
            tracing::error!(problem, "no connection is taken for now");
        }
        HostEvent::AttachWarning { problem } => tracing::warn!(problem, "host attached"),
        HostEvent::HostRefused { host } => tracing::warn!(host, "host refused"),
        HostEvent::OriginRefused { origin } => tracing::warn!(origin, "origin refused"),
        HostEvent::Log {
            level,
            text,
            namespace,
            socket,
            script,
            line,
        } => match level {
            Level::Debug => tracing::debug!(%namespace, socket, script, line, "{text}"),
            Level::Info => tracing::info!(%namespace, socket, script, line, "{text}"),
            Level::Warn => tracing::warn!(%namespace, socket, script, line, "{text}"),
            Level::Error => tracing::error!(%namespace, socket, script, line, "{text}"),
        },
    }
}
