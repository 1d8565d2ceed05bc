//! Options of `serve`, defined once for flags, environment and file: the name of a flag is the key in the file, and in
//! the environment it is written `PATCHCORD_...`.

use std::path::PathBuf;

use anyhow::bail;
use clap::{ArgAction::Set, Args, builder::BoolishValueParser};

use super::values::{
    self, Count, DatabaseUrls, EnvRules, LogFormat, Maximum, OnRebindFailure, Size, Time,
    TimeOrZero, Transport,
};
use patchcord::{
    host::{
        AllowedHost, DataOptions, DatabaseOptions, NetRule, Options, Origin, PermissionOptions,
    },
    script::Limits,
    server::{Config, ControlPlace},
};

#[derive(Debug, Args)]
pub(super) struct ServeOptions {
    /// Folder of scripts, or one script, which is served as `/`
    #[arg(value_name = "PATH", default_value = "scripts")]
    pub(super) scripts: PathBuf,
    /// Serve a built-in script instead of files; `patchcord preset` lists these scripts
    #[arg(long, value_name = "NAME", value_parser = super::new::names(), env = "PATCHCORD_PRESET")]
    pub(super) preset: Option<String>,
    /// Read options from this TOML file: the keys are the names of the flags, as in `port = 8080`. Flags win over the
    /// environment, and the environment over the file. The default is `patchcord.toml` in the current folder, if that
    /// file exists; `none` reads no file
    #[arg(long, value_name = "FILE", env = "PATCHCORD_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Host name or address to listen on
    #[arg(
        long,
        value_name = "NAME",
        default_value = "127.0.0.1",
        env = "PATCHCORD_HOST"
    )]
    host: String,
    /// Port to listen on; 0 picks a free one
    #[arg(long, value_parser = values::port, default_value_t = 3000, env = "PATCHCORD_PORT")]
    port: u16,
    /// Serve metrics and health (`/metrics`, `/healthz`, `/readyz`) at a separate address, such as `127.0.0.1:9100`,
    /// which clients should not be able to reach
    #[arg(long, value_name = "ADDRESS", value_parser = values::address, env = "PATCHCORD_ADMIN_LISTEN")]
    admin_listen: Option<String>,
    /// Serve the HTTP API for backends (`POST /api/emit` and others) at the address of `--admin-listen`, to programs that
    /// have a key of this TOML file. A hangup signal reads the file again
    #[arg(long, value_name = "FILE", env = "PATCHCORD_API_KEYS")]
    pub(super) api_keys: Option<PathBuf>,
    /// Unix socket for `patchcord ctl`, which only the user of the server can open; `none` turns it off. The default is
    /// PORT.sock in $XDG_RUNTIME_DIR/patchcord, or in /tmp/patchcord-UID
    #[arg(long, value_name = "PATH", env = "PATCHCORD_CONTROL")]
    control: Option<PathBuf>,
    /// Listen on a loopback address too, such as `127.0.0.1:3001`, for `patchcord ctl --control-tcp`. Its token is in
    /// the file PORT.token in the default folder of control sockets
    #[arg(long, value_name = "ADDRESS", value_parser = values::address, env = "PATCHCORD_CONTROL_TCP")]
    control_tcp: Option<String>,
    /// Serve the files of this folder to everybody, in place of the built-in page. Scripts, the file of options, names
    /// that begin with a dot, and files outside the folder are not served
    #[arg(long, value_name = "DIR", env = "PATCHCORD_PUBLIC")]
    public: Option<PathBuf>,
    /// Serve the official client from this folder (`node_modules/socket.io-client/dist`) under the Socket.IO path, to
    /// pages that may connect
    #[arg(long, value_name = "DIR", env = "PATCHCORD_CLIENT_DIST")]
    client_dist: Option<PathBuf>,
    /// Answer `GET /metrics` with all counters, in Prometheus' text format, to everybody; `--admin-listen` serves them
    /// at another address
    #[arg(long, value_name = "BOOL", action = Set, num_args = 0..=1, require_equals = true, default_value_t = false,
        default_missing_value = "true", value_parser = BoolishValueParser::new(), env = "PATCHCORD_METRICS")]
    metrics: bool,
    /// Format of the log: lines for people (`text`), or each event as one JSON object per line (`json`)
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text, env = "PATCHCORD_LOG_FORMAT")]
    pub(super) log_format: LogFormat,
    /// Log `debug` lines of scripts, the files of versions, the maximum memory of one call, and the path of the control
    /// socket
    #[arg(short, long, value_name = "BOOL", action = Set, num_args = 0..=1, require_equals = true, default_value_t = false,
        default_missing_value = "true", value_parser = BoolishValueParser::new(), env = "PATCHCORD_VERBOSE")]
    pub(super) verbose: bool,
    /// Report only the first line of a reload, without the code, variables and rooms that changed and the number of
    /// connections
    #[arg(long, value_name = "BOOL", action = Set, num_args = 0..=1, require_equals = true, default_value_t = false,
        default_missing_value = "true", value_parser = BoolishValueParser::new(), env = "PATCHCORD_QUIET_RELOADS")]
    pub(super) quiet_reloads: bool,
    /// Reload scripts when they are saved
    #[arg(long, value_name = "BOOL", action = Set, num_args = 0..=1, require_equals = true, default_value_t = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new(), env = "PATCHCORD_WATCH")]
    watch: bool,
    /// Same as `--watch=false`
    #[arg(long)]
    no_watch: bool,
    /// Look at the files at this interval (1s without a value) instead of waiting for events, for file systems that
    /// report none
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "1s",
        env = "PATCHCORD_POLL")]
    poll: Option<Time>,
    /// Time for which a script keeps serving after its file has disappeared, because an editor may be in the middle of
    /// a save
    #[arg(long, value_name = "TIME", default_value_t = Time(Options::default().reload.missing_grace),
        env = "PATCHCORD_MISSING_GRACE")]
    missing_grace: Time,
    /// Reaction to an edit that fails on some connections: reject it for all, or disconnect these clients
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        default_value = "reject",
        env = "PATCHCORD_ON_REBIND_FAILURE"
    )]
    on_rebind_failure: OnRebindFailure,
    /// Roll back automatically a version that fails where the previous version did not: on at least five connections,
    /// and on at least one in twenty, within 30 seconds
    #[arg(long, value_name = "BOOL", action = Set, num_args = 0..=1, require_equals = true, default_value_t = false,
        default_missing_value = "true", value_parser = BoolishValueParser::new(), env = "PATCHCORD_ROLLBACK_ON_ERRORS")]
    rollback_on_errors: bool,
    /// Keep versions and their texts in this folder, so that `patchcord ctl` also lists, compares and restores them
    /// after a restart: the last 100 batches of saves
    #[arg(long, value_name = "DIR", env = "PATCHCORD_HISTORY")]
    history: Option<PathBuf>,
    /// Exit with code 1 if a script does not load at the start
    #[arg(long, value_name = "BOOL", action = Set, num_args = 0..=1, require_equals = true, default_value_t = false,
        default_missing_value = "true", value_parser = BoolishValueParser::new(), env = "PATCHCORD_STRICT")]
    pub(super) strict: bool,
    /// Check the options and the scripts, and exit: a restart in place runs the new program with this flag first
    #[arg(long, hide = true)]
    pub(super) check_start: bool,
    #[command(flatten)]
    clients: ClientOptions,
    #[command(flatten)]
    pub(super) permissions: PermissionFlags,
    #[command(flatten)]
    databases: DatabaseFlags,
    #[command(flatten)]
    data: DataFlags,
    #[command(flatten)]
    limits: LimitOptions,
}

