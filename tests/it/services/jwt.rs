//! `jwt`: JSON Web Tokens.

use std::{collections::BTreeMap, fs};

use patchcord::{
    HostBuilder, HostEvent,
    script::Memory,
    testing::{Suite, TestHost},
};
use serde::Deserialize;

use super::other_side::OtherSide;
use crate::support::server::Running;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/jwt");

/// Tokens that another implementation has signed.
#[derive(Deserialize)]
struct Tokens {
    secret: String,
    tokens: BTreeMap<String, String>,
    key_sets: BTreeMap<String, serde_json::Value>,
}

fn tokens() -> Tokens {
    serde_json::from_str(&fs::read_to_string(format!("{FOLDER}/tokens.json")).unwrap()).unwrap()
}

fn pem(name: &str) -> String {
    fs::read_to_string(format!("{FOLDER}/{name}.pem")).unwrap()
}

/// Returns the name of the file with the key for an algorithm; `None` for a secret text.
fn file(algorithm: &str) -> Option<&'static str> {
    Some(match algorithm.get(..2).unwrap() {
        "HS" => return None,
        "ES" if algorithm == "ES384" => "ec384",
        "ES" => "ec",
        "Ed" => "ed",
        _ => "rsa",
    })
}

fn public(algorithm: &str, tokens: &Tokens) -> String {
    file(algorithm).map_or_else(|| tokens.secret.clone(), |name| pem(&format!("{name}.pub")))
}

fn private(algorithm: &str, tokens: &Tokens) -> String {
    file(algorithm).map_or_else(|| tokens.secret.clone(), pem)
}

/// Host whose clients verify and sign tokens.
struct Bench {
    _host: TestHost,
    client: patchcord::testing::TestClient,
}

impl Bench {
    fn new() -> Self {
        let host = TestHost::new(
            "fn on_connection(socket) {
                socket.on(\"verify\", |token, key, options, ack| {
                    try { ack.call(jwt::verify(token, key, options)); } catch (problem) { ack.call(problem); }
                });
                socket.on(\"sign\", |claims, key, options, ack| {
                    try { ack.call(jwt::sign(claims, key, options)); } catch (problem) { ack.call(problem); }
                });
                socket.on(\"plain\", |token, key| jwt::verify(token, key).sub);
            }",
        );
        let client = host.connect("/").unwrap();
        Self {
            _host: host,
            client,
        }
    }

    fn ask(
        &self,
        event: &str,
        first: impl serde::Serialize,
        key: &str,
        options: serde_json::Value,
    ) -> String {
        let answer = self.client.ask(event, (first, key, options)).unwrap();
        let [answer]: [serde_json::Value; 1] = serde_json::from_str(&answer).unwrap();
        answer
            .as_str()
            .map_or_else(|| answer.to_string(), str::to_owned)
    }

    fn verify(&self, token: &str, key: &str, options: serde_json::Value) -> String {
        self.ask("verify", token, key, options)
    }
}

macro_rules! options {
    ($($json:tt)*) => { serde_json::json!({ $($json)* }) };
}

