//! Saves that are previewed first.

use patchcord::{HostEvent, host::Preview, testing::TestHost};

/// Returns the events without the durations of reloads.
pub(crate) fn timeless(events: Vec<HostEvent>) -> Vec<HostEvent> {
    let mut events = events;
    for event in &mut events {
        if let HostEvent::Replaced { reload, .. } = event {
            reload.milliseconds = 0;
        }
    }
    events
}

/// Saves a text, and checks that the report is the same as in its preview.
pub(crate) fn edit_as_previewed(host: &mut TestHost, text: &str) -> Preview {
    let preview = host.preview_texts([("main.rhai", text)]);
    host.events();
    host.edit("main.rhai", text);
    assert_eq!(
        timeless(host.events()),
        timeless(preview.events.clone()),
        "{text}"
    );
    preview
}
