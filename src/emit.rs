//! `patchcord emit`: a client of the HTTP API.

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, StatusCode, Uri,
    body::Bytes,
    client::conn::http1,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    runtime::Builder,
    time::timeout,
};

use super::{exit::PROBLEMS, report};

/// Variable of the environment with the API key.
const KEY: &str = "PATCHCORD_API_KEY";
/// Maximum time for the answer of the server, which itself takes at most 10 seconds.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Maximum size of the answer, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// Format of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text for people.
    Text,
    /// The JSON document that the server has sent.
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchcord emit news hi                          to everybody in `/`
  patchcord emit -n /chat --to lobby news hi      to the sockets in the room `lobby` of `/chat`
  patchcord emit state '{\"open\": true}' 3         a map and a number: what is JSON is sent as such
  patchcord emit state '\"3\"'                      the string `3`
  patchcord emit --key-file emit.key news hi      with the key in a file
  patchcord emit --url https://api.test news hi   with TLS, by a proxy in front of the API

The server runs with --admin-listen and --api-keys. The key comes from --key-file, or from
PATCHCORD_API_KEY in the environment. With https://, the certificate must be from an authority
that the system trusts, or that is in the file of the variable SSL_CERT_FILE.

Exit codes: 0 sent, 1 the server has refused it, 2 the arguments are wrong or no server answers.")]
pub(super) struct EmitOptions {
    /// Address of the server's HTTP API, as in its `--admin-listen`
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:9100",
        env = "PATCHCORD_API_URL"
    )]
    url: String,
    /// File with the API key; PATCHCORD_API_KEY has the key itself
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Namespace of the sockets
    #[arg(long, short, value_name = "PATH", default_value = "/")]
    namespace: String,
    /// Send only to the sockets in this room, or with this id; may be given several times
    #[arg(long, value_name = "ROOM")]
    to: Vec<String>,
    /// Leave out the sockets in this room, or with this id; may be given several times
    #[arg(long, value_name = "ROOM")]
    except: Vec<String>,
    /// Format of the answer: for people (`text`), or the JSON of the server (`json`)
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Name of the event
    event: String,
    /// Arguments of the event, each in JSON; a text that is not JSON is sent as a string
    #[arg(value_name = "ARG", allow_negative_numbers = true)]
    args: Vec<String>,
}

/// Sends an event, and writes the answer of the server.
pub(super) fn run(options: &EmitOptions) -> anyhow::Result<ExitCode> {
    let key = key(options)?;
    let place = Place::new(&options.url)?;
    let args: Vec<Value> = options.args.iter().map(|text| argument(text)).collect();
    let body = json!({
        "namespace": options.namespace,
        "to": options.to,
        "except": options.except,
        "event": options.event,
        "args": args,
    });
    let request = Request::post("/api/emit")
        .header(HOST, &place.authority)
        .header(AUTHORIZATION, key)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.to_string())))
        .context("the request cannot be made")?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the runtime cannot be started")?;
    let answered = runtime.block_on(async { timeout(TIMEOUT, send(&place, request)).await });
    let address = || format!("no answer from `{}` in time", place.address());
    let (status, answer) = answered.with_context(address)??;
    show(options, status, &answer)
}

/// Returns an argument as a value.
fn argument(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Returns the header with the API key.
fn key(options: &EmitOptions) -> anyhow::Result<HeaderValue> {
    let key = match &options.key_file {
        Some(file) => {
            fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))?
        }
        None => std::env::var(KEY).map_err(|_| {
            anyhow!("there is no API key: `--key-file FILE` or the variable `{KEY}` gives one")
        })?,
    };
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.trim()))
        .map_err(|_| anyhow!("the API key has characters that no key has"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Place of the API.
struct Place {
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "it is `false`"))]
    is_encrypted: bool,
    /// Value for `Host`: the host, and the port if the URL has one.
    authority: String,
    host: String,
    port: u16,
}

impl Place {
    fn new(url: &str) -> anyhow::Result<Self> {
        let wrong = || format!("`--url {url}` is not like `http://127.0.0.1:9100`");
        let uri: Uri = url.parse().with_context(wrong)?;
        let authority = uri.authority().with_context(wrong)?;
        let (is_encrypted, port) = match uri.scheme_str() {
            Some("http") => (false, 80),
            Some("https") if cfg!(feature = "http") => (true, 443),
            Some("https") => bail!("this build has no TLS: build it with the feature `http`"),
            _ => bail!("{}", wrong()),
        };
        if !uri.path().trim_end_matches('/').is_empty()
            || uri.query().is_some()
            || authority.as_str().contains('@')
        {
            bail!("{}", wrong());
        }
        Ok(Self {
            is_encrypted,
            authority: authority.to_string(),
            host: authority.host().to_owned(),
            port: authority.port_u16().unwrap_or(port),
        })
    }

    fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn nobody(&self) -> String {
        format!("no server answers at `{}`", self.address())
    }
}

/// Sends a request, and returns the answer of the server.
async fn send(
    place: &Place,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<(StatusCode, Vec<u8>)> {
    let stream = TcpStream::connect(place.address()).await;
    let stream = stream.with_context(|| place.nobody())?;
    #[cfg(feature = "http")]
    if place.is_encrypted {
        let encrypted = patchcord::host::encrypt(&place.host, stream).await;
        let problem =
            |reason| anyhow!("no encrypted connection to `{}`: {reason}", place.address());
        return exchange(place, encrypted.map_err(problem)?, request).await;
    }
    exchange(place, stream, request).await
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    place: &Place,
    stream: S,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<(StatusCode, Vec<u8>)> {
    let nobody = || place.nobody();
    let (mut client, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .with_context(nobody)?;
    let connection = tokio::spawn(connection);
    let response = client.send_request(request).await.with_context(nobody)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await;
    connection.abort();
    let body = body.map_err(|error| anyhow!("the answer cannot be read: {error}"))?;
    Ok((status, body.to_bytes().to_vec()))
}

/// Writes the answer of the server.
fn show(options: &EmitOptions, status: StatusCode, answer: &[u8]) -> anyhow::Result<ExitCode> {
    let answer: Option<Value> = serde_json::from_slice(answer).ok();
    if let (Format::Json, Some(answer)) = (options.format, &answer) {
        report::document(answer)?;
    }
    let of = |path: &str| answer.as_ref().and_then(|answer| answer.pointer(path));
    if status.is_success() {
        let count = of("/count").and_then(Value::as_u64);
        let count = count.context("the answer is not that of the HTTP API")?;
        if options.format == Format::Text {
            let sockets = if count == 1 { "socket" } else { "sockets" };
            report::line(&format!(
                "sent to {count} {sockets} in {}",
                options.namespace
            ));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let message = of("/error/message").and_then(Value::as_str);
    report::error(&match (message, status) {
        (Some(message), _) => anyhow!("{message}"),
        (None, StatusCode::NOT_FOUND) => {
            anyhow!(
                "the server has no HTTP API at `{}`: it runs without `--api-keys`",
                options.url
            )
        }
        (None, status) => anyhow!("the server has answered `{status}`"),
    });
    Ok(ExitCode::from(PROBLEMS))
}
