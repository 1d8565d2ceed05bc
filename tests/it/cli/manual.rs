//! Help texts of the program: `--help`, `patchcord completions`, `patchcord man`.

use std::{
    collections::BTreeSet,
    env, fs,
    path::Path,
    process::{Command, Output},
};

use crate::support::program::Place;

/// Returns the output of the program with these arguments, and checks that it succeeds.
fn printed(place: &Place, arguments: &[&str]) -> String {
    text(&place.run(arguments, &[]))
}

fn text(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Returns the commands that `--help` lists.
fn commands(place: &Place) -> Vec<String> {
    let help = printed(place, &["--help"]);
    let listed = help.split("Commands:\n").nth(1).unwrap();
    let listed = listed.lines().take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.split_whitespace().next());
    let names: Vec<_> = names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect();
    assert!(names.len() >= 8, "{help}");
    names
}

/// Returns the flags that the `--help` of a command lists, without `--`.
fn flags(place: &Place, command: &str) -> BTreeSet<String> {
    let help = printed(place, &[command, "--help"]);
    let listed = help
        .lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with('-'));
    let flags = listed.filter_map(|line| line.split("--").nth(1));
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let name = |flag: &str| flag.split(|c| !is_name(c)).next().unwrap().to_owned();
    flags.map(name).collect()
}

#[test]
fn the_help_of_every_command_ends_with_examples() {
    let place = Place::new(&[]);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/help");
    let update = env::var_os("UPDATE_EXPECT").is_some();
    let mut names = commands(&place);
    names.push(String::new());
    let mut wrong = Vec::new();
    for name in &names {
        let arguments = [name.as_str(), "--help"];
        let help = printed(&place, &arguments[usize::from(name.is_empty())..]);
        let (_, examples) = help.split_once("\nExamples:\n").expect(name);
        let example = format!("  patchcord {name}");
        assert!(examples.contains(example.trim_end()), "{help}");
        assert!(!examples.contains("\nOptions:"), "{help}");
        let page = format!("patchcord-{name}");
        let file = folder
            .join(page.trim_end_matches('-'))
            .with_extension("txt");
        if update {
            fs::write(&file, &help).unwrap();
        }
        if fs::read_to_string(&file).unwrap_or_default() != help {
            wrong.push(format!("{}:\n{help}", file.display()));
        }
    }
    let accept = "`UPDATE_EXPECT=1 cargo test --test it manual` accepts it";
    assert!(wrong.is_empty(), "{accept}:\n{}", wrong.join("\n"));
    assert_eq!(fs::read_dir(folder).unwrap().count(), names.len());
}

#[test]
fn completions_know_every_command_and_every_flag() {
    let place = Place::new(&[]);
    let commands = commands(&place);
    let shells = [
        ("bash", "--"),
        ("zsh", "--"),
        ("fish", "-l "),
        ("elvish", "--"),
        ("powershell", "--"),
    ];
    let flags: BTreeSet<_> = commands.iter().flat_map(|c| flags(&place, c)).collect();
    assert!(
        flags.len() > 40 && flags.contains("max-payload"),
        "{flags:?}"
    );
    for (shell, before) in shells {
        let text = printed(&place, &["completions", shell]);
        for command in &commands {
            assert!(text.contains(command.as_str()), "{shell} lacks {command}");
        }
        for flag in &flags {
            let flag = format!("{before}{flag}");
            assert!(text.contains(&flag), "{shell} lacks `{flag}`");
        }
    }
    let wrong = place.run(&["completions", "tcsh"], &[]);
    assert_eq!(wrong.status.code(), Some(2));
}

/// Returns the completions of bash for the last of these words.
fn completed(place: &Place, words: &[&str]) -> Vec<String> {
    let (current, previous) = (words[words.len() - 1], words[words.len() - 2]);
    let script = format!(
        "source ./complete; COMP_WORDS=({}); COMP_CWORD={}; _patchcord patchcord '{current}' '{previous}'; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.join(" "),
        words.len() - 1
    );
    let mut bash = Command::new("bash");
    let bash = bash.args(["--norc", "-c", &script]);
    let printed = text(&bash.current_dir(place.path()).output().unwrap());
    printed.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_values() {
    let place = Place::new(&[]);
    place.write("complete", &printed(&place, &["completions", "bash"]));
    let mut commands = commands(&place);
    commands.push("help".to_owned());
    let offered = completed(&place, &["patchcord", "\"\""]);
    for command in &commands {
        assert!(offered.contains(command), "{command}: {offered:?}");
    }
    for (words, expected) in [
        (&["patchcord", "serve", "--max-pay"][..], "--max-payload"),
        (&["patchcord", "--max-pay"], "--max-payload"),
        (&["patchcord", "check", "--format", "j"], "json"),
        (&["patchcord", "completions", "fi"], "fish"),
        (&["patchcord", "new", "--preset", "whi"], "whiteboard"),
    ] {
        assert_eq!(completed(&place, words), [expected], "{words:?}");
    }
}

#[test]
fn the_manual_has_a_page_for_each_command_with_its_flags_and_examples() {
    let place = Place::new(&[]);
    let written = printed(&place, &["man", "share/man1"]);
    let folder = place.path().join("share/man1");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    for name in commands(&place) {
        let page = read(&format!("patchcord-{name}.1"));
        assert!(written.contains(&format!("patchcord-{name}.1 written")));
        assert!(page.contains(&format!(".TH patchcord-{name} 1")), "{page}");
        for flag in flags(&place, &name) {
            let flag = format!("\\-\\-{}", flag.replace('-', "\\-"));
            assert!(page.contains(&flag), "{name} lacks {flag}");
        }
        // `nf` turns off filling, so that each example keeps its line.
        let (_, examples) = page.split_once("\n.SH EXAMPLES\n.nf\n").expect(&name);
        assert!(examples.contains(&format!("  patchcord {name}")), "{page}");
    }
    assert!(read("patchcord-check.1").contains("\n.SH \"EXIT STATUS\"\n0 nothing is wrong"));
    assert!(read("patchcord-serve.1").contains("\\fBPATCHCORD_PORT\\fR"));
    assert_eq!(
        printed(&place, &["man"]).trim_end(),
        read("patchcord.1").trim_end()
    );
    drawn_without_warnings(&folder);
}

/// Checks that `man` shows every page without warnings, if it is installed.
fn drawn_without_warnings(folder: &Path) {
    for page in fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        let mut man = Command::new("man");
        let man = man
            .args(["--warnings=w", "-l"])
            .arg(&page)
            .env("MANWIDTH", "100");
        match man.output() {
            Ok(output) if output.stdout.starts_with(b"patchcord") => {
                assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{page:?}");
            }
            // No `man` is installed, or it is another system's.
            _ => return,
        }
    }
}
