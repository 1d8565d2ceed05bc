//! Calls `on_present` and `on_absent`, in the unit of the namespace.

use std::sync::Arc;

use super::Dispatcher;
use crate::{
    connection::{Connection, Work},
    script::Handler,
};

impl Dispatcher {
    /// Calls the hook of the next change of which the script does not know.
    pub(super) fn presence(&self, unit: &Arc<Connection>) {
        let Some(change) = unit.namespace().next_presence_change() else {
            return;
        };
        // Each change is a work item of its own, so that the other work of the namespace gets its turn.
        unit.post(Work::Presence);
        let version = unit.version();
        // An edit may have removed the hook meanwhile.
        let Some(hook) = version.and_then(|version| Handler::of_hook(&version, change.hook)) else {
            return;
        };
        let args = vec![change.key.into(), change.meta];
        let call = format!("`{}`", change.hook.name());
        self.call(unit, &hook, args, call);
    }
}
