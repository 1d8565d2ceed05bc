//! Writes events as log lines when the application has no listener, so that nothing is lost silently.
//!
//! Invariant: no text of a client or a script gets into a line unescaped, because a subscriber may write it verbatim.
//! The [text](HostEvent::text) of an event is already escaped.

use crate::event::{HostEvent, Level};

pub(super) fn trace(event: &HostEvent) {
    let kind = event.kind();
    match event.level() {
        Level::Debug => tracing::debug!(kind, "{event}"),
        Level::Info => tracing::info!(kind, "{event}"),
        Level::Warn => tracing::warn!(kind, "{event}"),
        Level::Error => tracing::error!(kind, "{event}"),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fmt::Debug,
        sync::{Arc, Mutex},
    };

    use tracing::{
        Event, Metadata, Subscriber,
        field::{Field, Visit},
        span::{Attributes, Id, Record},
    };

    use super::*;
    use crate::{
        diagnostic::{hostile::TEXT, is_hidden},
        event::samples::every,
    };

    /// Subscriber that writes the fields of all events verbatim.
    #[derive(Clone, Default)]
    struct Fields(Arc<Mutex<Vec<String>>>);

    impl Visit for Fields {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.0.lock().unwrap().push(format!("{field}={value:?}"));
        }

        fn record_str(&mut self, field: &Field, value: &str) {
            self.0.lock().unwrap().push(format!("{field}={value}"));
        }
    }

    impl Subscriber for Fields {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            event.record(&mut self.clone());
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn no_field_of_any_event_is_written_as_a_client_chose_it() {
        for event in every(TEXT) {
            let fields = Fields::default();
            tracing::subscriber::with_default(fields.clone(), || trace(&event));
            let fields = fields.0.lock().unwrap();
            assert!(
                fields.iter().any(|field| field.starts_with("message=")),
                "{event:?}"
            );
            for field in fields.iter() {
                // A diagnostic has several lines, and none of them begins with the text.
                let hidden = |c| c != '\n' && is_hidden(c);
                assert!(
                    !field.contains(hidden) && !field.contains("\nFORGED"),
                    "{field:?}"
                );
            }
        }
    }
}
