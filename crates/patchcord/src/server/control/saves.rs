//! Commands about saves: `reload`, `pause`, `resume`.

use serde_json::json;

use super::{
    protocol::{Refusal, Reply},
    table::{many, problems},
};
use crate::{diagnostic::Diagnostic, host::Host};

pub(super) async fn reload(host: Host) -> Result<Reply, Refusal> {
    let loaded = host.look().await;
    outcome(&host, loaded).await
}

pub(super) async fn pause(host: Host) -> Result<Reply, Refusal> {
    let text = match host.pause().await {
        true => "paused: saves wait for `resume`",
        false => "saves wait already",
    };
    Ok(Reply::new(json!({ "paused": true }), text))
}

pub(super) async fn resume(host: Host) -> Result<Reply, Refusal> {
    match host.reload_and_resume().await {
        Some(loaded) => outcome(&host, loaded).await,
        None => Ok(Reply::new(json!({ "batch": null }), "saves do not wait")),
    }
}

/// Returns the answer for the outcome of a load: its batch, or its problems.
async fn outcome(
    host: &Host,
    (batch, diagnostics): (Option<u64>, Vec<Diagnostic>),
) -> Result<Reply, Refusal> {
    if !diagnostics.is_empty() {
        let error = "rejected; what served before keeps serving";
        let text = problems(&diagnostics);
        return Err(Refusal::new(error).details(json!({ "problems": diagnostics }), text));
    }
    let Some(batch) = batch else {
        return Ok(Reply::new(json!({ "batch": null }), "nothing has changed"));
    };
    let mut versions = host.versions().await;
    versions.retain(|info| info.record.batch == Some(batch));
    let lines: Vec<_> = versions
        .iter()
        .map(|info| {
            let connections = many(info.connections, "connection");
            let (script, number) = (&info.script, info.record.number);
            format!(
                "{script}: version {number} of {} on {connections}",
                info.namespace
            )
        })
        .collect();
    let text = format!("batch {batch}\n{}", lines.join("\n"));
    Ok(Reply::new(
        json!({ "batch": batch, "versions": versions }),
        text,
    ))
}
