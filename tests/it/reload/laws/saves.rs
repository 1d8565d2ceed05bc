//! Saves that change nothing, and saves that change one literal.

use rand::{RngExt, rngs::StdRng};

use super::{
    generator::{FIRST_TAG, Program},
    numbers::{has_number, replace_numbers},
    twins::Twins,
};

/// Number by which an edited tag differs from the one before.
pub(crate) const EDIT: i64 = 100_000;

/// Saves something that is no change of the code; returns a description.
pub(crate) fn change_nothing(
    program: &mut Program,
    twins: &mut Twins,
    random: &mut StdRng,
) -> &'static str {
    let file = match program.files.len() {
        3 if random.random_bool(0.3) => "lib/x.rhai",
        _ => "main.rhai",
    };
    let text = program.files[file].clone();
    let at = random.random_range(0..text.lines().count());
    let (what, edited) = match random.random_range(0..9) {
        0 => ("comment above a line", with_line(&text, at, "// a comment")),
        1 => ("blank line", with_line(&text, at, "")),
        2 => (
            "doc comment in front",
            with_line(&text, 0, "//! about this file"),
        ),
        3 => (
            "indentation",
            text.lines().map(|line| format!("  {line}  \n")).collect(),
        ),
        4 => (
            "function that nobody calls",
            with_line(&text, text.lines().count(), &unused(random)),
        ),
        5 => {
            twins.edited.edit(
                "other.rhai",
                &format!(
                    "// {}\n{}",
                    random.random::<u64>(),
                    program.files["other.rhai"]
                ),
            );
            return "another file";
        }
        6 => {
            let tag = program.tags[random.random_range(0..program.tags.len())];
            save(program, twins, |text| {
                replace_numbers(text, |n| (n == tag).then_some(99_999))
            });
            ("literal, and its undo", text)
        }
        7 => {
            let listener = "socket.on(\"new listener\", || { let fresh = 0; fresh });";
            let entry = program.entry_line();
            twins
                .edited
                .edit("main.rhai", &with_line(program.main(), entry, listener));
            twins.edited.edit("main.rhai", program.main());
            return "listener, and its undo";
        }
        _ => (
            "comment at the end of a line",
            text.lines()
                .enumerate()
                .map(|(nth, line)| {
                    let end = if nth == at { " // a comment" } else { "" };
                    format!("{line}{end}\n")
                })
                .collect(),
        ),
    };
    program.files.insert(file, edited);
    save(program, twins, str::to_owned);
    what
}

/// Changes one tag, and perhaps the layout of the file; returns a description.
pub(crate) fn change_a_tag(
    program: &mut Program,
    twins: &mut Twins,
    random: &mut StdRng,
) -> String {
    let nth = random.random_range(0..program.tags.len());
    let tag = program.tags[nth];
    program.tags[nth] = tag + EDIT;
    let first = FIRST_TAG + (tag - FIRST_TAG) % EDIT;
    twins.tags.insert(first, tag + EDIT);
    for text in program.files.values_mut() {
        *text = replace_numbers(text, |n| (n == tag).then_some(tag + EDIT));
    }
    let what = disturb(program, tag + EDIT, random);
    save(program, twins, str::to_owned);
    format!("{tag} edited, {what}")
}

/// In two of three cases, changes something beside the tag.
fn disturb(program: &mut Program, tag: i64, random: &mut StdRng) -> &'static str {
    let file = program
        .files
        .iter()
        .find(|(_, text)| has_number(text, tag))
        .map(|(name, _)| *name);
    let Some(file) = file else {
        return "which is nowhere";
    };
    let text = program.files[file].clone();
    let at = text.lines().position(|line| has_number(line, tag)).unwrap();
    let (what, edited) = match random.random_range(0..9) {
        0 => (
            "indented",
            text.lines().map(|line| format!(" {line}\n")).collect(),
        ),
        1 => ("comment above", with_line(&text, at, "// edited")),
        2 => ("statement above", with_line(&text, at, "let padding = 7;")),
        3 => {
            let text = program.main().to_owned();
            let name = random.random::<u32>();
            let listener = format!("socket.on(\"extra{name}\", || 0);");
            let edited = with_line(&text, program.entry_line(), &listener);
            program.files.insert("main.rhai", edited);
            return "a listener first of all";
        }
        4 | 5 => return swap(program, random),
        _ => return "alone",
    };
    // At file level, the line above may only be a constant.
    if what == "statement above"
        && text
            .lines()
            .nth(at)
            .unwrap()
            .trim_start()
            .starts_with("fn ")
    {
        return "alone";
    }
    program.files.insert(file, edited);
    what
}

/// Swaps two statements that register listeners.
fn swap(program: &mut Program, random: &mut StdRng) -> &'static str {
    let pairs = program.lone_pairs();
    if pairs.is_empty() {
        return "alone";
    }
    let [one, two] = pairs[random.random_range(0..pairs.len())].clone();
    let lines: Vec<_> = program.main().lines().map(str::to_owned).collect();
    let mut swapped = lines[..one.start].to_vec();
    swapped.extend_from_slice(&lines[two.clone()]);
    swapped.extend_from_slice(&lines[one.end..two.start]);
    swapped.extend_from_slice(&lines[one]);
    swapped.extend_from_slice(&lines[two.end..]);
    program.files.insert("main.rhai", swapped.join("\n") + "\n");
    "listeners swapped"
}

fn save(program: &Program, twins: &mut Twins, change: impl Fn(&str) -> String) {
    let texts: Vec<_> = program
        .texts()
        .map(|(name, text)| (name, change(text)))
        .collect();
    twins
        .edited
        .edit_all(texts.iter().map(|(name, text)| (*name, text.as_str())));
}

fn unused(random: &mut StdRng) -> String {
    format!("fn unused{}(a) {{ a + 1 }}", random.random::<u32>())
}

/// Returns a text with one more line.
pub(crate) fn with_line(text: &str, at: usize, line: &str) -> String {
    let mut lines: Vec<_> = text.lines().collect();
    lines.insert(at, line);
    lines.join("\n") + "\n"
}