/// The file that keeps `io.data`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Data")]
struct DataFlags {
    /// Keep `io.data` of all namespaces in this file, over a restart; the file is created if there is none
    #[arg(long, value_name = "FILE", env = "PATCHCORD_DATA")]
    data: Option<PathBuf>,
    /// Time after a write to `io.data` at which it is saved, with everything that was written meanwhile
    #[arg(long, value_name = "TIME", default_value_t = Time(Options::default().data.save_every),
        env = "PATCHCORD_DATA_EVERY")]
    data_every: Time,
    /// Exit at the start if the file of `--data` cannot be read, and reject writes to `io.data` while they cannot be
    /// saved, instead of serving from memory
    #[arg(long, value_name = "BOOL", action = Set, num_args = 0..=1, require_equals = true, default_value_t = false,
        default_missing_value = "true", value_parser = BoolishValueParser::new(), env = "PATCHCORD_DATA_REQUIRED")]
    data_required: bool,
}

impl DataFlags {
    fn for_host(&self) -> DataOptions {
        let mut options = DataOptions::default();
        options.file = self.data.clone();
        options.save_every = self.data_every.0;
        options.required = self.data_required;
        options
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Clients")]
struct ClientOptions {
    /// Path of the Socket.IO endpoint
    #[arg(long, value_parser = values::path, default_value_t = Options::default().transport.path, env = "PATCHCORD_PATH")]
    path: String,
    /// Transports that clients may use
    #[arg(
        long,
        value_name = "LIST",
        value_enum,
        value_delimiter = ',',
        default_value = "polling,websocket",
        env = "PATCHCORD_TRANSPORTS"
    )]
    transports: Vec<Transport>,
    /// Allow pages of this origin, such as `https://example.com`, to connect, in addition to those of the server
    /// itself. Can be repeated, or list several separated by commas. `*` is every page, `null` a page without an
    /// origin; these two connect without cookies and `Authorization`
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        env = "PATCHCORD_ORIGIN"
    )]
    origin: Vec<Origin>,
    /// Answer requests for this host name, `example.com`, or for a name below it, `*.example.com`, in addition to
    /// addresses and `localhost`. Can be repeated, or list several separated by commas. `*` is every name, which is the
    /// default unless `--host` is a loopback address
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        env = "PATCHCORD_ALLOWED_HOST"
    )]
    allowed_host: Vec<AllowedHost>,
    /// Maximum number of clients connected at once; `none` means unlimited. Further clients are rejected with status
    /// 503
    #[arg(long, value_name = "COUNT", default_value_t = Maximum(Options::default().clients.max_connections),
        env = "PATCHCORD_MAX_CONNECTIONS")]
    max_connections: Maximum,
    /// Maximum number of clients of one address connected at once; `none` means unlimited. Further clients are rejected
    /// with status 429. In this and the other limits per address, IPv6 addresses count by their first 64 bits, loopback
    /// addresses have no limit, and `--trust-proxy` determines the address
    #[arg(long, value_name = "COUNT", default_value_t = Maximum(Options::default().clients.max_connections_per_address),
        env = "PATCHCORD_MAX_CONNECTIONS_PER_ADDRESS")]
    max_connections_per_address: Maximum,
    /// Maximum number of clients that connect per second, after a burst of ten times as many; `none` means unlimited.
    /// Further clients are rejected with status 429
    #[arg(long, value_name = "COUNT", default_value_t = Maximum(Options::default().clients.max_connects_per_second),
        env = "PATCHCORD_MAX_CONNECTS_PER_SECOND")]
    max_connects_per_second: Maximum,
    /// Maximum number of clients of one address that connect per second, with the same burst; `none` means unlimited.
    /// Further clients are rejected with status 429
    #[arg(long, value_name = "COUNT", default_value_t = Maximum(Options::default().clients.max_connects_per_second_per_address),
        env = "PATCHCORD_MAX_CONNECTS_PER_SECOND_PER_ADDRESS")]
    max_connects_per_second_per_address: Maximum,
    /// Maximum number of clients that have opened a session, but have no socket yet; clients of one address may be a
    /// third of them. The default is half of `--max-connections`, and at least 100
    #[arg(long, value_name = "COUNT", env = "PATCHCORD_MAX_UNCONNECTED")]
    max_unconnected: Option<Count>,
    /// Maximum number of open TCP connections; further ones are closed. The default is the limit of file descriptors
    /// less a tenth
    #[arg(long, value_name = "COUNT", env = "PATCHCORD_MAX_TCP_CONNECTIONS")]
    max_tcp_connections: Option<Count>,
    /// Maximum number of open TCP connections of one address, unless there is a proxy (`--trust-proxy`); further ones
    /// are closed. The default is three quarters of the total
    #[arg(
        long,
        value_name = "COUNT",
        env = "PATCHCORD_MAX_TCP_CONNECTIONS_PER_ADDRESS"
    )]
    max_tcp_connections_per_address: Option<Count>,
    /// Maximum number of instances of one dynamic namespace, such as `/room/{id}`, at a time
    #[arg(long, value_name = "COUNT", default_value_t = Count(Options::default().clients.max_namespaces),
        env = "PATCHCORD_MAX_NAMESPACES")]
    max_namespaces: Count,
    /// Maximum number of namespaces that one client may be in
    #[arg(long, value_name = "COUNT", default_value_t = Count(Options::default().clients.max_namespaces_per_client),
        env = "PATCHCORD_MAX_NAMESPACES_PER_CLIENT")]
    max_namespaces_per_client: Count,
    /// Time for which a key of `socket.present` stays present after its last socket has disconnected; `0s` for none
    #[arg(long, value_name = "TIME", default_value_t = TimeOrZero(Options::default().clients.presence_grace),
        env = "PATCHCORD_PRESENCE_GRACE")]
    presence_grace: TimeOrZero,
    /// Number of trusted reverse proxies in front of the server (1 without a value), whose `X-Forwarded-For` and
    /// `X-Forwarded-Host` are used. Set it only if the proxies write these headers
    #[arg(long, value_name = "COUNT", num_args = 0..=1, require_equals = true, default_value = "0",
        default_missing_value = "1", value_parser = values::proxies, env = "PATCHCORD_TRUST_PROXY")]
    trust_proxy: usize,
    /// Interval between pings
    #[arg(long, value_name = "TIME", default_value_t = Time(Options::default().transport.ping_interval),
        env = "PATCHCORD_PING_INTERVAL")]
    ping_interval: Time,
    /// Time allowed for a ping reply
    #[arg(long, value_name = "TIME", default_value_t = Time(Options::default().transport.ping_timeout),
        env = "PATCHCORD_PING_TIMEOUT")]
    ping_timeout: Time,
    /// Time allowed for a client from the handshake to its first CONNECT, and for `on_handshake`
    #[arg(long, value_name = "TIME", default_value_t = Time(Options::default().transport.connect_timeout),
        env = "PATCHCORD_CONNECT_TIMEOUT")]
    connect_timeout: Time,
    /// Time allowed for an upgrade from polling to WebSocket
    #[arg(long, value_name = "TIME", default_value_t = Time(Options::default().transport.upgrade_timeout),
        env = "PATCHCORD_UPGRADE_TIMEOUT")]
    upgrade_timeout: Time,
    /// Maximum time in which a client reads nothing of what is written to it; then its connection is closed
    #[arg(long, value_name = "TIME", default_value_t = Time(Options::default().transport.write_timeout),
        env = "PATCHCORD_WRITE_TIMEOUT")]
    write_timeout: Time,
    /// Maximum size of one message from a client, over any transport
    #[arg(long, value_name = "SIZE", default_value_t = Size(Options::default().transport.max_payload),
        env = "PATCHCORD_MAX_PAYLOAD")]
    max_payload: Size,
    /// Maximum number of bytes in the send queue of a client; a client that lets more pile up is disconnected
    #[arg(long, value_name = "SIZE", default_value_t = Size(Options::default().transport.max_backlog),
        env = "PATCHCORD_MAX_BACKLOG")]
    max_backlog: Size,
    /// Maximum number of packets in the send queue of a client; set it higher than the number that one call sends to a
    /// client
    #[arg(long, value_name = "COUNT", default_value_t = Count(Options::default().transport.max_backlog_packets),
        env = "PATCHCORD_MAX_BACKLOG_PACKETS")]
    max_backlog_packets: Count,
    /// Maximum memory of all send queues together; beyond it, the clients with the largest queues are disconnected
    #[arg(long, value_name = "SIZE", default_value_t = Size(Options::default().transport.max_backlog_total),
        env = "PATCHCORD_MAX_BACKLOG_TOTAL")]
    max_backlog_total: Size,
    /// Maximum number of attachments of one packet from a client; their total size may be at most this many times
    /// `--max-payload`
    #[arg(long, value_name = "COUNT", default_value_t = Count(Options::default().transport.max_attachments),
        env = "PATCHCORD_MAX_ATTACHMENTS")]
    max_attachments: Count,
    /// Maximum number of events per second from each client; unlimited by default. Further events are rejected, and a
    /// client that keeps exceeding the limit is disconnected
    #[arg(long, value_name = "COUNT", env = "PATCHCORD_MAX_EVENTS_PER_SECOND")]
    max_events_per_second: Option<Count>,
    /// Time allowed for a client to send the head of a request, including the next request on the same connection
    #[arg(long, value_name = "TIME", default_value_t = Time(Config::default().header_timeout),
        env = "PATCHCORD_HEADER_TIMEOUT")]
    header_timeout: Time,
    /// Answer the ack of an event whose handler throws with `{ error: text }`
    #[arg(long, value_name = "BOOL", action = Set, num_args = 0..=1, require_equals = true, default_value_t = false,
        default_missing_value = "true", value_parser = BoolishValueParser::new(), env = "PATCHCORD_ACK_ERRORS")]
    ack_errors: bool,
    /// Time for which a client whose connection broke can come back and continue, such as `2m`: with its id, rooms,
    /// `socket.data` and variables, and with the events that it has missed. Off by default
    #[arg(long, value_name = "TIME", env = "PATCHCORD_RECOVERY")]
    recovery: Option<Time>,
    /// Maximum memory of the events that `--recovery` keeps for clients that come back
    #[arg(long, value_name = "SIZE", default_value_t = Size(Options::default().clients.recovery_log),
        env = "PATCHCORD_RECOVERY_LOG")]
    recovery_log: Size,
    /// Run `on_handshake` also for a client that comes back
    #[arg(long, value_name = "BOOL", action = Set, num_args = 0..=1, require_equals = true, default_value_t = false,
        default_missing_value = "true", value_parser = BoolishValueParser::new(), env = "PATCHCORD_RECOVERY_HANDSHAKE")]
    recovery_handshake: bool,
    /// Maximum time graceful shutdown waits for scripts and unsent data
    #[arg(long, value_name = "TIME", default_value_t = Time(Options::default().transport.drain_timeout),
        env = "PATCHCORD_DRAIN_TIMEOUT")]
    drain_timeout: Time,
    /// Time over which graceful shutdown spreads the disconnects of clients
    #[arg(long, value_name = "TIME", default_value_t = TimeOrZero(Options::default().transport.drain_spread),
        env = "PATCHCORD_DRAIN_SPREAD")]
    drain_spread: TimeOrZero,
    /// Time for which a server that shuts down still accepts clients, after `/readyz` has begun to answer 503, so that
    /// a load balancer sends no more of them
    #[arg(long, value_name = "TIME", default_value_t = TimeOrZero(Config::default().drain_delay),
        env = "PATCHCORD_DRAIN_DELAY")]
    drain_delay: TimeOrZero,
}

