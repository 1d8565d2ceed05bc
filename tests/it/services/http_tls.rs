//! `http` with `https://`: whose certificates are trusted.

use tokio::runtime::Runtime;

use super::other_side::OtherSide;
use crate::support::{
    program::Place,
    tls::{Authority, Front, Identity},
};

/// Returns what a script of the program receives from a server with this certificate.
fn received(identity: &Identity, environment: &[(&str, &str)]) -> String {
    let runtime = Runtime::new().unwrap();
    let other = runtime.block_on(OtherSide::new());
    let front = Front::new(identity, other.address);
    let url = front.url("localhost", "/json");
    let script = format!(
        r#"fn on_connection(socket) {{ }}
        fn on_load() {{
            http::get("{url}", |err, res| print("received: " + if err == () {{ res.text() }} else {{ err }}));
        }}"#
    );
    let place = Place::new(&[("scripts/main.rhai", &script)]);
    let arguments = [
        "serve",
        "--port",
        "0",
        "--control",
        "none",
        "--allow-net",
        "localhost",
    ];
    let serving = place.serve(&arguments, environment);
    loop {
        if let Some((_, text)) = serving.line().split_once("received: ") {
            return text.to_owned();
        }
    }
}

#[test]
fn a_server_whose_authority_is_trusted_answers() {
    let authority = Authority::new();
    let file = authority.file();
    let environment = [("SSL_CERT_FILE", file.to_str().unwrap())];
    let answer = received(&authority.identity(&["localhost"]), &environment);
    assert_eq!(answer, r#"{"name":"Ada","age":36}"#);
}

#[test]
fn a_certificate_that_proves_nothing_is_an_error_of_the_closure() {
    let authority = Authority::named("Authority of a test");
    let file = authority.file();
    let trusted = [("SSL_CERT_FILE", file.to_str().unwrap())];
    for (identity, environment, expected) in [
        (
            authority.identity(&["localhost"]),
            &[][..],
            "the certificate of the server is from an unknown authority",
        ),
        (
            Authority::new().identity(&["localhost"]),
            &trusted,
            "the certificate of the server is from an unknown authority",
        ),
        (
            Authority::named("Authority of a test").identity(&["localhost"]),
            &trusted,
            "the certificate of the server has a wrong signature",
        ),
        (
            authority.identity(&["example.com", "127.0.0.1"]),
            &trusted,
            "the certificate of the server is for another host name",
        ),
        (
            authority.expired(&["localhost"]),
            &trusted,
            "the certificate of the server has expired",
        ),
    ] {
        assert_eq!(received(&identity, environment), expected);
    }
}
