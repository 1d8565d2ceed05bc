//! Sample events of every variant, for tests that must cover all of them.

use std::sync::Arc;

use super::{
    ChangeKind, CodeChange, ConnectRefusal, Failure, HostEvent, KeptReason, Level, PresentKey,
    Reload, RollbackReason, Room, Silent, StagedScript, StaleCode, UnchangedScript, Variable,
};
use crate::diagnostic::{Diagnostic, Frame, FrameKind, Origin, Place, Severity};

/// Returns at least one event of every variant. Each text in them is `text`, and each number is 7. This code does not
/// compile if a variant or a field is missing here.
pub fn every(text: &str) -> Vec<HostEvent> {
    let mut all = Vec::new();
    let mut event = next(None, text);
    while let Some(happened) = event {
        event = next(Some(&happened), text);
        all.push(happened);
    }
    let levels = [Level::Debug, Level::Info, Level::Warn];
    all.extend(levels.map(|level| log(level, text)));
    all.extend(
        ConnectRefusal::ALL
            .iter()
            .map(|kind| connect_refused(*kind, text)),
    );
    let suppressed = all.iter().map(|event| HostEvent::Suppressed {
        event: Box::new(event.clone()),
        count: 7,
    });
    let suppressed: Vec<_> = suppressed.collect();
    all.extend(suppressed);
    all
}

