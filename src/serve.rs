//! `patchcord serve`

use std::{
    cell::Cell,
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context, bail};
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

use super::{
    allocator::Allocator,
    api_keys::KeysFile,
    exit::PROBLEMS,
    new,
    options::ServeOptions,
    report::{self, Log},
    usage,
};
use patchcord::{
    event::HostEvent,
    host::{Host, Options, clients_disconnected},
    script::{Limits, is_measured},
    server::{Server, raise_limit},
};

/// Exit code, by the convention of shells, if a second signal ends the process before the shutdown is complete.
const INTERRUPTED: u8 = 130;
/// Stack size of a worker thread, in bytes: script calls nest on it.
const STACK: usize = 8 << 20;
/// Minimum number of clients that must have disconnected before a thread returns memory.
const CLIENTS_PER_RELEASE: u64 = 8;
/// Minimum number of worker threads, because one script that runs to its deadline must not stop the others.
const MIN_WORKERS: usize = 4;

/// Serves until a signal arrives.
pub(super) fn run(
    options: &ServeOptions,
    command: &clap::Command,
    allocator: Option<Allocator>,
) -> anyhow::Result<ExitCode> {
    raise_limit();
    let cores = std::thread::available_parallelism().map_or(MIN_WORKERS, usize::from);
    let mut runtime = Builder::new_multi_thread();
    if let Some(Allocator { release_memory, .. }) = allocator {
        runtime.on_thread_park(move || on_idle(release_memory));
    }
    let runtime = runtime
        .worker_threads(cores.max(MIN_WORKERS))
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .context("the threads cannot be started")?;
    runtime.block_on(serve(options, command))
}

thread_local! {
    /// Number of clients that had disconnected when this thread last returned memory.
    static GONE: Cell<u64> = const { Cell::new(0) };
}

/// Runs when a thread becomes idle: returns the memory of clients that have disconnected.
fn on_idle(release_memory: fn()) {
    let gone = clients_disconnected();
    if gone - GONE.get() >= CLIENTS_PER_RELEASE {
        GONE.set(gone);
        release_memory();
    }
}

/// Returns a suggestion for a path that does not exist.
fn suggestion(path: &Path, command: &clap::Command) -> String {
    match path.to_str().and_then(|word| usage::like(word, command)) {
        Some(name) => format!("; there is a command `{name}`"),
        None => "; `patchcord new DIR` writes a folder to begin with".to_owned(),
    }
}

/// Describes the maximum memory of a call.
fn memory(limits: &Limits) -> String {
    let most = limits.memory_of_a_call() / 1_000_000;
    match is_measured() {
        true => format!("one call uses at most {most} MB of memory"),
        false => format!(
            "the variables of one call use at most {most} MB of memory; `--max-call-memory` has no effect, because this \
             program was built without `jemalloc`"
        ),
    }
}

/// Lists what scripts may reach.
fn permissions(options: &Options, log: &Log) {
    let permissions = &options.permissions;
    let variables: Vec<_> = permissions
        .allow_env
        .iter()
        .map(|rule| format!("`{rule}`"))
        .collect();
    if !variables.is_empty() {
        log.detail(&format!(
            "scripts may read the variables {}",
            variables.join(", ")
        ));
    }
    let hosts: Vec<_> = permissions
        .allow_net
        .iter()
        .map(|rule| format!("`{rule}`"))
        .collect();
    if !hosts.is_empty() {
        log.detail(&format!("scripts may reach the hosts {}", hosts.join(", ")));
    }
    for rule in permissions.allow_env.iter().filter(|rule| rule.is_unset()) {
        log.warning(&format!("`--allow-env {rule}`: this variable is not set"));
    }
    databases(options, log);
}