/// Permissions of scripts, for `serve` and `check`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Permissions of scripts")]
pub(super) struct PermissionFlags {
    /// Let scripts read this variable of the environment with `env`, or all variables that begin with a text:
    /// `JWT_SECRET,APP_*`. Can be repeated. `NAME=@FILE` takes the value from a file, such as a mounted secret, and
    /// `NAME=VALUE` is the value itself
    #[arg(long, value_name = "LIST", env = "PATCHCORD_ALLOW_ENV")]
    allow_env: Vec<EnvRules>,
    /// Let scripts send HTTP requests to this host: `api.example.com`, `*.example.com:8443`, `https://example.com`.
    /// Can be repeated, or list several separated by commas. Names are reached at public addresses only; a private or
    /// loopback address needs an entry of its own, `10.0.0.5:80` or `10.0.0.0/8`. `*` is every public host
    #[arg(
        long,
        value_name = "HOST",
        value_delimiter = ',',
        env = "PATCHCORD_ALLOW_NET"
    )]
    allow_net: Vec<NetRule>,
    /// Let scripts use the database with this name, which `--db` declares, with `db`. Can be repeated, or list several
    /// separated by commas
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        env = "PATCHCORD_ALLOW_DB"
    )]
    allow_db: Vec<String>,
}

impl PermissionFlags {
    /// Checks values that the command line does not check, because its errors would show them.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        for rules in &self.allow_env {
            let checked = rules.rules();
            checked.map_err(|problem| anyhow::anyhow!("`--allow-env`: {problem}"))?;
        }
        Ok(())
    }

    pub(super) fn for_host(&self) -> PermissionOptions {
        let mut permissions = PermissionOptions::default();
        let rules = self.allow_env.iter().filter_map(|rules| rules.rules().ok());
        permissions.allow_env = rules.flatten().cloned().collect();
        permissions.allow_net = self.allow_net.clone();
        permissions.allow_db = self.allow_db.clone();
        permissions
    }
}

