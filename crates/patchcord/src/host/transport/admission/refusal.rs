//! Reasons to reject a new session, and the responses with these reasons.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header::RETRY_AFTER},
};

use crate::{
    event::{Counter, Counters},
    host::transport::response::refuse_with,
};

/// Delay after which a client may try again, for limits that do not refill with time: the end of a session cannot be
/// predicted.
const RETRY: Duration = Duration::from_secs(5);

/// Limit that one more session would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::host::transport) enum Over {
    Sessions,
    Unconnected,
    /// Sessions open too fast. Contains the time until the next one may open.
    Rate(Duration),
}

/// Clients that a limit counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::host::transport) enum Scope {
    All,
    /// Clients of one address.
    Address,
    /// Clients behind a proxy that the host is not configured to trust.
    Proxy,
}

/// Reason to reject a new session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::host::transport) enum Refusal {
    Limit(Over, Scope),
    /// The request target is too long for the host to keep.
    Target,
}

impl Refusal {
    /// Returns the reason, as the host announces it.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Limit(Over::Sessions, Scope::All) => "`max-connections` clients are connected",
            Self::Limit(Over::Sessions, _) => {
                "`max-connections-per-address` clients of this address are connected"
            }
            Self::Limit(Over::Unconnected, Scope::All) => {
                "`max-unconnected` clients have not sent a CONNECT yet"
            }
            Self::Limit(Over::Unconnected, Scope::Address) => {
                "clients of this address that have not sent a CONNECT yet are a third of `max-unconnected`"
            }
            Self::Limit(Over::Unconnected, Scope::Proxy) => {
                "clients behind a proxy without `trust-proxy` that have not sent a CONNECT yet are a third of \
                 `max-unconnected`"
            }
            Self::Limit(Over::Rate(_), Scope::All) => {
                "more than `max-connects-per-second` clients connect"
            }
            Self::Limit(Over::Rate(_), Scope::Address) => {
                "more than `max-connects-per-second-per-address` clients connect from this address"
            }
            Self::Limit(Over::Rate(_), Scope::Proxy) => {
                "more than half of `max-connects-per-second` clients connect through a proxy without `trust-proxy`"
            }
            Self::Target => "the path and query of a request are longer than 8 KiB",
        }
    }

    /// Returns the counter of the limit.
    pub(super) const fn counter(self, counters: &Counters) -> &Counter {
        match self {
            Self::Limit(Over::Sessions, Scope::All) => &counters.over_max_connections,
            Self::Limit(Over::Sessions, _) => &counters.over_max_connections_per_address,
            Self::Limit(Over::Unconnected, _) => &counters.over_max_unconnected,
            Self::Limit(Over::Rate(_), Scope::Address) => {
                &counters.over_max_connects_per_second_per_address
            }
            Self::Limit(Over::Rate(_), _) => &counters.over_max_connects_per_second,
            Self::Target => &counters.requests_too_long,
        }
    }

    /// Returns the response to the request.
    pub(in crate::host::transport) fn response(self) -> Response<Body> {
        let mut response = refuse_with(self.status(), 4, self.message());
        if let Self::Limit(over, _) = self {
            let wait = match over {
                Over::Rate(wait) => wait,
                _ => RETRY,
            };
            let seconds = (wait + Duration::from_millis(999)).as_secs();
            let headers = response.headers_mut();
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Limit(Over::Sessions | Over::Unconnected, Scope::All) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Limit(..) => StatusCode::TOO_MANY_REQUESTS,
            Self::Target => StatusCode::URI_TOO_LONG,
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Limit(Over::Sessions, Scope::All) => "connection limit reached",
            Self::Limit(Over::Unconnected | Over::Rate(_), Scope::All) => {
                "too many clients connect at once"
            }
            Self::Limit(Over::Sessions, _) => "too many connections from this address",
            Self::Limit(..) => "too many clients connect from this address",
            Self::Target => "the path and query are too long",
        }
    }
}