/// Lists the databases that scripts may use, and warns about those that are declared and not allowed, or the other way
/// round.
fn databases(options: &Options, log: &Log) {
    let allowed = &options.permissions.allow_db;
    let (used, unused): (Vec<_>, Vec<_>) = options
        .databases
        .urls
        .iter()
        .partition(|url| allowed.iter().any(|name| name == url.name()));
    if !used.is_empty() {
        let shown: Vec<_> = used.iter().map(|url| format!("`{url}`")).collect();
        log.detail(&format!(
            "scripts may use the databases {}",
            shown.join(", ")
        ));
    }
    for url in unused {
        let name = url.name();
        log.warning(&format!(
            "`--db {name}=...`: scripts may not use it without `--allow-db {name}`"
        ));
    }
    let is_declared = |name: &str| used.iter().any(|url| url.name() == name);
    for name in allowed.iter().filter(|name| !is_declared(name)) {
        log.warning(&format!(
            "`--allow-db {name}`: no `--db {name}=URL` declares it"
        ));
    }
}

/// Reads the API keys again.
fn reload_keys(file: &KeysFile<'_>, log: Log) {
    match file.reload() {
        Ok(()) => log.detail(&format!("{} API keys", file.keys().len())),
        Err(error) => log.warning(&format!("the API keys stay as they were: {error:#}")),
    }
}

async fn serve(options: &ServeOptions, command: &clap::Command) -> anyhow::Result<ExitCode> {
    options.check()?;
    let api_keys = options
        .api_keys
        .as_deref()
        .map(KeysFile::open)
        .transpose()?;
    // Registered before the scripts are loaded, because a signal that arrives during the load must not end the process.
    let mut hangup = signal(SignalKind::hangup()).context("signals cannot be received")?;
    options.permissions.check()?;
    options.for_host().validate()?;
    let broken = Arc::new(AtomicBool::new(false));
    let seen = broken.clone();
    let log = Log::new(options.log_format, options.verbose, options.quiet_reloads);
    if let Some(origin) = options.open_origin() {
        log.warning(&format!(
            "`--origin {origin}` lets every page on the web use this server through its visitors"
        ));
    }
    if let Some(warning) = api_keys.as_ref().and_then(KeysFile::warning) {
        log.warning(&warning);
    }
    log.detail(&memory(&options.for_host().limits));
    permissions(&options.for_host(), &log);
    let builder = match &options.preset {
        Some(name) => Host::builder().loader(new::preset(name)?.scripts()),
        None => Host::builder().scripts(&options.scripts),
    };
    let host = builder
        .options(options.for_host())
        .on_event(move |event| {
            seen.fetch_or(
                matches!(event, HostEvent::Rejected { .. }),
                Ordering::Relaxed,
            );
            log.event(event);
        })
        .build();
    if let Err(error) = host.scripts() {
        bail!("{error}{}", suggestion(&options.scripts, command));
    }
    if options.for_host().data.required
        && let Err(error) = host.open_store().await
    {
        bail!("the store cannot be used: {error}");
    }
    // A script that does not load is announced; all others serve.
    let _ = host.load().await;
    if options.strict && broken.load(Ordering::Relaxed) {
        return Ok(ExitCode::from(PROBLEMS));
    }
    let _watching = match options.watches() {
        false => None,
        true => Some(host.watch().context("the scripts cannot be watched")?),
    };
    let mut config = options.for_server();
    config.api_keys = api_keys.as_ref().map(KeysFile::keys);
    let mut server = Server::bind(host.clone(), &config).await?;
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be received")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be received")?;
    if let Some(problem) = server.control_problem() {
        log.warning(&format!(
            "no control socket, `--control none` wants none: {problem}"
        ));
    }
    if let Some(path) = server.control_path() {
        log.detail(&format!("control at {}", path.display()));
    }
    report::listening(
        server.address(),
        server
            .admin_address()
            .map(|admin| (admin, api_keys.is_some())),
        server.control_address(),
    );
    let mut signalled = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let reloads = async {
        while hangup.recv().await.is_some() {
            api_keys.iter().for_each(|file| reload_keys(file, log));
            // The host announces the result as an event.
            drop(host.reload().await);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = server.join() => ended?,
        () = signalled() => {}
        () = reloads => {}
    }
    // A second signal means that the operator does not want to wait.
    tokio::select! {
        () = server.shutdown() => Ok(ExitCode::SUCCESS),
        () = signalled() => Ok(ExitCode::from(INTERRUPTED)),
    }
}
