//! Hints for events: which option of the command line helps.

use patchcord::{
    HostEvent,
    host::{AllowedHost, Origin},
};

pub(super) fn of(event: &HostEvent) -> Option<String> {
    match event {
        HostEvent::OriginRefused { origin } => Origin::hint(origin),
        HostEvent::HostRefused { host } => AllowedHost::hint(host),
        HostEvent::BundleMissing { .. } => Some(
            "`npm install socket.io-client`, and `--client-dist node_modules/socket.io-client/dist` serves it"
                .to_owned(),
        ),
        HostEvent::UntrustedProxy { .. } => Some(
            "`--trust-proxy=1` believes the address that one proxy in front of the server reports"
                .to_owned(),
        ),
        HostEvent::Suppressed { event, .. } => of(event),
        _ => None,
    }
}
