//! Checks that every hint about a page or a host names a value that its option accepts.

use clap::{Args, Command};
use proptest::prelude::*;

use super::with_hint;
use crate::options::ServeOptions;
use patchcord::{event::HostEvent, host::Origin};

fn report(event: &HostEvent) -> String {
    with_hint(event, event.text())
}

fn origin_refused(origin: &str) -> String {
    let origin = origin.to_owned();
    report(&HostEvent::OriginRefused { origin })
}

fn host_refused(host: &str) -> String {
    let host = host.to_owned();
    report(&HostEvent::HostRefused { host })
}

/// Returns the values of the options that the hint of a report names, as `serve` reads them.
fn accepted(report: &str) -> Vec<String> {
    let Some((_, hint)) = report.split_once("\nhint: ") else {
        return Vec::new();
    };
    let commands = hint.split('`').skip(1).step_by(2);
    let options = commands.filter(|command| *command != "--public DIR");
    let values = options.map(|option| {
        let words: Vec<_> = option.split(' ').collect();
        let serve = ServeOptions::augment_args(Command::new("serve").no_binary_name(true));
        let parsed = serve.try_get_matches_from(&words);
        assert!(parsed.is_ok(), "{report:?}: {option}");
        words[1].to_owned()
    });
    values.collect()
}

#[test]
fn a_hint_lets_in_one_page_or_allows_one_host_and_never_all() {
    for (origin, expected) in [
        ("https://a.com", Some("https://a.com")),
        ("app://.", Some("app://.")),
        ("capacitor://localhost", Some("capacitor://localhost")),
        ("null", None),
        ("*", None),
        ("file://", None),
        ("https://", None),
        ("https://münchen.de", None),
        ("https://a.com,https://b.com", None),
        ("", None),
    ] {
        let report = origin_refused(origin);
        let values = accepted(&report);
        assert_eq!(values.first().map(String::as_str), expected, "{report}");
    }
    for (host, expected) in [
        ("a.com:8080", Some("a.com")),
        ("A.com.", Some("a.com")),
        ("*", None),
        ("*.com", None),
        ("a b", None),
        ("", None),
    ] {
        let report = host_refused(host);
        let values = accepted(&report);
        assert_eq!(values.first().map(String::as_str), expected, "{report}");
    }
    assert!(origin_refused("null").contains("--public DIR"));
    assert!(origin_refused("file://").contains("--public DIR"));
}

proptest! {
    #[test]
    fn every_hint_names_a_value_that_its_option_accepts(
        text in prop_oneof![
            "[a-zA-Z+.*:-]{0,8}(://)?[a-zA-Z0-9.:*,;@_%\\[\\]-]{0,300}(:[0-9]{0,6})?[/,]{0,2}",
            "(https?|file|null|app|\\*)(://|:)?([a-z0-9.-]{0,4}|\\PC{0,3})(:[0-9]{1,6})?/?",
            "\\PC{0,40}",
        ]
    ) {
        for value in accepted(&origin_refused(&text)) {
            prop_assert_eq!(value.parse::<Origin>(), text.parse::<Origin>());
            prop_assert!(!["*", "null"].contains(&value.as_str()));
        }
        for value in accepted(&host_refused(&text)) {
            prop_assert!(!value.contains('*'), "{}", text);
        }
    }
}
