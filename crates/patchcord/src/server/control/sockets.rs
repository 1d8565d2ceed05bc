//! Commands about live connections: `inspect`, `why`, `reset`, `rebind`.

use serde_json::{Value, json};

use super::{
    arguments::Arguments,
    protocol::{Refusal, Reply},
    table::{many, table},
};
use crate::{
    diagnostic::visible,
    host::{Host, Inspection, ListenerInfo, Reset, SteerError, Variable, WhyAnswer},
    script::Stale,
};

/// Maximum length of a displayed value, in characters.
const MAX_VALUE: usize = 100;

pub(super) async fn inspect(host: Host, arguments: Arguments) -> Result<Reply, Refusal> {
    let Some(socket) = arguments.text("socket") else {
        return Ok(list(&host));
    };
    let inspection = host
        .inspect(socket)
        .await
        .map_err(|error| refusal(&error))?;
    let text = lines(&inspection).join("\n");
    Ok(Reply::new(inspection, text))
}

fn list(host: &Host) -> Reply {
    let sockets = host.connected();
    let heads = ["NAMESPACE", "SOCKET", " VERSION", " LISTENERS", " TIMERS"];
    let rows = sockets.iter().map(|one| {
        vec![
            one.namespace.to_string(),
            one.socket.clone(),
            one.version.to_string(),
            one.listeners.to_string(),
            one.timers.to_string(),
        ]
    });
    let text = match sockets.is_empty() {
        true => "no socket is connected".to_owned(),
        false => table(&heads, &rows.collect::<Vec<_>>()),
    };
    Reply::new(json!({ "sockets": sockets }), text)
}

fn lines(of: &Inspection) -> Vec<String> {
    let (socket, namespace, script, version) = (&of.socket, &of.namespace, &of.script, of.version);
    let mut lines = vec![format!(
        "{socket} of {namespace}: version {version} of {script}"
    )];
    let listeners: Vec<_> = of.listeners.iter().map(listener).collect();
    section(&mut lines, "LISTENER", ["", "PLACE", ""], &listeners);
    let timers = of.timers.iter().map(|timer| {
        let every = timer.period.map(|period| format!(", every {period} ms"));
        let when = format!("in {} ms{}", timer.due_in, every.unwrap_or_default());
        let place = format!("{}:{}", timer.file, timer.line);
        vec![
            timer.function.to_owned(),
            when,
            place,
            reason(timer.stale.as_ref()),
        ]
    });
    section(
        &mut lines,
        "TIMER",
        ["DUE", "PLACE", ""],
        &timers.collect::<Vec<_>>(),
    );
    let acks = of.acks.iter().map(|ack| {
        let place = format!("{}:{}", ack.file, ack.line);
        let waits = many(ack.missing, "answer");
        vec![
            "closure".to_owned(),
            waits,
            place,
            reason(ack.stale.as_ref()),
        ]
    });
    section(
        &mut lines,
        "ACK",
        ["WAITS FOR", "PLACE", ""],
        &acks.collect::<Vec<_>>(),
    );
    let data: Vec<_> = of.data.iter().map(variable).collect();
    section(&mut lines, "SOCKET.DATA", ["VALUE", "AT FIRST", ""], &data);
    let variables: Vec<_> = of.variables.iter().map(variable).collect();
    section(
        &mut lines,
        "VARIABLE",
        ["VALUE", "AT FIRST", ""],
        &variables,
    );
    let present: Vec<_> = of.present.iter().map(variable).collect();
    section(&mut lines, "PRESENT AS", ["META", "AT FIRST", ""], &present);
    if !of.rooms.is_empty() {
        let rooms: Vec<_> = of.rooms.iter().map(|room| visible(room)).collect();
        lines.push(format!("\nROOM\n{}", rooms.join("\n")));
    }
    lines
}

fn section(lines: &mut Vec<String>, head: &str, [a, b, c]: [&str; 3], rows: &[Vec<String>]) {
    if !rows.is_empty() {
        lines.push(format!("\n{}", table(&[head, a, b, c], rows)));
    }
}

fn listener(listener: &ListenerInfo) -> Vec<String> {
    let once = if listener.once { "once" } else { "" };
    vec![
        visible(&listener.event).into_owned(),
        once.to_owned(),
        format!("{}:{}", listener.file, listener.line),
        reason(listener.stale.as_ref()),
    ]
}

