//! Tests that each event increments the right counter.

use std::collections::BTreeSet;

use super::{samples::every, *};

#[test]
fn every_loss_and_every_refusal_is_counted_and_can_be_written() {
    let mut counted = BTreeSet::new();
    for happened in every("") {
        let counters = Counters::default();
        counters.announced(&happened);
        let written = serde_json::to_value(&happened).unwrap();
        let kind = written["type"].as_str().unwrap().to_owned();
        for (name, _, count) in counters.all().iter().filter(|(_, _, count)| *count > 0) {
            if kind != "suppressed" {
                counted.insert(format!("{kind}: {count} {name}"));
                continue;
            }
            let one = Counters::default();
            let HostEvent::Suppressed { event, .. } = &happened else {
                panic!("{happened:?}");
            };
            one.announced(event);
            let of_one = one.all().into_iter().find(|one| one.0 == *name).unwrap();
            assert_eq!(*count, 7 * of_one.2, "{happened:?}");
        }
    }
    let counted: Vec<_> = counted.into_iter().collect();
    assert_eq!(
        counted,
        [
            "abandoned: 1 stages_abandoned",
            "accept_failed: 1 accept_errors",
            "client_disconnected: 1 clients_disconnected",
            "connect_refused: 1 connects_refused",
            "event_dropped: 7 events_dropped",
            "handler_failed: 1 handler_failures",
            "handler_failures_suppressed: 7 handler_failures",
            "headers_left_out: 7 headers_left_out",
            "promoted: 1 versions_promoted",
            "rejected: 1 batches_rejected",
            "removed: 1 namespaces_removed",
            "replaced: 1 versions_replaced",
            "request_rejected: 7 requests_rejected",
            "response_unread: 7 responses_unread",
            "rolled_back: 1 versions_rolled_back",
            "scripts_unreadable: 1 script_read_errors",
            "service_failed: 1 service_failures",
            "slow_consumer: 1 slow_consumers",
            "staged: 1 versions_staged",
            "store_failed: 1 store_failures",
            "unanswered: 1 events_unanswered",
        ]
    );
}
