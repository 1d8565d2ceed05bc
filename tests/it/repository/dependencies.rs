//! Checks that `deny.toml` allows every dependency: its licence, the crate itself, and its source.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde_json::Value;
use spdx::{Expression, Licensee, ParseMode};
use toml::de::{DeTable, DeValue};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Rules of `deny.toml`, as far as these tests check them.
#[derive(Debug)]
struct Rules {
    licences: Vec<Licensee>,
    /// Additional licences of single crates.
    exceptions: BTreeMap<String, Vec<Licensee>>,
    banned: Vec<String>,
    registries: Vec<String>,
}

impl Rules {
    fn read(text: &str) -> Self {
        let table = DeTable::parse(text).unwrap();
        let table = table.get_ref();
        let licences = table["licenses"].get_ref();
        let exceptions = each(&licences["exceptions"]);
        let name = |one: &DeValue<'_>| one["crate"].get_ref().as_str().unwrap().to_owned();
        Self {
            licences: licensees(&licences["allow"]),
            exceptions: exceptions
                .map(|one| (name(one), licensees(&one["allow"])))
                .collect(),
            banned: each(&table["bans"].get_ref()["deny"]).map(name).collect(),
            registries: texts(&table["sources"].get_ref()["allow-registry"]),
        }
    }

    /// Returns what is not allowed about a package of `cargo metadata`.
    fn problems(&self, package: &Value) -> Vec<String> {
        let name = package["name"].as_str().unwrap();
        let mut problems = Vec::new();
        let licence = package["license"].as_str().unwrap_or("no licence");
        let allowed = Expression::parse_mode(licence, ParseMode::LAX).is_ok_and(|licence| {
            let more = self.exceptions.get(name).into_iter().flatten();
            let all: Vec<_> = self.licences.iter().chain(more).collect();
            licence.evaluate(|wanted| all.iter().any(|one| one.satisfies(wanted)))
        });
        if !allowed {
            problems.push(format!(
                "the licence `{licence}` of `{name}` is not allowed"
            ));
        }
        if self.banned.iter().any(|banned| banned == name) {
            problems.push(format!("`{name}` is banned"));
        }
        if let Some(source) = package["source"].as_str() {
            let registry = source.strip_prefix("registry+");
            if !registry.is_some_and(|one| self.registries.iter().any(|known| known == one)) {
                problems.push(format!(
                    "`{name}` comes from `{source}`, which is not allowed"
                ));
            }
        }
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            if package["source"].is_null()
                && dependency["req"] == "*"
                && dependency["path"].is_null()
            {
                let of = &dependency["name"];
                problems.push(format!("`{name}` takes any version of {of}"));
            }
        }
        problems
    }
}

fn each<'a, 'b>(list: &'a toml::Spanned<DeValue<'b>>) -> impl Iterator<Item = &'a DeValue<'b>> {
    list.get_ref()
        .as_array()
        .unwrap()
        .iter()
        .map(toml::Spanned::get_ref)
}

fn texts(list: &toml::Spanned<DeValue<'_>>) -> Vec<String> {
    each(list)
        .map(|one| one.as_str().unwrap().to_owned())
        .collect()
}

fn licensees(list: &toml::Spanned<DeValue<'_>>) -> Vec<Licensee> {
    texts(list)
        .iter()
        .map(|one| Licensee::parse(one).unwrap())
        .collect()
}

fn rules() -> Rules {
    Rules::read(&fs::read_to_string(Path::new(ROOT).join("deny.toml")).unwrap())
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .current_dir(ROOT)
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Returns all packages that this machine builds, because those of other platforms have not been downloaded.
fn packages() -> Vec<Value> {
    let version = run("rustc", &["-vV"]);
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let arguments = [
        "metadata",
        "--offline",
        "--locked",
        "--format-version",
        "1",
        "--filter-platform",
        host,
    ];
    let metadata: Value = serde_json::from_str(&run(&cargo, &arguments)).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

#[test]
fn every_dependency_is_allowed() {
    let (rules, packages) = (rules(), packages());
    assert!(
        packages.len() > 100,
        "only {} packages are found",
        packages.len()
    );
    let problems: Vec<_> = packages
        .iter()
        .flat_map(|one| rules.problems(one))
        .collect();
    assert!(problems.is_empty(), "{problems:#?}");
    let unused = |name: &&String| packages.iter().all(|one| one["name"] != **name);
    let unused: Vec<_> = rules.exceptions.keys().filter(unused).collect();
    assert!(
        unused.is_empty(),
        "exceptions for crates that are not used: {unused:?}"
    );
}

#[test]
fn what_is_not_allowed_is_found() {
    let rules = rules();
    let crates_io = "registry+https://github.com/rust-lang/crates.io-index";
    let package = |name: &str, licence: Option<&str>, source: &str| {
        let (none, source) = ([0; 0], Value::from(source));
        serde_json::json!({
            "name": name, "license": licence, "source": source, "dependencies": none,
        })
    };
    for licence in [
        "GPL-3.0",
        "AGPL-3.0-only",
        "MIT AND GPL-2.0",
        "MPL-2.0",
        "nonsense",
        "",
    ] {
        let found = rules.problems(&package("some", Some(licence), crates_io));
        assert_eq!(
            found,
            [format!("the licence `{licence}` of `some` is not allowed")]
        );
    }
    assert_eq!(rules.problems(&package("some", None, crates_io)).len(), 1);
    for licence in [
        "MIT",
        "GPL-3.0 OR MIT",
        "MIT/Apache-2.0",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
    ] {
        let found = rules.problems(&package("some", Some(licence), crates_io));
        assert_eq!(found, [""; 0], "{licence}");
    }
    for source in [
        "git+https://example.com/some",
        "registry+https://example.com/index",
    ] {
        let found = rules.problems(&package("some", Some("MIT"), source));
        assert_eq!(
            found,
            [format!(
                "`some` comes from `{source}`, which is not allowed"
            )]
        );
    }
    assert_eq!(
        rules.problems(&package("openssl-sys", Some("MIT"), crates_io)),
        ["`openssl-sys` is banned"]
    );
    let mut own = package("own", Some("MIT"), crates_io);
    own["source"] = Value::Null;
    own["dependencies"] = serde_json::json!([{ "name": "any", "req": "*", "path": null }]);
    assert_eq!(rules.problems(&own), ["`own` takes any version of \"any\""]);
}