fn variable(variable: &Variable) -> Vec<String> {
    let initial = variable.initial.as_ref();
    let stale = variable.stale.iter().map(|stale| {
        let Stale { file, line, .. } = stale;
        format!("{file}:{line} stays {}", stale.reason())
    });
    vec![
        visible(&variable.name).into_owned(),
        value(&variable.value),
        initial.map(value).unwrap_or_default(),
        stale.collect::<Vec<_>>().join(", "),
    ]
}

fn value(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn reason(stale: Option<&Stale>) -> String {
    stale.map_or_else(String::new, |stale| format!("stays {}", stale.reason()))
}

pub(super) async fn why(host: Host, arguments: Arguments) -> Result<Reply, Refusal> {
    let event = arguments.text("event").unwrap_or_default();
    let why = host
        .why(event, arguments.text("socket"))
        .await
        .map_err(|error| refusal(&error))?;
    let answers: Vec<_> = why.answers.iter().map(answer).collect();
    let text = match answers.is_empty() {
        true => format!(
            "`{}`: never listened to by any version that is known",
            visible(event)
        ),
        false => answers.join("\n"),
    };
    Ok(Reply::new(why, text))
}

fn answer(answer: &WhyAnswer) -> String {
    let sockets = match (answer.sockets, answer.examples.as_slice()) {
        (0, _) => "no socket".to_owned(),
        (1, [one]) => one.clone(),
        (count, examples) => {
            let more = if count > examples.len() { ", ..." } else { "" };
            format!("{count} sockets ({}{more})", examples.join(", "))
        }
    };
    format!("{} {sockets}: {answer}", answer.namespace)
}

pub(super) async fn reset(host: Host, arguments: Arguments) -> Result<Reply, Refusal> {
    let (first, second) = (arguments.text("socket"), arguments.text("variable"));
    let resets = match (arguments.switch("all"), first, second) {
        (true, Some(_), Some(_)) => {
            return Err(Refusal::usage(
                "`reset` takes a socket or `all`, and not both",
            ));
        }
        // With `all`, a positional variable is the first argument.
        (true, first, second) => host
            .reset_all(second.or(first))
            .await
            .map_err(|error| refusal(&error))?,
        (false, Some(socket), variable) => {
            vec![
                host.reset(socket, variable)
                    .await
                    .map_err(|error| refusal(&error))?,
            ]
        }
        (false, None, _) => return Err(Refusal::usage("`reset` needs `socket` or `all`")),
    };
    let text: Vec<_> = resets.iter().map(reset_line).collect();
    let text = match text.is_empty() {
        true => "every connection has its initial values already".to_owned(),
        false => text.join("\n"),
    };
    Ok(Reply::new(json!({ "reset": resets }), text))
}

fn reset_line(reset: &Reset) -> String {
    let changed = reset.variables.iter();
    let mut parts: Vec<_> = changed
        .map(|one| visible(&format!("`{}` {} -> {}", one.name, one.from, one.to)).into_owned())
        .collect();
    if parts.is_empty() {
        parts.push("nothing to reset".to_owned());
    }
    parts.extend(
        reset
            .kept
            .iter()
            .map(|name| format!("`{name}` stays, because it holds a timer")),
    );
    format!(
        "{} of {}: {}",
        reset.socket,
        reset.namespace,
        parts.join(", ")
    )
}

pub(super) async fn rebind(host: Host, arguments: Arguments) -> Result<Reply, Refusal> {
    let socket = arguments.text("socket").unwrap_or_default();
    let rebound = host.rebind(socket).await.map_err(|error| refusal(&error))?;
    let (socket, namespace, version) = (&rebound.socket, &rebound.namespace, rebound.version);
    let listeners = many(rebound.listeners, "listener");
    let timers = many(rebound.timers, "timer");
    let text = match rebound.connected {
        true => format!(
            "{socket} of {namespace} has started again with version {version}: {listeners}, {timers}"
        ),
        false => format!("{socket} of {namespace} was disconnected by its `on_connection`"),
    };
    Ok(Reply::new(rebound, text))
}

fn refusal(error: &SteerError) -> Refusal {
    let refusal = Refusal::new(error.to_string());
    match error {
        SteerError::NoSocket(_) => refusal.hint("`patchcord ctl inspect` lists the sockets"),
        _ => refusal,
    }
}
