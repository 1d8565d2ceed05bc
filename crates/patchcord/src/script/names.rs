//! Names of script files: which namespace a file serves, and which names serve none.

/// Characters, besides letters and digits, that a URL path may contain without escaping. A comma is not among them,
/// because it ends the name of a namespace in the protocol; nor are parentheses, because they occur in the names of
/// copies.
const IN_PATHS: &str = "/-._~!$&'*+:;=@";

/// Last words of the names of copies: `main.orig.rhai`, `main-copy.rhai`, `main_backup_2.rhai`.
const COPY_WORDS: [&str; 7] = ["copy", "backup", "bak", "old", "orig", "temp", "tmp"];

/// Words before a number in the names that git creates for the sides of a conflict: `main_LOCAL_4711.rhai`.
const CONFLICT_WORDS: [&str; 4] = ["BACKUP", "BASE", "LOCAL", "REMOTE"];

/// Returns the namespace that a file serves: `/` for `main.rhai`, `/game/lobby` for `game/lobby.rhai`. Returns `None`
/// for files in a folder `lib`, and for names with a part that begins with `_`, because these are for `import`; for
/// tests and definitions, because they do not concern a host; and for copies.
pub(super) fn namespace(name: &str) -> Option<String> {
    namespace_by_place(name).filter(|path| problem(path).is_none())
}

/// Returns the reason why a file does not serve a namespace because of its name, although scripts at its location do.
pub(super) fn not_served(name: &str) -> Option<String> {
    problem(&namespace_by_place(name)?)
}

fn namespace_by_place(name: &str) -> Option<String> {
    let path = name.strip_suffix(".rhai")?;
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
    let hidden = folders.split('/').any(|folder| folder == "lib")
        || path.split('/').any(|part| part.starts_with('_'));
    let other = file.ends_with("_test") || file.ends_with(".d");
    match path {
        _ if hidden || other => None,
        "main" => Some("/".to_owned()),
        path => Some(format!("/{path}")),
    }
}

fn problem(path: &str) -> Option<String> {
    if path.split('/').any(is_copy) {
        return Some("its name says that it is a copy; rename it to serve it".to_owned());
    }
    let has_place = |c: &char| c.is_alphanumeric() || IN_PATHS.contains(*c);
    let mut in_braces = false;
    let other = path.chars().find(|c| {
        in_braces = match c {
            '{' => true,
            '}' => false,
            _ => in_braces,
        };
        !matches!(c, '{' | '}') && !in_braces && !has_place(c)
    })?;
    Some(format!(
        "the name of a namespace has no {}; rename it to serve it",
        match other {
            ' ' => "space".to_owned(),
            other => format!("`{other}`"),
        }
    ))
}

/// Returns `true` if a part of a name says that it is a copy or a backup. A word for a copy does not count if it stands
/// alone: `copy.rhai` serves `/copy`.
fn is_copy(part: &str) -> bool {
    if part.ends_with('~') || part.contains(".sync-conflict-") {
        return true;
    }
    let mut words: Vec<_> = part.split(['.', '-', '_', ' ', '(', ')']).collect();
    words.retain(|word| !word.is_empty());
    let is_number = |word: &&str| word.chars().all(|c| c.is_ascii_digit());
    let has_number = words.pop_if(|word| is_number(&&**word)).is_some();
    match &words[..] {
        [_, .., last] => {
            COPY_WORDS.contains(&&*last.to_lowercase())
                || has_number && CONFLICT_WORDS.contains(last)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_that_editors_file_managers_and_git_make_are_not_served() {
        for name in [
            "main copy.rhai",
            "main copy 2.rhai",
            "main (1).rhai",
            "main (copy).rhai",
            "main (another copy).rhai",
            "main - Copy.rhai",
            "main - Copy (2).rhai",
            "Copy of main.rhai",
            "main - Kopie.rhai",
            "main.orig.rhai",
            "main.bak.rhai",
            "main.old.rhai",
            "main.tmp.rhai",
            "main~.rhai",
            "#main.rhai",
            "main_copy.rhai",
            "main-backup.rhai",
            "x_BACKUP_1.rhai",
            "x_BASE_4711.rhai",
            "x_LOCAL_4711.rhai",
            "x_REMOTE_4711.rhai",
            "main.sync-conflict-20260101-101010-ABCDEFG.rhai",
            "main (Ada's conflicted copy 2026-01-01).rhai",
            "game copy/lobby.rhai",
            "game.bak/lobby.rhai",
            "a,b.rhai",
            "a?.rhai",
            "a\u{7f}b.rhai",
        ] {
            assert!(not_served(name).is_some(), "{name}");
            assert_eq!(namespace(name), None, "{name}");
        }
    }

    #[test]
    fn other_names_are_free() {
        for (name, path) in [
            ("main.rhai", "/"),
            ("copy.rhai", "/copy"),
            ("old/backup.rhai", "/old/backup"),
            ("room/{id}.rhai", "/room/{id}"),
            ("files/{*path}.rhai", "/files/{*path}"),
            ("dynamic-{n}.rhai", "/dynamic-{n}"),
            ("v1.2.rhai", "/v1.2"),
            ("game-remote.rhai", "/game-remote"),
            ("player_1.rhai", "/player_1"),
            ("2048.rhai", "/2048"),
            ("müsli.rhai", "/müsli"),
            ("@home+away.rhai", "/@home+away"),
            ("photocopy.rhai", "/photocopy"),
        ] {
            assert_eq!(not_served(name), None, "{name}");
            assert_eq!(namespace(name).as_deref(), Some(path), "{name}");
        }
        for name in [
            "lib/x copy.rhai",
            "_x (1).rhai",
            "main_test.rhai",
            "notes.txt",
        ] {
            assert_eq!((not_served(name), namespace(name)), (None, None), "{name}");
        }
    }
}
