//! Commands about versions for some clients first: `stage`, `promote`, `abandon`.

use serde_json::json;

use super::{
    arguments::Arguments,
    preview::effects,
    protocol::{Refusal, Reply},
    table::{many, problems},
};
use crate::{
    event::StagedScript,
    host::{Audience, Host, StageError},
};

pub(super) async fn stage(host: Host, arguments: Arguments) -> Result<Reply, Refusal> {
    let audience = Audience::from_args(arguments.texts("audience"));
    let audience = audience.map_err(|error| Refusal::usage(error.to_string()))?;
    let staged = host.stage(audience).await.map_err(refusal)?;
    let connections = many(staged.connections, "connection");
    let head = format!("staged for {}, on {connections}", staged.audience);
    let lines = staged.scripts.iter().flat_map(|one| {
        let (version, instead_of) = (one.version, one.instead_of);
        lines(one, &format!("version {version} in place of {instead_of}"))
    });
    let text: Vec<_> = std::iter::once(head).chain(lines).collect();
    Ok(Reply::new(staged, text.join("\n")))
}

pub(super) async fn promote(host: Host) -> Result<Reply, Refusal> {
    let batch = host.promote().await.map_err(refusal)?;
    let text = format!("batch {batch}: the staged versions serve all clients");
    Ok(Reply::new(json!({ "batch": batch }), text))
}

pub(super) async fn abandon(host: Host) -> Result<Reply, Refusal> {
    let scripts = host.abandon().await.map_err(refusal)?;
    let lines = scripts.iter().flat_map(|one| {
        let (version, instead_of) = (one.version, one.instead_of);
        lines(one, &format!("back from version {version} to {instead_of}"))
    });
    let text: Vec<_> = lines.collect();
    Ok(Reply::new(json!({ "scripts": scripts }), text.join("\n")))
}

fn lines(one: &StagedScript, head: &str) -> Vec<String> {
    let on = many(one.reload.rebound, "connection");
    let head = format!("{}: {head} of {} on {on}", one.script, one.namespace);
    std::iter::once(head)
        .chain(effects(&one.reload, &one.script))
        .collect()
}

fn refusal(error: StageError) -> Refusal {
    let refusal = Refusal::new(error.to_string());
    match error {
        StageError::Rejected(diagnostics) => {
            let text = problems(&diagnostics);
            refusal.details(json!({ "problems": diagnostics }), text)
        }
        StageError::NothingChanged => {
            refusal.hint("`patchcord ctl pause` lets saves wait, so that they can be staged")
        }
        StageError::NothingStaged => {
            refusal.hint("`patchcord ctl stage` stages the files as they are")
        }
        _ => refusal,
    }
}
