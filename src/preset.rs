//! Built-in scripts: each shows one thing, and all of them run as they are.
//!
//! In: nothing. Out: the text of `scripts/*.rhai`, and the files that a new folder begins with.

use patchcord::{script::Memory, server::CLIENT_SCRIPT};

/// Built-in script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Preset {
    /// Name of the preset, which is that of its file without the extension.
    pub(super) name: &'static str,
    /// Text of the script.
    pub(super) script: &'static str,
    /// Tests of the script, for `patchcord test`.
    pub(super) test: &'static str,
}

macro_rules! presets {
    ($($name:literal),*) => {
        [$(Preset {
            name: $name,
            script: include_str!(concat!("../scripts/", $name, ".rhai")),
            test: include_str!(concat!("../scripts/", $name, "_test.rhai")),
        }),*]
    };
}

/// All presets. The first one is the best introduction.
pub(super) const PRESETS: [Preset; 7] = presets!(
    "chat",
    "echo",
    "private",
    "rooms",
    "auth",
    "whiteboard",
    "game"
);

const PAGE: &str = include_str!("preset/index.html");
const OPTIONS: &str = include_str!("preset/patchcord.toml");
const README: &str = include_str!("preset/README.md");

impl Preset {
    /// Returns the preset with a name.
    pub(super) fn named(name: &str) -> Option<Self> {
        PRESETS.into_iter().find(|preset| preset.name == name)
    }

    /// Returns a description in one sentence: the first sentence of the script's first comment.
    pub(super) fn about(&self) -> &'static str {
        let first = self.script.lines().next().unwrap_or_default();
        let text = first.trim_start_matches("//").trim();
        text.split_once(". ")
            .map_or(text, |(sentence, _)| sentence)
            .trim_end_matches('.')
    }

    /// Returns the script for a host, which serves it as `/` and under its own name.
    pub(super) fn scripts(&self) -> Memory {
        let own = format!("{}.rhai", self.name);
        Memory::from_iter([("main.rhai", self.script), (&own, self.script)])
    }

    /// Returns the options that the script needs besides those of every folder.
    fn options(&self) -> &'static str {
        match self.name {
            "auth" => "allow-env = [\"JWT_SECRET\"]                # the key of the tokens\n",
            _ => "",
        }
    }

    /// Returns the files of a new folder with their paths: script, test, page, client, options, and a README.
    pub(super) fn files(&self) -> Vec<(&'static str, String)> {
        let named = |text: &str| {
            text.replace("{name}", self.name)
                .replace("{about}", self.about())
        };
        let own = |text: &str| text.replace(&format!("{}.rhai", self.name), "main.rhai");
        let test = own(&self.test.replace(&format!("\"/{}\"", self.name), "\"/\""));
        vec![
            ("scripts/main.rhai", self.script.to_owned()),
            ("scripts/main_test.rhai", test),
            ("public/index.html", PAGE.to_owned()),
            ("public/client.js", CLIENT_SCRIPT.to_owned()),
            ("patchcord.toml", format!("{OPTIONS}{}", self.options())),
            ("README.md", named(README)),
        ]
    }
}
