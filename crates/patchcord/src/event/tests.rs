//! Which counter each event counts in.

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
            "abandoned: 1 abandoned",
            "connect_refused: 1 connects_refused",
            "cut_off: 1 cut_off",
            "handler_failed: 1 failed",
            "headers_left_out: 7 headers_left_out",
            "lost: 7 lost",
            "no_connection: 1 no_connection",
            "promoted: 1 promoted",
            "refused: 7 refused",
            "rejected: 1 rejected",
            "removed: 1 removed",
            "repeated: 7 failed",
            "replaced: 1 replaced",
            "response_unread: 7 responses_unread",
            "rolled_back: 1 rolled_back",
            "slow_consumer: 1 slow_consumers",
            "staged: 1 staged",
            "unanswered: 1 unanswered",
            "unreadable: 1 unreadable",
        ]
    );
}