/// Returns an event of the variant after that of `event`.
fn next(event: Option<&HostEvent>, text: &str) -> Option<HostEvent> {
    let diagnostics = || {
        vec![
            diagnostic(Severity::Error, text),
            diagnostic(Severity::Warning, text),
        ]
    };
    let (name, owned) = (|| Arc::<str>::from(text), || text.to_owned());
    let socket = || Some(text.to_owned());
    let peer = Some(([127, 0, 0, 1], 7).into());
    Some(match event {
        None => HostEvent::Loaded {
            namespace: name(),
            script: name(),
            version: 7,
            batch: 7,
            hash: name(),
            files: vec![name(), name()],
        },
        Some(HostEvent::Loaded { .. }) => HostEvent::Replaced {
            namespace: name(),
            script: name(),
            version: 7,
            batch: 7,
            hash: name(),
            files: vec![name(), name()],
            reload: reload(text),
        },
        Some(HostEvent::Replaced { .. }) => rolled_back(RollbackReason::Requested, text),
        Some(HostEvent::RolledBack { reason, .. }) => match reason {
            RollbackReason::Requested => {
                rolled_back(RollbackReason::Errors { connections: 7 }, text)
            }
            RollbackReason::Errors { .. } => kept(KeptReason::SavedSince, text),
        },
        Some(HostEvent::KeptByRollback { reason, .. }) => match reason {
            KeptReason::SavedSince => kept(KeptReason::First, text),
            KeptReason::First => kept(KeptReason::BeforeRestart, text),
            KeptReason::BeforeRestart => HostEvent::Rejected {
                scripts: vec![
                    UnchangedScript {
                        script: name(),
                        version: Some(7),
                    },
                    UnchangedScript {
                        script: name(),
                        version: None,
                    },
                ],
                diagnostics: diagnostics(),
            },
        },
        Some(HostEvent::Rejected { .. }) => HostEvent::Unchanged {
            namespace: name(),
            script: name(),
            version: 7,
        },
        Some(HostEvent::Unchanged { .. }) => HostEvent::Paused {
            files: vec![name(), name()],
        },
        Some(HostEvent::Paused { .. }) => HostEvent::Resumed,
        Some(HostEvent::Resumed) => HostEvent::Staged {
            audience: owned(),
            connections: 7,
            scripts: vec![staged(text), staged(text)],
        },
        Some(HostEvent::Staged { .. }) => HostEvent::Promoted {
            batch: 7,
            scripts: vec![name(), name()],
        },
        Some(HostEvent::Promoted { .. }) => HostEvent::Abandoned {
            reason: RollbackReason::Requested,
            scripts: vec![staged(text)],
        },
        Some(HostEvent::Abandoned { reason, .. }) => match reason {
            RollbackReason::Requested => HostEvent::Abandoned {
                reason: RollbackReason::Errors { connections: 7 },
                scripts: vec![staged(text), staged(text)],
            },
            RollbackReason::Errors { .. } => HostEvent::WaitsForStage {
                files: vec![name(), name()],
            },
        },
        Some(HostEvent::WaitsForStage { .. }) => HostEvent::HistoryFailed { error: owned() },
        Some(HostEvent::HistoryFailed { .. }) => HostEvent::Warnings {
            diagnostics: diagnostics(),
        },
        Some(HostEvent::Warnings { .. }) => HostEvent::Removed {
            namespace: name(),
            script: name(),
        },
        Some(HostEvent::Removed { .. }) => HostEvent::Missing {
            namespace: name(),
            script: name(),
            clients: 7,
            milliseconds: 7,
            same_text: Some(name()),
        },
        Some(HostEvent::Missing { .. }) => HostEvent::Returned {
            namespace: name(),
            script: name(),
            version: 7,
        },
        Some(HostEvent::Returned { .. }) => HostEvent::Moved {
            namespace: name(),
            from: name(),
            to: name(),
            clients: 7,
        },
        Some(HostEvent::Moved { .. }) => HostEvent::Ignored {
            file: name(),
            reason: owned(),
        },
        Some(HostEvent::Ignored { .. }) => HostEvent::ScriptsUnreadable { error: owned() },
        Some(HostEvent::ScriptsUnreadable { .. }) => HostEvent::HandlerFailed {
            diagnostic: diagnostic(Severity::Error, text),
        },
        Some(HostEvent::HandlerFailed { .. }) => HostEvent::Unheard {
            namespace: name(),
            script: name(),
            event: owned(),
            since: Some(7),
            similar: Some(owned()),
            clients: 7,
        },
        Some(HostEvent::Unheard { .. }) => HostEvent::Unanswered {
            namespace: name(),
            script: name(),
            event: owned(),
        },
        Some(HostEvent::Unanswered { .. }) => HostEvent::HandlerFailuresSuppressed {
            diagnostic: diagnostic(Severity::Error, text),
            count: 7,
        },
        Some(HostEvent::HandlerFailuresSuppressed { .. }) => HostEvent::EventDropped {
            namespace: name(),
            socket: socket(),
            event: owned(),
            reason: owned(),
            count: 7,
        },
        Some(HostEvent::EventDropped { .. }) => HostEvent::SlowConsumer {
            peer,
            socket: socket(),
            queued_packets: 7,
            queued_bytes: 7,
        },
        Some(HostEvent::SlowConsumer { .. }) => HostEvent::ClientDisconnected {
            peer,
            socket: socket(),
            reason: owned(),
        },
        Some(HostEvent::ClientDisconnected { .. }) => HostEvent::RequestRejected {
            peer,
            reason: owned(),
            count: 7,
        },
        Some(HostEvent::RequestRejected { .. }) => HostEvent::HeadersLeftOut {
            peer,
            names: vec![owned(), owned()],
            count: 7,
        },
        Some(HostEvent::HeadersLeftOut { .. }) => HostEvent::ResponseUnread { peer, count: 7 },
        Some(HostEvent::ResponseUnread { .. }) => HostEvent::BundleMissing { path: owned() },
        Some(HostEvent::BundleMissing { .. }) => HostEvent::UntrustedProxy {
            peer: ([127, 0, 0, 1], 7).into(),
            header: owned(),
        },
        Some(HostEvent::UntrustedProxy { .. }) => HostEvent::ServiceFailed {
            namespace: name(),
            socket: socket(),
            service: owned(),
            target: owned(),
            error: owned(),
        },
        Some(HostEvent::ServiceFailed { .. }) => HostEvent::StoreFailed {
            store: owned(),
            namespace: Some(name()),
            key: Some(owned()),
            error: owned(),
            unsaved: 7,
        },
        Some(HostEvent::StoreFailed { .. }) => HostEvent::StoreRecovered {
            store: owned(),
            saved: 7,
        },
        Some(HostEvent::StoreRecovered { .. }) => connect_refused(ConnectRefusal::Handshake, text),
        Some(HostEvent::ConnectRefused { .. }) => HostEvent::Suppressed {
            event: Box::new(HostEvent::OriginRefused { origin: owned() }),
            count: 7,
        },
        Some(HostEvent::Suppressed { .. }) => HostEvent::AcceptFailed { error: owned() },
        Some(HostEvent::AcceptFailed { .. }) => HostEvent::OriginRefused { origin: owned() },
        Some(HostEvent::OriginRefused { .. }) => HostEvent::HostRefused { host: owned() },
        Some(HostEvent::HostRefused { .. }) => HostEvent::AttachWarning { error: owned() },
        Some(HostEvent::AttachWarning { .. }) => log(Level::Error, text),
        Some(HostEvent::Log { .. }) => return None,
    })
}

