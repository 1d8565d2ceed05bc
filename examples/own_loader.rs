//! Scripts in a table of versions, as in a database. The application decides when to reload. Run
//! `cargo run --example own_loader`. It prints:
//!
//! ```text
//! first version: version 1 serves
//! a mistake: unknown function `emti` on `socket`
//! a mistake: version 1 serves
//! second version: version 2 serves
//! rolled back: version 1 serves
//! ```

#![allow(clippy::print_stdout, reason = "it says what it does")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use patchcord::{
    Host, LoadReport, ScriptsRejected,
    host::Outcome,
    script::{LoadError, Loader},
};

/// All versions of each script; the last one serves.
#[derive(Debug, Clone, Default)]
struct Table(Arc<Mutex<BTreeMap<String, Vec<String>>>>);

impl Table {
    fn save(&self, name: &str, text: &str) {
        let mut scripts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        scripts
            .entry(name.to_owned())
            .or_default()
            .push(text.to_owned());
    }
}

impl Loader for Table {
    fn list(&self) -> Result<Vec<String>, LoadError> {
        let scripts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(scripts.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> Result<String, LoadError> {
        let scripts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = scripts.get(name).and_then(|versions| versions.last());
        last.cloned()
            .ok_or_else(|| LoadError::NotFound(name.to_owned()))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let table = Table::default();
    let host = Host::builder().loader(table.clone()).build();
    table.save(
        "chat.rhai",
        "fn on_connection(socket) { socket.emit(\"hello\"); }",
    );
    say("first version", host.load().await, &host).await;
    table.save(
        "chat.rhai",
        "fn on_connection(socket) { socket.emti(\"hello\"); }",
    );
    say("a mistake", host.reload().await, &host).await;
    table.save(
        "chat.rhai",
        "fn on_connection(socket) { socket.emit(\"hi\"); }",
    );
    say("second version", host.reload().await, &host).await;
    host.rollback("/chat").await?;
    say("rolled back", Ok(LoadReport::default()), &host).await;
    Ok(())
}

async fn say(what: &str, loaded: Result<LoadReport, ScriptsRejected>, host: &Host) {
    let rejected = loaded.err().map(|rejected| rejected.diagnostics);
    for problem in rejected.into_iter().flatten() {
        println!("{what}: {}", problem.message);
    }
    let history = host.history("/chat").await;
    let served = history
        .iter()
        .rfind(|record| record.outcome != Outcome::Rejected);
    if let Some(record) = served {
        println!("{what}: version {} serves", record.number);
    }
}
