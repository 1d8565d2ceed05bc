//! Functions for hashes, encodings, URLs, times and regular expressions.

use patchcord::{
    script::Memory,
    testing::{TestHost, options},
};

/// Returns the value of an expression as JSON, or the error that it throws.
fn value(expression: &str) -> String {
    let script = format!(
        "fn on_connection(socket) {{ socket.on(\"run\", || {{
            let value = ();
            try {{ value = {{ {expression} }}; }} catch(err) {{ value = err.to_string(); }}
            [value] }}); }}"
    );
    let host = TestHost::new(&script);
    let client = host.connect("/").unwrap();
    let answer = client.ask("run", ());
    let answer = answer.unwrap_or_else(|| panic!("{expression}: {:?}", host.problems()));
    let answer = answer
        .strip_prefix("[[")
        .and_then(|answer| answer.strip_suffix("]]"));
    answer.unwrap().to_owned()
}

/// Checks the values of expressions.
fn assert_values(expected: &[(&str, &str)]) {
    for (expression, expected) in expected {
        assert_eq!(value(expression), *expected, "{expression}");
    }
}

#[test]
fn hashes_are_those_of_the_standards() {
    assert_values(&[
        // FIPS 180-4, examples of NIST.
        (
            "hash::sha256(\"abc\")",
            "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"",
        ),
        (
            "hash::sha256(\"\")",
            "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"",
        ),
        (
            "hash::sha512(\"abc\")",
            "\"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f\"",
        ),
        // RFC 4231, test cases 1 and 2.
        (
            "hash::hmac_sha256(blob(20, 0x0b), \"Hi There\")",
            "\"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7\"",
        ),
        (
            "hash::hmac_sha256(\"Jefe\", \"what do ya want for nothing?\")",
            "\"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843\"",
        ),
        (
            "hash::sha256(hex::decode(\"616263\")) == hash::sha256(\"abc\")",
            "true",
        ),
        ("hash::equal(\"abc\", \"abc\")", "true"),
        ("hash::equal(\"abc\", hex::decode(\"616263\"))", "true"),
        (
            "hash::equal(\"abc\", \"abd\") || hash::equal(\"abc\", \"ab\")",
            "false",
        ),
        (
            "hash::sha256(7)",
            "\"`hash::sha256` takes a string or binary data, and got int\"",
        ),
        (
            "hash::equal(\"a\", ())",
            "\"`hash::equal` takes a string or binary data, and got ()\"",
        ),
    ]);
}

#[test]
fn base64_and_hexadecimal_digits_are_written_and_read() {
    assert_values(&[
        // RFC 4648, section 10.
        (
            "[\"\", \"f\", \"fo\", \"foo\", \"foob\"].map(|t| base64::encode(t))",
            "[\"\",\"Zg==\",\"Zm8=\",\"Zm9v\",\"Zm9vYg==\"]",
        ),
        (
            "base64::encode(hex::decode(\"fbefff\")) + base64::encode_url(hex::decode(\"fbefff\"))",
            "\"++//--__\"",
        ),
        ("base64::encode_url(\"f\")", "\"Zg\""),
        (
            "[\"Zg==\", \"Zg\", \"Zm9vYg=\", \"\"].map(|t| base64::decode(t).to_text())",
            "[\"f\",\"f\",\"foob\",\"\"]",
        ),
        (
            "hex::encode(base64::decode(\"++//\")) == hex::encode(base64::decode(\"--__\"))",
            "true",
        ),
        (
            "base64::decode(\"Zm 9\")",
            "\"`base64::decode`: the string is not valid at index 2\"",
        ),
        (
            "base64::decode(\"Z\")",
            "\"`base64::decode`: the end of the string is missing\"",
        ),
        ("hex::encode(\"hi ü\")", "\"686920c3bc\""),
        ("hex::decode(\"686920C3bc\").to_text()", "\"hi ü\""),
        (
            "hex::decode(\"6g\")",
            "\"`hex::decode`: the string is not valid at index 1\"",
        ),
        (
            "hex::decode(\"686\")",
            "\"`hex::decode`: the end of the string is missing\"",
        ),
        (
            "hex::decode(\"61ff\").to_text()",
            "\"`to_text`: the bytes are not UTF-8 at index 1\"",
        ),
    ]);
}