fn staged(text: &str) -> StagedScript {
    StagedScript {
        namespace: text.into(),
        script: text.into(),
        version: 7,
        instead_of: 7,
        hash: text.into(),
        reload: reload(text),
    }
}

fn kept(reason: KeptReason, text: &str) -> HostEvent {
    HostEvent::KeptByRollback {
        namespace: text.into(),
        script: text.into(),
        version: 7,
        reason,
    }
}

fn rolled_back(reason: RollbackReason, text: &str) -> HostEvent {
    HostEvent::RolledBack {
        namespace: text.into(),
        script: text.into(),
        from: 7,
        version: 7,
        batch: 7,
        hash: text.into(),
        files: vec![text.into(), text.into()],
        reason,
        reload: reload(text),
    }
}

fn connect_refused(kind: ConnectRefusal, text: &str) -> HostEvent {
    HostEvent::ConnectRefused {
        namespace: text.to_owned(),
        address: Some([127, 0, 0, 1].into()),
        socket: Some(text.to_owned()),
        kind,
        reason: text.to_owned(),
    }
}

fn log(level: Level, text: &str) -> HostEvent {
    HostEvent::Log {
        level,
        text: text.to_owned(),
        namespace: text.into(),
        socket: Some(text.to_owned()),
        script: Some(text.to_owned()),
        line: Some(7),
    }
}

fn reload(text: &str) -> Reload {
    let (name, owned) = (|| Arc::<str>::from(text), || text.to_owned());
    let some = || Some(text.to_owned());
    let change = |kind| CodeChange {
        kind,
        name: owned(),
        before: some(),
        file: name(),
        line: 7,
        moved_from: Some((name(), 7)),
    };
    let failure = |disconnected| Failure {
        diagnostic: diagnostic(Severity::Error, text),
        connections: 7,
        disconnected,
    };
    Reload {
        changed: vec![name()],
        code: [
            ChangeKind::Changed,
            ChangeKind::Renamed,
            ChangeKind::Added,
            ChangeKind::Removed,
        ]
        .map(change)
        .into(),
        reported: vec![],
        rebound: 7,
        keep_old: 7,
        stale: vec![StaleCode {
            name: owned(),
            file: name(),
            line: 7,
            version: 7,
            lacks: some(),
            connections: 7,
        }],
        added: 7,
        removed: 7,
        silent: vec![Silent {
            event: owned(),
            connections: 7,
            recent: 7,
        }],
        variables: vec![Variable {
            name: owned(),
            from: some(),
            to: some(),
            followed: 7,
            kept: 7,
            merged: 7,
            reset: 7,
            lost: 7,
            renamed: some(),
        }],
        rooms: vec![Room {
            name: owned(),
            joined: 7,
            left: 7,
        }],
        present: vec![PresentKey {
            key: owned(),
            added: 7,
            removed: 7,
            replaced: 7,
        }],
        failing: 7,
        disconnected: 7,
        spared: 7,
        untaped: 7,
        reset: 7,
        failures: vec![failure(false), failure(true)],
        milliseconds: 7,
    }
}

fn diagnostic(severity: Severity, text: &str) -> Diagnostic {
    let place = || Place {
        file: text.into(),
        line: 1,
        column: 1,
        length: 1,
        source: Some(text.into()),
    };
    let frame = |kind| Frame {
        kind,
        function: text.to_owned(),
        place: Some(place()),
    };
    Diagnostic {
        severity,
        message: text.to_owned(),
        place: Some(place()),
        trace: [FrameKind::Function, FrameKind::Closure, FrameKind::Import]
            .map(frame)
            .into(),
        hints: vec![text.to_owned()],
        origin: Some(Origin {
            namespace: text.to_owned(),
            call: text.to_owned(),
            socket: Some(text.to_owned()),
            version: 7,
        }),
    }
}
