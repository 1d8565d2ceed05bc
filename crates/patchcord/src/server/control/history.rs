//! Commands about versions: `versions`, `diff`, `rollback`.

use serde_json::json;

use super::{
    arguments::Arguments,
    protocol::{Refusal, Reply},
    table::{age, problems, table},
};
use crate::event::KeptReason;
use crate::host::{Host, KeptVersion, RollbackError, RolledBack, VersionInfo};

/// Default number of versions that are listed.
const LISTED: usize = 20;

pub(super) async fn versions(host: Host, arguments: Arguments) -> Result<Reply, Refusal> {
    let mut versions = host.versions().await;
    if let Some(namespace) = arguments.text("namespace") {
        versions.retain(|info| &*info.namespace == namespace);
        if versions.is_empty() {
            return Err(Refusal::new(format!("no script has served `{namespace}`")));
        }
    }
    let last = arguments
        .number("last")
        .map_or(LISTED, |last| usize::try_from(last).unwrap_or(usize::MAX));
    let more = versions.len().saturating_sub(last);
    let versions = versions.split_off(more);
    let heads = [
        " BATCH",
        " AGE",
        "NAMESPACE",
        " VERSION",
        "OUTCOME",
        " CONNECTIONS",
        "FILES",
    ];
    let rows: Vec<_> = versions.iter().map(row).collect();
    let mut text = table(&heads, &rows);
    if more > 0 {
        text += &format!("\n{more} earlier ones: `--last {}`", more + versions.len());
    }
    Ok(Reply::new(json!({ "versions": versions }), text))
}

fn row(info: &VersionInfo) -> Vec<String> {
    let record = &info.record;
    let outcome = serde_json::to_value(record.outcome).unwrap_or_default();
    let outcome = outcome.as_str().unwrap_or_default().replace('_', " ");
    vec![
        record
            .batch
            .map_or_else(|| "-".to_owned(), |batch| batch.to_string()),
        age(record.time),
        info.namespace.to_string(),
        record.number.to_string(),
        match info.serves {
            true => format!("{outcome}, serves"),
            false => outcome,
        },
        match info.connections > 0 || info.serves {
            true => info.connections.to_string(),
            false => String::new(),
        },
        record.files.join(" "),
    ]
}

pub(super) async fn diff(host: Host, arguments: Arguments) -> Result<Reply, Refusal> {
    let a = arguments.number("a").unwrap_or_default();
    let (namespace, b) = compared(&host.versions().await, &arguments, a)?;
    let diff = host.diff(&namespace, a, b).await;
    let diff = diff.map_err(|error| Refusal::new(error.to_string()))?;
    let text = match diff.is_empty() {
        true => format!("versions {a} and {b} of {namespace} have the same texts"),
        false => diff.trim_end().to_owned(),
    };
    let result = json!({ "namespace": namespace, "a": a, "b": b, "diff": diff });
    Ok(Reply::new(result, text))
}

/// Returns the namespace whose versions are compared, and the number of the other version.
fn compared(
    versions: &[VersionInfo],
    arguments: &Arguments,
    a: u64,
) -> Result<(String, u64), Refusal> {
    let wanted = arguments.text("namespace");
    let has = |namespace: &str, number: u64| {
        let mut all = versions.iter().filter(|info| &*info.namespace == namespace);
        all.any(|info| info.record.batch.is_some() && info.record.number == number)
    };
    let serving = versions.iter().filter(|info| info.serves);
    let candidates = serving
        .filter(|info| wanted.is_none_or(|wanted| wanted == &*info.namespace))
        .map(|info| {
            (
                info.namespace.to_string(),
                arguments.number("b").unwrap_or(info.record.number),
            )
        });
    let mut found: Vec<_> = candidates.collect();
    if wanted.is_none() && found.len() > 1 {
        found.retain(|(namespace, b)| has(namespace, a) && has(namespace, *b));
    }
    let names: Vec<_> = found
        .iter()
        .map(|(namespace, _)| namespace.as_str())
        .collect();
    match (found.as_slice(), wanted) {
        ([one], _) => Ok(one.clone()),
        ([], Some(wanted)) => Err(Refusal::new(format!("no script serves `{wanted}`"))),
        ([], None) => Err(Refusal::new("no namespace has these versions")
            .hint("`patchcord ctl versions` lists them")),
        _ => Err(Refusal::new(format!(
            "several namespaces have these versions: {}",
            names.join(", ")
        ))
        .hint("choose one with `--namespace`")),
    }
}

pub(super) async fn rollback(host: Host, arguments: Arguments) -> Result<Reply, Refusal> {
    let rolled_back = match (arguments.number("batch"), arguments.text("namespace")) {
        (Some(_), Some(_)) => {
            return Err(Refusal::usage(
                "`rollback` takes a batch or a namespace, and not both",
            ));
        }
        (Some(batch), None) => host.roll_back_to(batch).await,
        (None, Some(namespace)) => host.roll_back_batch_of(namespace).await,
        (None, None) => host.roll_back_last().await,
    };
    let rolled_back = rolled_back.map_err(refusal)?;
    let text = lines(&rolled_back).join("\n");
    Ok(Reply::new(rolled_back, text))
}

fn refusal(error: RollbackError) -> Refusal {
    let refusal = Refusal::new(error.to_string());
    match error {
        RollbackError::Rejected { diagnostics, .. } => {
            let text = problems(&diagnostics);
            refusal.details(json!({ "problems": diagnostics }), text)
        }
        RollbackError::UnknownBatch(_) | RollbackError::Forgotten { .. } => {
            refusal.hint("`patchcord ctl versions` lists the batches")
        }
        _ => refusal,
    }
}

fn lines(rolled_back: &RolledBack) -> Vec<String> {
    let mut lines = vec![format!("batch {}", rolled_back.batch)];
    for one in &rolled_back.restored {
        let (script, version, from) = (&one.script, one.version, one.from);
        let namespace = &one.namespace;
        lines.push(format!(
            "{script}: version {version} of {namespace} serves again, in place of {from}"
        ));
    }
    for KeptVersion {
        namespace,
        script,
        version,
        reason,
    } in &rolled_back.kept
    {
        let why = match reason {
            KeptReason::SavedSince => "was saved later",
            _ => "has none before",
        };
        lines.push(format!(
            "{script}: version {version} of {namespace} stays, because it {why}"
        ));
    }
    lines
}