/// Databases of scripts, and the limits of each call.
#[derive(Debug, Args)]
#[command(next_help_heading = "Databases of scripts")]
struct DatabaseFlags {
    /// Database that scripts may use if `--allow-db` names it: `main=sqlite:FILE`, `main=postgres://USER@HOST/NAME`, or
    /// `main=@FILE` for a URL in a file, such as one with a password. Scripts use `main` unless they name another one.
    /// Can be repeated, or list several separated by commas
    #[arg(
        long,
        value_name = "NAME=URL",
        hide_env_values = true,
        env = "PATCHCORD_DB"
    )]
    db: Vec<DatabaseUrls>,
    /// Maximum number of connections to each database
    #[arg(long, value_name = "COUNT", default_value_t = Count(DatabaseOptions::default().pool),
        value_parser = values::at_most::<1000>, env = "PATCHCORD_DB_POOL")]
    db_pool: Count,
    /// Maximum time of a call of a database, including the wait for a connection
    #[arg(long, value_name = "TIME", default_value_t = Time(DatabaseOptions::default().timeout),
        env = "PATCHCORD_DB_TIMEOUT")]
    db_timeout: Time,
    /// Maximum number of rows of a result
    #[arg(long, value_name = "COUNT", default_value_t = Count(DatabaseOptions::default().max_rows),
        env = "PATCHCORD_DB_MAX_ROWS")]
    db_max_rows: Count,
    /// Maximum size of a result
    #[arg(long, value_name = "SIZE", default_value_t = Size(DatabaseOptions::default().max_bytes),
        env = "PATCHCORD_DB_MAX_BYTES")]
    db_max_bytes: Size,
}

