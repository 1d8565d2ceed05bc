//! `patchcord serve`

use std::{
    cell::Cell,
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
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
    inherited, new,
    options::ServeOptions,
    report::{self, Log},
    restart::{self, Program},
    service_manager, usage,
};
use patchcord::{
    event::HostEvent,
    host::{DataOptions, Host, HostBuilder, Options, clients_disconnected},
    script::{Limits, is_measured},
    server::{Config, Listeners, Server, raise_limit},
};

/// Exit code, by the convention of shells, if a second signal ends the process before the shutdown is complete.
const INTERRUPTED: u8 = 130;
/// Stack size of a worker thread, in bytes: script calls nest on it.
const STACK: usize = 8 << 20;
/// Minimum number of clients that must have disconnected before a thread returns memory.
const CLIENTS_PER_RELEASE: u64 = 8;
/// Minimum number of worker threads, because one script that runs to its deadline must not stop the others.
const MIN_WORKERS: usize = 4;
/// Maximum time that threads with blocking work delay a restart, when the server has ended.
const BLOCKING_TIMEOUT: Duration = Duration::from_secs(1);

/// End of a server.
enum Ended {
    Exit(ExitCode),
    /// The program has to go on with a new program file and these sockets.
    Restart(Listeners),
}

/// Serves until a signal arrives.
pub(super) fn run(
    options: &ServeOptions,
    command: &clap::Command,
    allocator: Option<Allocator>,
) -> anyhow::Result<ExitCode> {
    // This changes the environment, so no other thread may run yet.
    let listeners = inherited::listeners()?;
    let program = Program::of_this_process();
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
    match runtime.block_on(serve(options, command, listeners, &program))? {
        Ended::Exit(code) => Ok(code),
        Ended::Restart(listeners) => {
            runtime.shutdown_timeout(BLOCKING_TIMEOUT);
            Err(program.replace(listeners))
        }
    }
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

/// Returns a builder of the host whose scripts the options name.
fn builder(options: &ServeOptions) -> anyhow::Result<HostBuilder> {
    Ok(match &options.preset {
        Some(name) => Host::builder().loader(new::preset(name)?.scripts()),
        None => Host::builder().scripts(&options.scripts),
    })
}

/// Checks what would be served, and serves nothing.
fn check_start(options: &ServeOptions, config: &Config) -> anyhow::Result<ExitCode> {
    let mut host = options.for_host();
    // The server that runs uses these files.
    host.data = DataOptions::default();
    host.reload.history = None;
    let host = builder(options)?.options(host).build();
    Ok(match restart::check_start(&host, config)? {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(PROBLEMS),
    })
}

/// Warns about options that open the server to others.
fn warn_if_open(options: &ServeOptions, api_keys: Option<&KeysFile<'_>>, log: Log) {
    if let Some(origin) = options.open_origin() {
        log.warning(&format!(
            "`--origin {origin}` lets every page on the web use this server through its visitors"
        ));
    }
    if let Some(warning) = api_keys.and_then(KeysFile::warning) {
        log.warning(&warning);
    }
}

/// Reports where the server listens.
fn announce(server: &Server, is_inherited: bool, has_api: bool, log: Log) {
    if let Some(problem) = server.control_problem() {
        log.warning(&format!(
            "no control socket, `--control none` wants none: {problem}"
        ));
    }
    if let Some(path) = server.control_path() {
        log.detail(&format!("control at {}", path.display()));
    }
    if is_inherited {
        log.detail(&format!(
            "the socket of http://{} was open already, and was inherited",
            server.address()
        ));
    }
    report::listening(
        server.address(),
        server.admin_address().map(|admin| (admin, has_api)),
        server.control_address(),
    );
    service_manager::ready();
}

async fn serve(
    options: &ServeOptions,
    command: &clap::Command,
    listeners: Listeners,
    program: &Program,
) -> anyhow::Result<Ended> {
    options.check()?;
    let api_keys = options
        .api_keys
        .as_deref()
        .map(KeysFile::open)
        .transpose()?;
    // Registered before the scripts are loaded, because a signal that arrives during the load must not end the process.
    let mut hangup = signal(SignalKind::hangup()).context("signals cannot be received")?;
    let mut upgrade = signal(SignalKind::user_defined2()).context("signals cannot be received")?;
    options.permissions.check()?;
    options.for_host().validate()?;
    let mut config = options.for_server();
    config.api_keys = api_keys.as_ref().map(KeysFile::keys);
    if options.check_start {
        return check_start(options, &config).map(Ended::Exit);
    }
    let broken = Arc::new(AtomicBool::new(false));
    let seen = broken.clone();
    let log = Log::new(options.log_format, options.verbose, options.quiet_reloads);
    warn_if_open(options, api_keys.as_ref(), log);
    log.detail(&memory(&options.for_host().limits));
    permissions(&options.for_host(), &log);
    let host = builder(options)?
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
        return Ok(Ended::Exit(ExitCode::from(PROBLEMS)));
    }
    let _watching = match options.watches() {
        false => None,
        true => Some(host.watch().context("the scripts cannot be watched")?),
    };
    let is_inherited = listeners.clients.is_some();
    let mut server = Server::bind_to(host.clone(), &config, listeners).await?;
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be received")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be received")?;
    announce(&server, is_inherited, api_keys.is_some(), log);
    let mut signalled = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let reloads = async {
        while hangup.recv().await.is_some() {
            service_manager::reloading();
            api_keys.iter().for_each(|file| reload_keys(file, log));
            // The host announces the result as an event.
            drop(host.reload().await);
            service_manager::ready();
        }
        std::future::pending::<()>().await;
    };
    let restart = async {
        while upgrade.recv().await.is_some() {
            match program.check().await {
                Ok(()) => return,
                Err(problem) => {
                    log.warning(&format!("no restart, the server goes on: {problem:#}"));
                }
            }
        }
        std::future::pending::<()>().await;
    };
    let restarts = tokio::select! {
        ended = server.join() => {
            ended?;
            false
        }
        () = signalled() => false,
        () = reloads => false,
        () = restart => true,
    };
    let ended = match restarts {
        true => {
            log.notice("restart in place: clients that connect meanwhile wait");
            service_manager::reloading();
            Ended::Restart(
                server
                    .listeners()
                    .context("the sockets cannot be kept open")?,
            )
        }
        false => {
            service_manager::stopping();
            Ended::Exit(ExitCode::SUCCESS)
        }
    };
    // A second signal means that the operator does not want to wait.
    tokio::select! {
        () = server.shutdown() => Ok(ended),
        () = signalled() => Ok(Ended::Exit(ExitCode::from(INTERRUPTED))),
    }
}
