//! Events of a store as text.

use super::Lines;
use crate::event::HostEvent;

/// Adds the lines of an event of a store.
pub(super) fn lines(lines: &mut Lines<'_>, event: &HostEvent) {
    match event {
        HostEvent::StoreFailed {
            store,
            namespace,
            key,
            error,
            unsaved,
        } => match (namespace, key) {
            (Some(namespace), Some(key)) => lines.line(&format!(
                "warning: {store}: `{key}` of {namespace} cannot be read, and is left out: {error}"
            )),
            (Some(namespace), None) => {
                lines.line(&format!(
                    "warning: {store}: the data of {namespace} cannot be read: {error}"
                ));
                lines.line("  hint: until a restart, its data is in memory only, and nothing in the store is overwritten");
            }
            (None, _) => {
                let keys = match unsaved {
                    1 => "1 changed key is".to_owned(),
                    _ => format!("{unsaved} changed keys are"),
                };
                lines.line(&format!("warning: {store}: {keys} not saved: {error}"));
                lines.line(
                    "  hint: the data in memory serves on, and the host tries again each second",
                );
            }
        },
        HostEvent::StoreRecovered { store, saved } => {
            let keys = match saved {
                1 => "1 key".to_owned(),
                _ => format!("{saved} keys"),
            };
            lines.line(&format!(
                "{store}: saves again, {keys} that waited are saved"
            ));
        }
        _ => {}
    }
}
