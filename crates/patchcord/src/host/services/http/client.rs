//! Client that sends requests: limits, attempts and answers.

use std::{
    collections::HashMap,
    error::Error,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::Request;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use parking_lot::Mutex;
use rand::RngExt;
use tokio::{
    sync::{Notify, OnceCell, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};

use super::{
    connect::{Connector, connector},
    request::Prepared,
    response::HttpResponse,
};
use crate::host::{
    options::NetRule,
    services::tls::{self, Authorities},
};

/// Maximum number of requests of a host program at a time. Further ones wait within their time limits.
const MAX_REQUESTS: usize = 512;
/// Maximum number of requests to one host at a time. Further ones wait within their time limits.
const MAX_REQUESTS_PER_HOST: usize = 64;
/// Maximum number of requests to one host that run or wait. Further ones fail, so that a host which hangs delays no
/// requests to others.
const MAX_WAITING_PER_HOST: usize = 512;
/// Number of hosts from which on those without requests are forgotten.
const MANY_HOSTS: usize = 1_024;
/// Time after which an idle connection is closed.
const IDLE: Duration = Duration::from_secs(30);
/// Maximum number of idle connections to one host.
const MAX_IDLE: usize = 16;
/// Maximum size of the head of an answer, in bytes. Answers are read in pieces of at most this size.
const MAX_HEAD: usize = 64 << 10;
/// Maximum number of interim answers (status 1xx) before the answer. Nothing else bounds them.
const MAX_INTERIM: usize = 16;
/// Time before the second attempt. It doubles with each further attempt, and varies by up to a half.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

type Legacy = legacy::Client<Connector, Full<Bytes>>;

/// Client that sends requests.
#[derive(Debug)]
pub(super) struct Client {
    rules: Arc<[NetRule]>,
    /// Created at the first request, because it reads the certificates of the system.
    client: OnceCell<Legacy>,
    running: Arc<Semaphore>,
    hosts: Mutex<HashMap<String, Weak<Queue>>>,
}

/// Requests to one host.
#[derive(Debug)]
struct Queue {
    running: Arc<Semaphore>,
    waiting: Semaphore,
}

/// Failure of one attempt.
struct Failure {
    text: String,
    /// `true` if no connection was made, so that another attempt is safe.
    is_connect: bool,
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self {
            text,
            is_connect: false,
        }
    }
}

impl Client {
    pub(super) fn new(rules: Arc<[NetRule]>) -> Self {
        Self {
            rules,
            client: OnceCell::new(),
            running: Arc::new(Semaphore::new(MAX_REQUESTS)),
            hosts: Mutex::default(),
        }
    }

    /// Sends a request, several times if the script wants it.
    pub(super) async fn send(&self, request: &Prepared) -> Result<HttpResponse, String> {
        let queue = self.queue(&request.target.host_and_port());
        let _waiting = queue.waiting.try_acquire().map_err(|_| {
            format!(
                "{MAX_WAITING_PER_HOST} requests to this host are under way, which is the limit"
            )
        })?;
        let mut interval = RETRY_INTERVAL;
        let mut left = request.retry;
        loop {
            let answer = tokio::time::timeout(request.timeout, self.attempt(request, &queue)).await;
            let answer = answer.unwrap_or_else(|_| {
                let text = format!("timed out after {:?}", request.timeout);
                Err(text.into())
            });
            let is_temporary = match &answer {
                Ok(response) => [429, 500, 502, 503, 504].contains(&response.status),
                Err(failure) => failure.is_connect,
            };
            if left == 0 || !is_temporary {
                return answer.map_err(|failure| failure.text);
            }
            left -= 1;
            let varied = rand::rng().random_range(0.5..=1.5);
            sleep_until(Instant::now() + interval.mul_f64(varied)).await;
            interval *= 2;
        }
    }

    async fn attempt(&self, request: &Prepared, queue: &Queue) -> Result<HttpResponse, Failure> {
        let _permits = self.permits(queue).await?;
        let client = self.client.get_or_try_init(|| self.create()).await?;
        let mut message = Request::builder()
            .method(request.method.clone())
            .uri(request.target.uri.clone())
            .body(Full::new(request.body.clone()))
            .map_err(|error| error.to_string())?;
        message.headers_mut().extend(request.headers.clone());
        let flooded = too_many_interim(&mut message);
        let answer = tokio::select! {
            answer = client.request(message) => answer.map_err(|error| Failure {
                text: cause(&error),
                is_connect: error.is_connect(),
            })?,
            // This also ends the connection.
            () = flooded.notified() => {
                let text = format!("more than {MAX_INTERIM} interim answers (status 1xx) came first");
                return Err(text.into());
            }
        };
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, request.max_size).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => format!("the answer is larger than {} bytes", request.max_size),
            false => cause(&*error),
        })?;
        Ok(HttpResponse {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.to_bytes(),
        })
    }

    async fn create(&self) -> Result<Legacy, String> {
        let config = tls::client(Authorities::System.load().await?)?;
        let connector = connector(self.rules.clone(), config);
        Ok(legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(MAX_HEAD)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MAX_IDLE)
            .build(connector))
    }

    /// Waits until a request may run.
    async fn permits(&self, queue: &Queue) -> Result<[OwnedSemaphorePermit; 2], String> {
        let of_host = queue.running.clone().acquire_owned().await;
        let of_host = of_host.map_err(|error| error.to_string())?;
        let of_all = self.running.clone().acquire_owned().await;
        Ok([of_host, of_all.map_err(|error| error.to_string())?])
    }

    /// Returns the queue of a host.
    fn queue(&self, host: &str) -> Arc<Queue> {
        let mut hosts = self.hosts.lock();
        if let Some(known) = hosts.get(host).and_then(Weak::upgrade) {
            return known;
        }
        if hosts.len() >= MANY_HOSTS {
            hosts.retain(|_, queue| queue.strong_count() > 0);
        }
        let queue = Arc::new(Queue {
            running: Arc::new(Semaphore::new(MAX_REQUESTS_PER_HOST)),
            waiting: Semaphore::new(MAX_WAITING_PER_HOST),
        });
        hosts.insert(host.to_owned(), Arc::downgrade(&queue));
        queue
    }
}

/// Returns the notification of more than [`MAX_INTERIM`] interim answers to a request.
fn too_many_interim(message: &mut Request<Full<Bytes>>) -> Arc<Notify> {
    let (flooded, count) = (Arc::new(Notify::new()), AtomicUsize::new(0));
    let notify = flooded.clone();
    hyper::ext::on_informational(message, move |_| {
        if count.fetch_add(1, Ordering::Relaxed) == MAX_INTERIM {
            notify.notify_one();
        }
    });
    flooded
}

/// Returns the innermost cause of an error, which says most.
fn cause(error: &(dyn Error + 'static)) -> String {
    if let Some(reason) = tls::reason(error) {
        return reason;
    }
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
