//! Messages to the service manager that has started the process (`Type=notify` of systemd). Without one, nothing
//! happens; and a manager that cannot be reached is no reason to stop serving.

use sd_notify::{NotifyState, notify};

/// Reports that the server listens.
pub(super) fn ready() {
    let _ = notify(&[NotifyState::Ready]);
}

/// Reports that scripts and keys are read again, or that the program restarts in place, until the next [`ready`].
pub(super) fn reloading() {
    let mut states = vec![NotifyState::Reloading];
    states.extend(NotifyState::monotonic_usec_now().ok());
    let _ = notify(&states);
}

/// Reports that the server shuts down.
pub(super) fn stopping() {
    let _ = notify(&[NotifyState::Stopping]);
}