impl DatabaseFlags {
    fn for_host(&self) -> DatabaseOptions {
        let mut databases = DatabaseOptions::default();
        databases.urls = self.db.iter().flat_map(|urls| urls.0.clone()).collect();
        databases.pool = self.db_pool.0;
        databases.timeout = self.db_timeout.0;
        databases.max_rows = self.db_max_rows.0;
        databases.max_bytes = self.db_max_bytes.0;
        databases
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits of scripts")]
struct LimitOptions {
    /// Maximum number of operations of one call, including those in callbacks
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().operations,
        value_parser = values::operations, env = "PATCHCORD_MAX_OPERATIONS")]
    max_operations: u64,
    /// Maximum time of one call
    #[arg(long, value_name = "TIME", default_value_t = Time(Limits::default().time), env = "PATCHCORD_MAX_CALL_TIME")]
    max_call_time: Time,
    /// Maximum depth of nested calls of script functions, at most 64: they use the stack of a thread
    #[arg(long, value_name = "COUNT", default_value_t = Count(Limits::default().call_levels),
        value_parser = values::at_most::<64>, env = "PATCHCORD_MAX_CALL_LEVELS")]
    max_call_levels: Count,
    /// Maximum nesting of expressions, at most 128
    #[arg(long, value_name = "COUNT", default_value_t = Count(Limits::default().expression_depth),
        value_parser = values::at_most::<128>, env = "PATCHCORD_MAX_EXPRESSION_DEPTH")]
    max_expression_depth: Count,
    /// Maximum number of bytes of one string
    #[arg(long, value_name = "SIZE", default_value_t = Size(Limits::default().string_size),
        env = "PATCHCORD_MAX_STRING_SIZE")]
    max_string_size: Size,
    /// Maximum number of elements of one array, and of bytes of one blob
    #[arg(long, value_name = "COUNT", default_value_t = Count(Limits::default().array_size),
        env = "PATCHCORD_MAX_ARRAY_SIZE")]
    max_array_size: Count,
    /// Maximum number of keys of one map
    #[arg(long, value_name = "COUNT", default_value_t = Count(Limits::default().map_size),
        env = "PATCHCORD_MAX_MAP_SIZE")]
    max_map_size: Count,
    /// Maximum nesting of arrays and maps in what a client sends and in JSON texts, at most 120
    #[arg(long, value_name = "COUNT", default_value_t = Count(Limits::default().nesting),
        value_parser = values::at_most::<120>, env = "PATCHCORD_MAX_NESTING")]
    max_nesting: Count,
    /// Maximum number of variables in the scope of one function
    #[arg(long, value_name = "COUNT", default_value_t = Count(Limits::default().variables),
        env = "PATCHCORD_MAX_VARIABLES")]
    max_variables: Count,
    /// Maximum number of functions and closures of one file
    #[arg(long, value_name = "COUNT", default_value_t = Count(Limits::default().functions),
        env = "PATCHCORD_MAX_FUNCTIONS")]
    max_functions: Count,
    /// Maximum number of files that one script imports, directly or indirectly
    #[arg(long, value_name = "COUNT", default_value_t = Count(Limits::default().modules),
        env = "PATCHCORD_MAX_MODULES")]
    max_modules: Count,
    /// Maximum number of listeners of one socket
    #[arg(long, value_name = "COUNT", default_value_t = Count(Limits::default().listeners),
        env = "PATCHCORD_MAX_LISTENERS")]
    max_listeners: Count,
    /// Maximum number of timers of one socket at a time
    #[arg(long, value_name = "COUNT", default_value_t = Count(Limits::default().timers),
        env = "PATCHCORD_MAX_TIMERS")]
    max_timers: Count,
    /// Maximum number of bytes that native functions make for one call: strings, arrays and maps
    #[arg(long, value_name = "SIZE", default_value_t = Size(Limits::default().produced),
        env = "PATCHCORD_MAX_PRODUCED")]
    max_produced: Size,
    /// Maximum number of bytes by which the memory of one call may grow, whatever uses them
    #[arg(long, value_name = "SIZE", default_value_t = Size(Limits::default().call_memory),
        env = "PATCHCORD_MAX_CALL_MEMORY")]
    max_call_memory: Size,
    /// Maximum number of bytes that `socket.data` holds
    #[arg(long, value_name = "SIZE", default_value_t = Size(Limits::default().socket_data),
        env = "PATCHCORD_MAX_SOCKET_DATA")]
    max_socket_data: Size,
    /// Maximum number of bytes that `io.data` holds
    #[arg(long, value_name = "SIZE", default_value_t = Size(Limits::default().io_data),
        env = "PATCHCORD_MAX_IO_DATA")]
    max_io_data: Size,
    /// Maximum number of rooms that one socket may be in
    #[arg(long, value_name = "COUNT", default_value_t = Count(Limits::default().rooms),
        env = "PATCHCORD_MAX_ROOMS")]
    max_rooms: Count,
    /// Maximum number of keys that one socket holds with `socket.present`
    #[arg(long, value_name = "COUNT", default_value_t = Count(Limits::default().presence_keys),
        env = "PATCHCORD_MAX_PRESENCE_KEYS")]
    max_presence_keys: Count,
    /// Maximum number of bytes that the keys and the data of `socket.present` hold in one namespace
    #[arg(long, value_name = "SIZE", default_value_t = Size(Limits::default().presence),
        env = "PATCHCORD_MAX_PRESENCE")]
    max_presence: Size,
    /// Maximum number of acks that the closures of one socket may wait for at a time
    #[arg(long, value_name = "COUNT", default_value_t = Count(Limits::default().acks),
        env = "PATCHCORD_MAX_ACKS")]
    max_acks: Count,
    /// Maximum number of calls of asynchronous functions, such as `http::get`, that the closures of one socket may wait
    /// for at a time
    #[arg(long, value_name = "COUNT", default_value_t = Count(Limits::default().pending_calls),
        env = "PATCHCORD_MAX_PENDING_CALLS")]
    max_pending_calls: Count,
}