#[test]
fn every_algorithm_verifies_tokens_of_others_and_its_own() {
    let (bench, tokens) = (Bench::new(), tokens());
    assert_eq!(tokens.tokens.len(), 12);
    for (algorithm, token) in &tokens.tokens {
        let (public, private) = (public(algorithm, &tokens), private(algorithm, &tokens));
        let options = options!("algorithms": algorithm, "audience": "chat", "issuer": ["https://other.test", "https://issuer.test"], "subject": "7");
        let claims = bench.verify(token, &public, options.clone());
        assert_eq!(
            claims,
            r#"{"aud":["chat","news"],"exp":4102444800,"iss":"https://issuer.test","sub":"7"}"#,
            "{algorithm}"
        );
        let forged = format!("{}AAAA", &token[..token.len() - 4]);
        assert_eq!(
            bench.verify(&forged, &public, options.clone()),
            "the signature of the token does not match",
            "{algorithm}"
        );
        let own = options!("sub": "7", "aud": "chat", "iss": "https://other.test");
        let own = bench.ask(
            "sign",
            own,
            &private,
            options!("algorithm": algorithm, "expires_in": 60_000, "kid": "k"),
        );
        assert!(own.split('.').count() == 3, "{algorithm}: {own}");
        let claims = bench.verify(&own, &public, options);
        assert!(claims.contains(r#""sub":"7""#), "{algorithm}: {claims}");
    }
}

#[test]
fn a_key_accepts_only_the_algorithms_that_are_named_and_of_its_family() {
    let (bench, tokens) = (Bench::new(), tokens());
    let any = || options!("audience": "chat");
    for (algorithm, token) in &tokens.tokens {
        let public = public(algorithm, &tokens);
        let is_default = ["HS256", "RS256", "ES256", "EdDSA"].contains(&algorithm.as_str());
        let verified = bench.verify(token, &public, any());
        match (is_default, algorithm.as_str()) {
            (true, _) => assert!(verified.contains("issuer.test"), "{algorithm}: {verified}"),
            (false, "ES384") => {
                assert_eq!(verified, "the token has another algorithm than [ES256]");
            }
            (false, _) => assert!(
                verified.starts_with("the token has another algorithm than ["),
                "{algorithm}: {verified}"
            ),
        }
    }
    // The classic attack: the public key as the secret of an HMAC.
    let rsa = pem("rsa.pub");
    let forged = bench.ask("sign", options!("sub": "admin"), &tokens.secret, options!());
    assert_eq!(
        bench.verify(&forged, &rsa, options!()),
        "the token has another algorithm than [RS256]"
    );
    assert_eq!(
        bench.verify(&forged, &rsa, options!("algorithms": ["RS256", "HS256"])),
        "`HS256` does not work with an RSA key"
    );
    assert_eq!(
        bench.verify(&forged, &pem("rsa"), options!()),
        "the key is private; signatures are verified with the public key"
    );
    assert_eq!(
        bench.verify(&forged, &tokens.secret, options!("algorithms": "none")),
        "there is no algorithm `none`; such as `HS256`, `RS256`, `ES256`, `EdDSA`"
    );
    assert_eq!(
        bench.verify(&forged, "", options!()),
        "`jwt::verify`: the key is empty"
    );
    assert_eq!(
        bench.ask("sign", options!(), &rsa, options!()),
        "the key is public; tokens are signed with the private key"
    );
}

#[test]
fn the_claims_decide() {
    let (bench, key) = (Bench::new(), "key");
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let sign =
        |claims: serde_json::Value| bench.ask("sign", claims, key, options!("expires_in": false));
    for (claims, options, expected) in [
        (options!("sub": "7"), options!(), "the token has no `exp`"),
        (options!("sub": "7"), options!("exp": false), r#""sub":"7""#),
        (
            options!("exp": now - 60),
            options!(),
            "the token has expired",
        ),
        (
            options!("exp": now - 60),
            options!("leeway": 120_000),
            "exp",
        ),
        (options!("exp": now - 10), options!(), "exp"),
        (
            options!("exp": now - 10),
            options!("leeway": 0),
            "the token has expired",
        ),
        (options!("exp": now - 60), options!("exp": false), "exp"),
        (
            options!("exp": "soon"),
            options!(),
            "the token has no `exp`",
        ),
        (options!("exp": -5), options!(), "the token has no `exp`"),
        (
            options!("exp": now + 60, "nbf": now + 3600),
            options!(),
            "the token is not valid yet",
        ),
        (
            options!("exp": now + 60, "aud": "a"),
            options!(),
            "the token is for another audience",
        ),
        (
            options!("exp": now + 60, "aud": "a"),
            options!("audience": "b"),
            "the token is for another audience",
        ),
        (
            options!("exp": now + 60),
            options!("audience": "b"),
            "the token has no `aud`",
        ),
        (
            options!("exp": now + 60),
            options!("issuer": "b"),
            "the token has no `iss`",
        ),
        (
            options!("exp": now + 60, "iss": "a"),
            options!("issuer": "b"),
            "the token has another issuer",
        ),
        (
            options!("exp": now + 60, "sub": "a"),
            options!("subject": "b"),
            "the token has another subject",
        ),
        (
            options!("exp": now + 60),
            options!("audiance": "b"),
            "`jwt::verify` has no option `audiance`; there is `audience`",
        ),
        (
            options!("exp": now + 60),
            options!("leeway": -1),
            "option `leeway` of `jwt::verify` takes an integer from 0 to 3600000, and got -1",
        ),
        (
            options!("exp": now + 60),
            options!("issuer": 7),
            "option `issuer` of `jwt::verify` takes a string or an array of strings, and got int",
        ),
    ] {
        let shown = format!("{claims} {options}");
        let result = bench.verify(&sign(claims), key, options);
        assert!(result.contains(expected), "{shown}: {result}");
    }
    assert!(bench.ask("sign", options!(), key, options!()).len() > 20);
}

#[test]
fn what_is_no_token_is_refused() {
    let bench = Bench::new();
    let base64 = |json: &str| data_encoding::BASE64URL_NOPAD.encode(json.as_bytes());
    let none = format!(
        "{}.{}.",
        base64(r#"{"alg":"none"}"#),
        base64(r#"{"sub":"admin","exp":9999999999}"#)
    );
    assert_eq!(
        bench.verify(&none, "key", options!()),
        "the token has the algorithm `none`, which is not supported"
    );
    for token in [
        "",
        ".",
        "..",
        "a.b.c",
        "a.b",
        "....",
        "e30.e30.",
        "\u{e4}.\u{e4}.\u{e4}",
    ] {
        assert_eq!(
            bench.verify(token, "key", options!()),
            "the token is malformed",
            "{token}"
        );
    }
    assert_eq!(
        bench.verify(&"a".repeat(70_000), "key", options!()),
        "the token is longer than 65536 bytes"
    );
    let number = bench.ask("verify", 7, "key", options!());
    assert_eq!(number, "the token is not a string");
    let missing = bench.ask("verify", (), "key", options!());
    assert_eq!(missing, "the token is not a string");
}

#[test]
fn a_script_refuses_clients_and_tells_them_why() {
    let script = "
        fn on_handshake(socket) {
            let claims = jwt::verify(socket.handshake.auth.token, env(\"JWT_SECRET\"));
            socket.data.user = claims.sub;
        }
        fn on_connection(socket) { socket.emit(\"user\", socket.data.user); }";
    let host = TestHost::new(script);
    let tokens = tokens();
    host.set_env("JWT_SECRET", &tokens.secret);
    let refused = host
        .connect_as("/", serde_json::json!({ "token": "x" }))
        .unwrap_err();
    assert_eq!(refused.0, "the token is malformed");
    let refused = host.connect("/").unwrap_err();
    assert_eq!(refused.0, "the token is not a string");
}

/// Runs a test of a script whose clients are verified by a key set.
fn with_key_set(test: &str) {
    let script = r#"
        const KEYS = jwt::jwks("https://id.test/keys");
        fn on_handshake(socket, next) {
            let options = #{ audience: "chat", issuer: "https://issuer.test" };
            jwt::verify(socket.handshake.auth.token, global::KEYS, options, |err, claims| {
                socket.data.user = claims?.sub;
                next.call(err);
            });
        }
        fn on_connection(socket) {
            socket.on("user", || socket.data.user);
            socket.on("verify", |token| jwt::verify(token, global::KEYS, #{ audience: "chat" }).sub);
        }"#;
    let scripts = Memory::from([("main.rhai", script), ("main_test.rhai", test)]);
    let outcomes = Suite::load(&scripts, |_, _| true).unwrap().run(|_| ());
    assert!(
        !outcomes.is_empty() && outcomes.iter().all(|outcome| outcome.passed()),
        "{outcomes:#?}"
    );
}

#[test]
fn keys_of_an_identity_provider_are_fetched_and_kept() {
    let tokens = tokens();
    for (algorithm, set) in [
        ("RS256", "rsa"),
        ("ES256", "ec"),
        ("ES384", "ec384"),
        ("EdDSA", "ed"),
    ] {
        let (token, set) = (&tokens.tokens[algorithm], &tokens.key_sets[set].to_string());
        let hmac = &tokens.tokens["HS256"];
        with_key_set(&format!(
            r#"fn test_verifies() {{
                http_answer("https://id.test/keys", #{{ body: `{set}` }});
                let ada = connect("/", #{{ auth: #{{ token: "{token}" }} }});
                assert_eq(ada.ask("user"), "7");
                assert_eq(ada.ask("verify", "{token}"), "7");
                assert_eq(refused("/", #{{ auth: #{{ token: "{hmac}" }} }}).starts_with("the token has another algorithm than ["), true);
                assert_eq(refused("/", #{{}}), "the token is not a string");
                assert(http_requests().len() <= 2);
            }}"#
        ));
    }
}

#[test]
fn a_key_that_is_not_known_is_fetched_once_more() {
    let tokens = tokens();
    let (token, set) = (&tokens.tokens["RS256"], &tokens.key_sets["rsa"].to_string());
    let other = set.replace(r#""kid":"1""#, r#""kid":"2""#);
    with_key_set(&format!(
        r#"fn test_rotation() {{
            http_answer("https://id.test/keys", #{{ body: `{other}` }});
            assert_eq(refused("/", #{{ auth: #{{ token: "{token}" }} }}), "the key of the token is not known");
            http_answer("https://id.test/keys", #{{ body: `{set}` }});
            connect("/", #{{ auth: #{{ token: "{token}" }} }});
        }}
        fn test_failure() {{
            http_answer("https://id.test/keys", #{{ status: 500 }});
            assert_eq(refused("/", #{{ auth: #{{ token: "{token}" }} }}), "the keys of the tokens are not available now");
            http_answer("https://id.test/keys", #{{ body: "[]" }});
            assert_eq(refused("/", #{{ auth: #{{ token: "{token}" }} }}), "the keys of the tokens are not available now");
        }}"#
    ));
}

/// Script whose clients verify tokens with the key set of a URL.
fn verifying(url: &str) -> String {
    format!(
        "fn on_connection(socket) {{
            let keys = jwt::jwks(\"{url}\");
            socket.on(\"verify\", |token, ack| {{
                jwt::verify(token, keys, #{{ audience: \"chat\" }}, |err, claims| ack.call(err, claims?.sub));
            }});
        }}"
    )
}

#[tokio::test]
async fn an_edit_of_the_url_of_a_key_set_takes_effect_and_a_failure_is_announced_once() {
    let other = OtherSide::new().await;
    let folder = tempfile::tempdir().unwrap();
    let save = |url: &str| fs::write(folder.path().join("main.rhai"), verifying(url)).unwrap();
    save(&other.url("/500"));
    let mut options = patchcord::testing::options();
    options.permissions.allow_net = vec!["127.0.0.1".parse().unwrap()];
    let build = |builder: HostBuilder| builder.scripts(folder.path()).options(options);
    let (mut running, host) = Running::reloadable(build).await;
    let mut ada = running.websocket().await;
    ada.connect("").await;
    let token = &tokens().tokens["RS256"];
    for n in 0..3 {
        ada.send(&format!("42{n}[\"verify\",\"{token}\"]")).await;
        let answer = ada.until(|packet| packet.starts_with("43")).await;
        let expected = format!("43{n}[\"the keys of the tokens are not available now\",null]");
        assert_eq!(answer, expected);
    }
    let failures: Vec<_> = running
        .announced_so_far()
        .iter()
        .filter(|event| matches!(event, HostEvent::ServiceFailed { .. }))
        .map(ToString::to_string)
        .collect();
    let expected = format!(
        "warning: /: `jwt::jwks` of `{}` failed: the status is 500",
        other.address
    );
    assert_eq!(failures, [expected]);
    save(&other.url("/keys"));
    host.reload().await.unwrap();
    ada.send(&format!("427[\"verify\",\"{token}\"]")).await;
    let answer = ada.until(|packet| packet.starts_with("437")).await;
    assert_eq!(answer, "437[null,\"7\"]");
    running.server.shutdown().await;
}

#[test]
fn unused_key_sets_are_forgotten() {
    let script = r#"fn on_connection(socket) {
        let held = [];
        socket.on("use", |n| type_of(jwt::jwks(`https://id.test/${n}`)));
        socket.on("hold", |n| { held.push(jwt::jwks(`https://id.test/${n}`)); held.len() });
        socket.on("release", || { held = []; });
    }"#;
    let host = TestHost::new(script);
    let ada = host.connect("/").unwrap();
    for n in 0..40 {
        assert_eq!(ada.ask("use", [n]).as_deref(), Some(r#"["KeySet"]"#), "{n}");
    }
    for n in 1..=16 {
        assert_eq!(ada.ask("hold", [n]), Some(format!("[{n}]")));
    }
    assert_eq!(host.problems(), [""; 0]);
    ada.emit("hold", [17]);
    let problems = host.problems();
    let expected = "`jwt::jwks` keeps the keys of at most 16 URLs";
    assert!(problems[0].contains(expected), "{problems:?}");
    assert_eq!(
        ada.ask("use", [3]).as_deref(),
        Some(r#"["KeySet"]"#),
        "a known one"
    );
    ada.emit("release", ());
    assert_eq!(ada.ask("hold", [17]).as_deref(), Some("[1]"));
}

#[test]
fn a_public_key_is_never_taken_for_a_secret() {
    let (bench, tokens) = (Bench::new(), tokens());
    let pem = pem("rsa.pub");
    for key in [
        format!("\u{feff}{pem}"),
        format!("Bag Attributes: x\n{pem}"),
        format!("  {pem}"),
    ] {
        let forged = bench.ask("sign", options!("sub": "admin"), &tokens.secret, options!());
        assert_eq!(
            bench.verify(&forged, &key, options!()),
            "the token has another algorithm than [RS256]"
        );
        let options = options!("audience": "chat");
        assert!(
            bench
                .verify(&tokens.tokens["RS256"], &key, options)
                .contains("issuer.test")
        );
    }
    for key in ["{\"kty\":\"oct\"}", "ssh-rsa AAAA"] {
        assert_eq!(
            bench.verify("a.b.c", key, options!()),
            "the key is neither a secret text nor a key in PEM"
        );
    }
    assert_eq!(
        bench.verify("a.b.c", "key", options!("algorithms": [])),
        "option `algorithms` of `jwt::verify` names none"
    );
}
