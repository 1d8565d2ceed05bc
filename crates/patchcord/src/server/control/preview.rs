//! Previews of saves: `preview`.

use super::{
    arguments::Arguments,
    protocol::{Refusal, Reply},
    table::{many, problems},
};
use crate::{
    diagnostic::visible,
    event::{HostEvent, Reload},
    host::{Host, Preview},
};

pub(super) async fn preview(host: Host, arguments: Arguments) -> Result<Reply, Refusal> {
    let preview = host.preview_files(&arguments.texts("file")).await;
    let preview = preview.map_err(|name| Refusal::new(format!("there is no script `{name}`")))?;
    let text = text(&preview);
    match preview.is_rejected() {
        true => Err(Refusal::new("the save would be rejected").details(preview, text)),
        false => Ok(Reply::new(preview, text)),
    }
}

fn text(preview: &Preview) -> String {
    if preview.events.is_empty() {
        return "nothing would change".to_owned();
    }
    let lines: Vec<_> = preview.events.iter().flat_map(lines).collect();
    lines.join("\n")
}

fn lines(event: &HostEvent) -> Vec<String> {
    match event {
        HostEvent::Loaded {
            namespace,
            script,
            version,
            ..
        } => vec![format!(
            "{script}: version {version} would serve {namespace}"
        )],
        HostEvent::Replaced {
            namespace,
            script,
            version,
            reload,
            ..
        } => {
            let on = many(reload.rebound, "connection");
            let head = format!("{script}: version {version} of {namespace} would serve on {on}");
            std::iter::once(head)
                .chain(effects(reload, script))
                .collect()
        }
        HostEvent::Rejected {
            scripts,
            diagnostics,
        } => {
            let kept = scripts.iter().map(|kept| match kept.version {
                Some(version) => format!("{}: version {version} would keep serving", kept.script),
                None => format!("{}: would not be loaded", kept.script),
            });
            std::iter::once(problems(diagnostics)).chain(kept).collect()
        }
        HostEvent::Warnings { diagnostics } => vec![problems(diagnostics)],
        HostEvent::HandlerFailed { diagnostic } => vec![problems(std::slice::from_ref(diagnostic))],
        HostEvent::Unchanged {
            script, version, ..
        } => vec![format!("{script}: as version {version}, which serves")],
        HostEvent::KeptByRollback {
            namespace,
            script,
            version,
            ..
        } => vec![format!(
            "{script}: version {version} would keep serving {namespace}"
        )],
        HostEvent::Missing {
            namespace,
            script,
            clients,
            ..
        } => {
            let clients = many(*clients, "client");
            vec![format!(
                "{script}: the file is gone: {clients} of {namespace} would be disconnected, unless it comes back"
            )]
        }
        HostEvent::Moved {
            namespace,
            from,
            to,
            clients,
        } => {
            let clients = many(*clients, "client");
            vec![format!(
                "{to} would serve {namespace} in place of {from}: {clients} disconnected"
            )]
        }
        HostEvent::ScriptsUnreadable { error: problem } => {
            vec![format!("error: {}", visible(problem))]
        }
        _ => vec![],
    }
}

/// Returns the effects on the code and on live connections, as lines.
pub(super) fn effects(reload: &Reload, script: &str) -> Vec<String> {
    let details = reload.details(script).into_iter();
    details
        .map(|line| format!("  {}", visible(&line)))
        .collect()
}
