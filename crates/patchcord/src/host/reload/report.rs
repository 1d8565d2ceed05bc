//! Outcome of a load for the application.

use std::fmt;

use crate::{
    diagnostic::Diagnostic,
    event::{HostEvent, Reload},
};

/// Effects of [`Host::load`](crate::Host::load) or [`Host::reload`](crate::Host::reload).
///
/// ```
/// use patchcord::{Host, script::Memory};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), patchcord::ScriptsRejected> {
/// let host = Host::builder().loader(Memory::from([("main.rhai", "fn on_connection(socket) {}")])).build();
/// let report = host.load().await?;
/// assert_eq!((report.batch, report.events[0].kind()), (Some(1), "loaded"));
/// assert_eq!(host.reload().await?.batch, None, "nothing has changed");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LoadReport {
    /// Number of the batch that has taken effect; `None` if nothing has.
    pub batch: Option<u64>,
    /// Events that the host has announced during the load, without the logs of scripts: [`HostEvent::Loaded`],
    /// [`HostEvent::Replaced`], [`HostEvent::Warnings`] and the like, in order.
    pub events: Vec<HostEvent>,
}

impl LoadReport {
    /// Returns the effects on the live connections of a namespace; `None` if no new version replaced one there.
    pub fn reload(&self, namespace: &str) -> Option<&Reload> {
        self.events.iter().find_map(|event| match event {
            HostEvent::Replaced {
                namespace: of,
                reload,
                ..
            } => (**of == *namespace).then_some(reload),
            _ => None,
        })
    }
}

/// Error of a load that has rejected scripts: their earlier versions keep serving, and no script that was saved
/// together with them has taken effect. Its text has the file, the line and an excerpt of each problem.
///
/// ```
/// use patchcord::{Host, script::Memory};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let host = Host::builder().loader(Memory::from([("main.rhai", "fn on_connection(")])).build();
/// let rejected = host.load().await.unwrap_err();
/// assert_eq!(rejected.diagnostics.len(), 1);
/// assert!(rejected.to_string().contains("main.rhai:1:"));
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScriptsRejected {
    /// Reasons for the rejection, which were already announced.
    pub diagnostics: Vec<Diagnostic>,
    /// Effects of the scripts that were not rejected.
    pub report: LoadReport,
}

impl fmt::Display for ScriptsRejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ScriptsRejected {}
