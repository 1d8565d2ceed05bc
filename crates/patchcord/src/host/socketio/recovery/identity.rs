//! Identity of a socket across the returns of its client.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rhai::{Dynamic, Map};

/// Number of random bytes of a pid.
const RANDOM_BYTES: usize = 18;
/// Length of a pid.
const LENGTH: usize = RANDOM_BYTES / 3 * 4;

/// Identity of a socket, which stays the same when its client comes back.
pub(in crate::host::socketio) struct Identity {
    /// Secret with which the client may come back.
    pub(in crate::host::socketio) pid: Arc<str>,
    /// Number of the last event of the namespace before the client first connected.
    begins: AtomicU64,
    /// Number of the last event that was sent to the client.
    sent: AtomicU64,
}

/// Hides the pid.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    pub(in crate::host::socketio) fn new() -> Arc<Self> {
        let random: [u8; RANDOM_BYTES] = rand::random();
        Arc::new(Self {
            pid: BASE64_URL_SAFE_NO_PAD.encode(random).into(),
            begins: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        })
    }

    /// Returns the identity of a socket of an earlier process.
    pub(super) fn of(pid: Arc<str>, begins: u64, sent: u64) -> Arc<Self> {
        Arc::new(Self {
            pid,
            begins: begins.into(),
            sent: sent.into(),
        })
    }

    /// Records the last event before the client connected.
    pub(super) fn begin(&self, last: u64) {
        self.begins.store(last, Ordering::Relaxed);
        self.note_sent(last);
    }

    pub(super) fn begins(&self) -> u64 {
        self.begins.load(Ordering::Relaxed)
    }

    /// Records that an event was sent to the client.
    pub(in crate::host::socketio) fn note_sent(&self, number: u64) {
        self.sent.store(number, Ordering::Relaxed);
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// Request of a client to come back.
pub(in crate::host::socketio) struct Return {
    pub(super) pid: String,
    /// Offset of the last event that the client has received, if it has received any.
    pub(super) offset: Option<String>,
}

impl Return {
    /// Removes the request from the `auth` of a CONNECT, so that scripts do not see the pid. An `auth` of the client's
    /// own with a `pid` of another form stays as it is.
    pub(in crate::host::socketio) fn take(auth: &mut Dynamic) -> Option<Self> {
        let mut auth = auth.write_lock::<Map>()?;
        let pid = auth.get("pid")?.clone().into_string().ok()?;
        let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if pid.len() != LENGTH || !pid.bytes().all(is_digit) {
            return None;
        }
        auth.remove("pid");
        let offset = auth.remove("offset");
        Some(Self {
            pid,
            offset: offset.and_then(|offset| offset.into_string().ok()),
        })
    }
}