#[test]
fn urls_are_escaped_and_taken_apart_as_in_javascript() {
    assert_values(&[
        (
            "url::parse(\"https://example.com:[x]evil/\")",
            "\"`url::parse` takes an absolute URL, such as `https://example.com/path`\"",
        ),
        (
            "url::parse(\"https://example.com:99999/\")",
            "\"`url::parse` takes an absolute URL, such as `https://example.com/path`\"",
        ),
        (
            "url::parse(\"https://example.com:abc/\")",
            "\"`url::parse` takes an absolute URL, such as `https://example.com/path`\"",
        ),
        (
            "url::parse(\"https://ada:pw@example.com:/\").host",
            "\"example.com\"",
        ),
        (
            "url::query(#{ a: 'x', b: 2.0, c: 2.5 })",
            "\"a=x&b=2&c=2.5\"",
        ),
        (
            "url::decode(\"100%\")",
            "\"`url::decode`: `%` is not followed by two hexadecimal digits\"",
        ),
        (
            "url::encode(\"a b/ü?&=-_.!~*'()\")",
            "\"a%20b%2F%C3%BC%3F%26%3D-_.!~*'()\"",
        ),
        ("url::decode(\"a%20b%2F%C3%BC+\")", "\"a b/ü+\""),
        (
            "url::decode(\"%ff\")",
            "\"`url::decode`: the result is not UTF-8\"",
        ),
        (
            "url::query(#{ q: \"fish & chips\", page: 2, all: true })",
            "\"all=true&page=2&q=fish+%26+chips\"",
        ),
        (
            "url::query(#{ a: [1] })",
            "\"`url::query`: the value of `a` is array\"",
        ),
        (
            "url::parse_query(\"?q=fish+%26+chips&page=2&page=3\")",
            "{\"page\":\"3\",\"q\":\"fish & chips\"}",
        ),
        (
            "url::parse(\"HTTPS://Example.com:8080/a/b?c=d#e\")",
            "{\"fragment\":\"e\",\"host\":\"example.com\",\"path\":\"/a/b\",\"port\":8080,\"query\":{\"c\":\"d\"},\"scheme\":\"https\"}",
        ),
        ("url::parse(\"http://[::1]/\").host", "\"[::1]\""),
        ("url::parse(\"http://a.com\").port", "null"),
        (
            "url::parse(\"/a/b\")",
            "\"`url::parse` takes an absolute URL, such as `https://example.com/path`\"",
        ),
        (
            "url::parse(\"http://\")",
            "\"`url::parse` takes an absolute URL, such as `https://example.com/path`\"",
        ),
        (
            "url::parse(\"not a url\")",
            "\"`url::parse` takes an absolute URL, such as `https://example.com/path`\"",
        ),
    ]);
}

#[test]
fn times_are_written_read_and_added_with_the_calendar_and_time_zones() {
    assert_values(&[
        // No zone says when this is.
        (
            "time::parse(\"2026-11-30T18:04:11\")",
            "\"`time::parse` takes a time such as `2026-11-30T18:04:11Z`, and got `2026-11-30T18:04:11`\"",
        ),
        (
            "time::parse(\"2026-11-30 18:04\")",
            "\"`time::parse` takes a time such as `2026-11-30T18:04:11Z`, and got `2026-11-30 18:04`\"",
        ),
        ("time::iso(0)", "\"1970-01-01T00:00:00.000Z\""),
        ("time::iso(-1)", "\"1969-12-31T23:59:59.999Z\""),
        ("time::iso(1796061851250)", "\"2026-11-30T18:04:11.250Z\""),
        ("time::parse(\"2026-11-30T18:04:11.25Z\")", "1796061851250"),
        (
            "time::parse(\"2026-11-30T19:04:11.25+01:00\")",
            "1796061851250",
        ),
        ("time::parse(\"2026-11-30\")", "1795996800000"),
        (
            "time::parse(\"Mon, 30 Nov 2026 18:04:11 GMT\")",
            "1796061851000",
        ),
        (
            "time::parse(\"soon\")",
            "\"`time::parse` takes a time such as `2026-11-30T18:04:11Z`, and got `soon`\"",
        ),
        (
            "time::format(1796061851250, \"%A, %e %B %Y\")",
            "\"Monday, 30 November 2026\"",
        ),
        (
            "time::format(1796061851250, \"%H:%M %Z\", \"Europe/Berlin\")",
            "\"19:04 CET\"",
        ),
        (
            "time::format(0, \"%H:%M\", \"Mars/Olympus\")",
            "\"`time::format`: there is no time zone `Mars/Olympus`; an example is `Europe/Berlin`\"",
        ),
        (
            "time::iso(time::add(time::parse(\"2027-01-31\"), \"1 month\"))",
            "\"2027-02-28T00:00:00.000Z\"",
        ),
        (
            "time::add(0, \"2h 30m\") + time::add(0, \"-7 days\")",
            "-595800000",
        ),
        ("time::add(0, \"PT1S\")", "1000"),
        // The clocks in Berlin change on 29 March 2026.
        (
            "time::add(time::parse(\"2026-03-28T11:00:00Z\"), \"1 day\", \"Europe/Berlin\") - time::parse(\"2026-03-28T11:00:00Z\")",
            "82800000",
        ),
        (
            "time::add(0, \"a while\")",
            "\"`time::add` takes a span such as `1 month`, `2h 30m` or `-7 days`, and got `a while`\"",
        ),
        (
            "time::add(0, \"19000 years\")",
            "\"`time::add`: the sum is not between the years -9999 and 9999\"",
        ),
        (
            "time::iso(9223372036854775807)",
            "\"`time::iso`: 9223372036854775807 ms is not between the years -9999 and 9999\"",
        ),
        (
            "time::parts(1796061851250, \"Asia/Kathmandu\")",
            "{\"day\":30,\"hour\":23,\"millisecond\":250,\"minute\":49,\"month\":11,\"second\":11,\"weekday\":1,\"year\":2026}",
        ),
        ("time::parts(-86400000).weekday", "3"),
    ]);
    let long = format!("time::format(0, \"{}\")", "%A".repeat(100));
    assert_eq!(
        value(&long),
        "\"`time::format` takes a string of at most 128 bytes\""
    );
}

