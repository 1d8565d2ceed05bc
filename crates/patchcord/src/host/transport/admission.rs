//! Decides whether a request may open a session.
//!
//! In: the head of a request, and the address of its client. Out: a [`ConnectionPermit`], which a session holds as long
//! as it lives, or a [`Refusal`], which is announced and counted. A session gets its permit before any script knows
//! its client, so sessions without a socket have a limit of their own: see
//! [`ClientOptions::max_unconnected`](crate::host::ClientOptions::max_unconnected).

mod caller;
mod refusal;
mod tally;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    body::Body,
    http::{HeaderMap, Request},
};
use parking_lot::Mutex;
use tokio::time::Instant;

pub(super) use self::refusal::Refusal;
use self::{
    caller::{Caller, forwarding},
    tally::{Limits, Tally},
};
use super::request::{Headers, MAX_KEPT};
use crate::{
    event::HostEvent,
    host::{announce::Announcer, options::Options},
};

/// Admission of clients to a host.
#[derive(Debug)]
pub(in crate::host) struct Admission {
    limits: Limits,
    trust_proxy: usize,
    announcer: Arc<Announcer>,
    tally: Mutex<Tally>,
    /// `true` after an untrusted proxy was announced.
    proxy_announced: AtomicBool,
}

impl Admission {
    pub(super) fn new(options: &Options, announcer: Arc<Announcer>) -> Arc<Self> {
        Arc::new(Self {
            limits: Limits::new(options),
            trust_proxy: options.clients.trust_proxy,
            announcer,
            tally: Mutex::default(),
            proxy_announced: AtomicBool::new(false),
        })
    }

    /// Returns a permit for the session that a request of the client at `peer` opens.
    ///
    /// # Errors
    /// Returns the reason why the session is rejected, which was already announced and counted.
    pub(super) fn admit(
        self: &Arc<Self>,
        request: &Request<Body>,
        peer: Option<SocketAddr>,
    ) -> Result<ConnectionPermit, Refusal> {
        self.announce_proxy(request.headers(), peer);
        let caller = Caller::from_headers(request.headers(), peer, self.trust_proxy);
        let opened = match target_length(request) > MAX_KEPT {
            true => Err(Refusal::Target),
            false => self.tally.lock().open(&self.limits, caller, now()),
        };
        match opened {
            Ok(()) => Ok(ConnectionPermit {
                admission: self.clone(),
                caller,
                is_connected: false,
            }),
            Err(refusal) => {
                self.announce_refusal(refusal, peer);
                Err(refusal)
            }
        }
    }

    /// Returns the headers of a request that opens a session, and announces the names of those that the host does not
    /// keep.
    pub(super) fn keep_headers(&self, headers: &HeaderMap, peer: Option<SocketAddr>) -> Headers {
        let (kept, left_out) = Headers::keep(headers);
        if !left_out.is_empty() {
            self.announcer.announce(HostEvent::HeadersLeftOut {
                peer,
                names: left_out,
                count: 1,
            });
        }
        kept
    }

    fn announce_refusal(&self, refusal: Refusal, peer: Option<SocketAddr>) {
        refusal.counter(self.announcer.counters()).add();
        self.announcer.announce(HostEvent::RequestRejected {
            peer,
            reason: refusal.reason().to_owned(),
            count: 1,
        });
    }

    /// Announces, once, a proxy that the host is not configured to trust.
    fn announce_proxy(&self, headers: &HeaderMap, peer: Option<SocketAddr>) {
        let (Some(peer), Some(header)) = (peer, forwarding(headers, self.trust_proxy)) else {
            return;
        };
        if !self.proxy_announced.swap(true, Ordering::Relaxed) {
            self.announcer.announce(HostEvent::UntrustedProxy {
                peer,
                header: header.to_owned(),
            });
        }
    }
}

/// Returns the current time, which tests can pause.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// Returns the length of the path and query of a request, which the host keeps as long as the session lives.
fn target_length(request: &Request<Body>) -> usize {
    let target = request.uri().path_and_query();
    target.map_or(0, |target| target.as_str().len())
}

/// Permit for a session. Dropping it makes room for another session.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    admission: Arc<Admission>,
    caller: Caller,
    is_connected: bool,
}

impl ConnectionPermit {
    /// Records that the session has its first socket, and makes room for another session without one.
    pub(super) fn connected(&mut self) {
        if !std::mem::replace(&mut self.is_connected, true) {
            self.admission.tally.lock().connect(self.caller);
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.connected();
        self.admission.tally.lock().close(self.caller, now());
    }
}