impl ServeOptions {
    pub(super) const fn watches(&self) -> bool {
        self.watch && !self.no_watch
    }

    /// Checks the options that depend on each other.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.api_keys.is_some() && self.admin_listen.is_none() {
            bail!(
                "`--api-keys` needs `--admin-listen`, such as `--admin-listen 127.0.0.1:9100`: the HTTP API is not served to \
                 clients"
            );
        }
        Ok(())
    }

    /// Returns the origin among the options that every page can have (`*` or `null`), if there is one.
    pub(super) fn open_origin(&self) -> Option<&Origin> {
        let mut origins = self.clients.origin.iter();
        origins.find(|origin| origin.is_any() || origin.is_null())
    }

    pub(super) fn for_server(&self) -> Config {
        let mut config = Config::default();
        config.host = self.host.clone();
        config.port = self.port;
        config.admin_listen = self.admin_listen.clone();
        config.control = match &self.control {
            None => Some(ControlPlace::Default),
            Some(path) if path.as_os_str() == "none" => None,
            Some(path) => Some(ControlPlace::At(path.clone())),
        };
        config.control_tcp = self.control_tcp.clone();
        config.public = self.public.clone();
        config.private = self.config.iter().chain(&self.api_keys).cloned().collect();
        config.client_dist = self.client_dist.clone();
        config.metrics = self.metrics;
        config.header_timeout = self.clients.header_timeout.0;
        config.max_tcp_connections = self.clients.max_tcp_connections.map(|count| count.0);
        config.max_tcp_connections_per_address = self
            .clients
            .max_tcp_connections_per_address
            .map(|count| count.0);
        config.drain_delay = self.clients.drain_delay.0;
        config
    }

    pub(super) fn for_host(&self) -> Options {
        let clients = &self.clients;
        let mut options = Options::default();
        options.transport.path = clients.path.clone();
        options.transport.ping_interval = clients.ping_interval.0;
        options.transport.ping_timeout = clients.ping_timeout.0;
        options.transport.connect_timeout = clients.connect_timeout.0;
        options.transport.upgrade_timeout = clients.upgrade_timeout.0;
        options.transport.write_timeout = clients.write_timeout.0;
        options.transport.max_payload = clients.max_payload.0;
        options.transport.max_backlog = clients.max_backlog.0;
        options.transport.max_backlog_packets = clients.max_backlog_packets.0;
        options.transport.max_backlog_total = clients.max_backlog_total.0;
        options.transport.drain_timeout = clients.drain_timeout.0;
        options.transport.drain_spread = clients.drain_spread.0;
        options.transport.transports = clients.transports.iter().map(|one| (*one).into()).collect();
        options.clients.origins = clients.origin.clone();
        options.clients.allowed_hosts =
            Some(clients.allowed_host.clone()).filter(|names| !names.is_empty());
        options.clients.max_connections = clients.max_connections.0;
        options.clients.max_connections_per_address = clients.max_connections_per_address.0;
        options.clients.max_connects_per_second = clients.max_connects_per_second.0;
        options.clients.max_connects_per_second_per_address =
            clients.max_connects_per_second_per_address.0;
        options.clients.max_unconnected = clients.max_unconnected.map(|count| count.0);
        options.clients.trust_proxy = clients.trust_proxy;
        options.clients.max_events_per_second = clients.max_events_per_second.map(|count| count.0);
        options.transport.max_attachments = clients.max_attachments.0;
        options.clients.ack_errors = clients.ack_errors;
        options.clients.presence_grace = clients.presence_grace.0;
        options.clients.recovery = clients.recovery.map(|time| time.0);
        options.clients.recovery_log = clients.recovery_log.0;
        options.clients.recovery_handshake = clients.recovery_handshake;
        options.clients.max_namespaces = clients.max_namespaces.0;
        options.clients.max_namespaces_per_client = clients.max_namespaces_per_client.0;
        options.reload.poll = self.poll.map(|time| time.0);
        options.reload.missing_grace = self.missing_grace.0;
        options.reload.on_rebind_failure = self.on_rebind_failure.into();
        options.reload.rollback_on_errors = self.rollback_on_errors;
        options.reload.history = self.history.clone();
        options.permissions = self.permissions.for_host();
        options.databases = self.databases.for_host();
        options.data = self.data.for_host();
        options.limits = self.limits.for_scripts();
        options
    }
}

impl LimitOptions {
    fn for_scripts(&self) -> Limits {
        let mut limits = Limits::default();
        limits.operations = self.max_operations;
        limits.time = self.max_call_time.0;
        limits.call_levels = self.max_call_levels.0;
        limits.expression_depth = self.max_expression_depth.0;
        limits.string_size = self.max_string_size.0;
        limits.array_size = self.max_array_size.0;
        limits.map_size = self.max_map_size.0;
        limits.nesting = self.max_nesting.0;
        limits.variables = self.max_variables.0;
        limits.functions = self.max_functions.0;
        limits.modules = self.max_modules.0;
        limits.listeners = self.max_listeners.0;
        limits.timers = self.max_timers.0;
        limits.produced = self.max_produced.0;
        limits.call_memory = self.max_call_memory.0;
        limits.socket_data = self.max_socket_data.0;
        limits.io_data = self.max_io_data.0;
        limits.rooms = self.max_rooms.0;
        limits.presence_keys = self.max_presence_keys.0;
        limits.presence = self.max_presence.0;
        limits.acks = self.max_acks.0;
        limits.pending_calls = self.max_pending_calls.0;
        limits
    }
}