#[test]
fn regular_expressions_find_replace_and_split() {
    assert_values(&[
        ("re(`(\\d+)`).replace(\"5\", \"$1px $$1\")", "\"5px $1\""),
        (
            "re(`(a)(b)?`).replace_all(\"ab a\", \"[$2$1]\")",
            "\"[ba] [a]\"",
        ),
        (
            "re(`^${re_escape(\"a.b|c\")}$`).is_match(\"a.b|c\")",
            "true",
        ),
        (
            "let p = \"()\".repeat(40); re(p)",
            "\"`re`: a pattern has at most 31 groups\"",
        ),
        ("re(`^[a-z]+$`).is_match(\"abc\")", "true"),
        ("re(`^[a-z]+$`).is_match(\"abc1\")", "false"),
        ("re(`\\d+`).find(\"room 12 of 30\")", "\"12\""),
        ("re(`\\d+`).find(\"room\")", "null"),
        ("re(`\\d+`).find_all(\"room 12 of 30\")", "[\"12\",\"30\"]"),
        (
            "re(`^/(?<name>\\w+)(?: (.*))?$`).captures(\"/nick\")",
            "{\"0\":\"/nick\",\"1\":\"nick\",\"2\":null,\"name\":\"nick\"}",
        ),
        ("re(`x`).captures(\"abc\")", "null"),
        (
            "re(`(\\w+) (\\w+)`).replace(\"a b c d\", \"$2 $1\")",
            "\"b a c d\"",
        ),
        (
            "re(`(?<x>[ab])`).replace_all(\"abc\", \"<${x}$$>\")",
            "\"<a$><b$>c\"",
        ),
        ("re(``).replace_all(\"ab\", \"-\")", "\"-a-b-\""),
        ("re(`,\\s*`).split(\"a, b,c\")", "[\"a\",\"b\",\"c\"]"),
        ("re(`ü+`).find(\"grüüße\")", "\"üü\""),
        ("`${re(\"a|b\")}`", "\"a|b\""),
        (
            "let p = \"[a-z\"; re(p)",
            "\"`re`: `[a-z` is not a valid pattern: unclosed character class\"",
        ),
        (
            "let p = \"(?=a)\"; re(p)",
            "\"`re`: `(?=a)` is not a valid pattern: look-around, including look-ahead and look-behind, is not supported\"",
        ),
        (
            "let p = \"\\\\w{1000}{1000}\"; re(p)",
            "\"`re`: the pattern takes more than 4194304 bytes when it is compiled\"",
        ),
        (
            "let t = \"\"; t.pad(65537, 'a'); re(`a`).is_match(t)",
            "\"a pattern searches a string of at most 65536 bytes\"",
        ),
        (
            "let p = \"\"; p.pad(1025, 'a'); re(p)",
            "\"`re`: a pattern has at most 1024 bytes\"",
        ),
    ]);
}

