//! Events about staged versions as text.

use super::{Lines, reloaded};
use crate::event::{HostEvent, RollbackReason, StagedScript};

/// Adds the lines of an event about staged versions.
pub(super) fn lines(lines: &mut Lines<'_>, event: &HostEvent) {
    match event {
        HostEvent::Staged {
            audience,
            connections,
            scripts,
        } => {
            let connections = match connections {
                1 => "1 connection".to_owned(),
                _ => format!("{connections} connections"),
            };
            lines.line(&format!("staged for {audience}, on {connections}"));
            for one in scripts {
                let (version, instead_of) = (one.version, one.instead_of);
                let head = format!("version {version} in place of {instead_of}");
                script(lines, one, &head);
            }
        }
        HostEvent::Promoted { batch, scripts } => lines.line(&format!(
            "promoted: what was staged of {} serves all clients, as batch {batch}",
            scripts.join(", ")
        )),
        HostEvent::Abandoned { reason, scripts } => {
            lines.line(&match reason {
                RollbackReason::Errors { connections } => format!(
                    "abandoned: the staged versions fail on {connections} connections where those that serve do not"
                ),
                RollbackReason::Requested => "abandoned: nothing is staged any more".to_owned(),
            });
            for one in scripts {
                let (version, instead_of) = (one.version, one.instead_of);
                let head = format!("back from version {version} to {instead_of}");
                script(lines, one, &head);
            }
        }
        HostEvent::WaitsForStage { files } => lines.line(&format!(
            "staged: {} saved, waits for `promote` or `abandon`",
            files.join(", ")
        )),
        _ => {}
    }
}

fn script(lines: &mut Lines<'_>, one: &StagedScript, head: &str) {
    let hash = match lines.show.verbose {
        true => format!("; {}", one.hash),
        false => String::new(),
    };
    let names = (&*one.namespace, &*one.script);
    reloaded(lines, head, names, &one.reload, &hash);
}