#[test]
fn a_replacement_that_inserts_a_long_match_many_times_is_an_error() {
    let expression =
        "let t = \"a\".repeat(60000); let r = \"$0\".repeat(200000); re(`a+`).replace(t, r)";
    assert_eq!(value(expression), "\"a string has at most 1048576 bytes\"");
}

#[test]
fn a_pattern_that_catches_other_engines_is_fast() {
    let text = "a".repeat(60_000);
    let expression = format!("re(`^(a+)+$`).is_match(\"{text}!\")");
    assert_eq!(value(&expression), "false");
}

#[test]
fn results_count_towards_the_limits_of_a_call() {
    for code in [
        "loop { hash::sha256(text); }",
        "loop { base64::encode(text); }",
        "loop { re(`a+`).is_match(text); }",
        "loop { url::encode(text); }",
    ] {
        let script = format!(
            "fn on_connection(socket) {{ let text = \"\"; text.pad(60000, 'a'); socket.on(\"go\", || {{ {code} }}); }}"
        );
        let mut options = options();
        options.limits.produced = 1 << 20;
        let host = TestHost::build([("main.rhai", &*script)], |builder| {
            builder.options(options)
        });
        host.connect("/").unwrap().emit("go", ());
        let problems = host.problems();
        assert!(
            problems[0].contains("made more and larger strings"),
            "{code}: {problems:?}"
        );
    }
}

#[test]
fn a_pattern_that_is_a_literal_is_checked_before_the_script_runs() {
    let script =
        "fn on_connection(socket) { socket.on(\"name\", |name| re(`[a-z`).is_match(name)); }";
    let scripts = Memory::from([("main.rhai", script)]);
    let host = patchcord::Host::builder().loader(scripts).build();
    let problems = host.check().unwrap();
    assert_eq!(problems.len(), 1);
    assert_eq!(
        problems[0].message,
        "`[a-z` is not a valid pattern: unclosed character class"
    );
    assert!(
        problems[0].to_string().contains("main.rhai:1:"),
        "{}",
        problems[0]
    );
}

#[test]
fn ids_have_the_form_of_rfc_9562_and_an_edit_draws_no_other_ones() {
    let script = |text: &str| {
        format!(
            "fn on_connection(socket) {{
                socket.data.ids = [uuid(), uuid_v7()];
                socket.on(\"ids\", || socket.data.ids);
                socket.on(\"text\", || \"{text}\"); }}"
        )
    };
    let mut host = TestHost::new(&script("one"));
    let client = host.connect("/").unwrap();
    let ids = client.ask("ids", ()).unwrap();
    let parsed: Vec<Vec<String>> = serde_json::from_str(&ids).unwrap();
    for (id, version) in parsed[0].iter().zip(["4", "7"]) {
        let parts: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{id}");
        assert_eq!(&id[14..15], version, "{id}");
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
    }
    host.edit("main.rhai", &script("two"));
    assert_eq!(client.ask("text", ()).as_deref(), Some("[\"two\"]"));
    assert_eq!(client.ask("ids", ()).unwrap(), ids);
}

#[test]
fn an_error_of_a_function_in_a_module_has_the_place_of_its_call() {
    for call in [
        "json::parse(\"{\")",
        "hash::sha256(1)",
        "base64::decode(\"*\")",
        "hex::decode(\"*\")",
        "url::parse(\"*\")",
        "time::parse(\"*\")",
        "limit::allow(\"a\", 0, 1)",
        "own::fail(1)",
        "own::later(1, 2)",
    ] {
        let script = format!("fn on_connection(socket) {{\n    let n = 1;\n    {call};\n}}");
        let own = patchcord::Functions::new()
            .function("fail(n)", |n: i64| {
                Err::<i64, Box<rhai::EvalAltResult>>(format!("not {n}").into())
            })
            .async_function("later(n)", |n: i64| async move { Ok::<_, String>(n) });
        let host = TestHost::build([("main.rhai", &*script)], |builder| {
            builder.module("own", own)
        });
        let _client = host.connect("/");
        let problems = host.problems();
        let module = call.split("::").next().unwrap();
        let place = format!("main.rhai:3:{}", 5 + module.len() + 2);
        assert!(problems[0].contains(&place), "{call}: {problems:?}");
    }
}
