//! Differences between the code of two versions, each with its name and location, for the report of an edit.
//!
//! In: two versions. Out: a [`CodeChange`] for each listener, timer, function, captured variable and constant whose
//! code differs. Code is compared by its tokens, so comments and layout make no difference. Nor does the location of a
//! closure: a closure that moved with the same text is not a change.
//!
//! A part of a version is a named function, a closure that is called later or stored in a variable or a key, or the
//! rest of a file. Each part is compared without the parts inside it, so an edit of a listener is not an edit of the
//! enclosing function.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use serde::Serialize;

use super::{
    Version,
    align::{Alignment, align},
    places::{File, Places, Row},
    tokens::{self, Brackets, Shape, Spot},
};

/// Kind of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChangeKind {
    /// The code is different.
    Changed,
    /// The code has another name, and may also be different.
    Renamed,
    /// The code is new.
    Added,
    /// The code has been removed.
    Removed,
}

/// Difference between the code of two versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CodeChange {
    /// Kind of the difference.
    pub kind: ChangeKind,
    /// Name of the code: `"chat message"` for a listener, `set_interval` for a timer, `emit "ask"` for an ack callback,
    /// `fn say` for a function, `let limit` for a captured variable, `const MAX` for a constant.
    pub name: String,
    /// Previous name, if it was renamed.
    pub before: Option<String>,
    /// File; the file of the older version if the code has been removed.
    pub file: Arc<str>,
    /// Line; the line in the older version if the code has been removed.
    pub line: usize,
    /// Previous file and line, if the code was changed or renamed and is now in another file or function.
    pub moved_from: Option<(Arc<str>, usize)>,
}

/// Returns the differences between two versions, ordered by file and line. In each file, removed code comes last.
pub(crate) fn changes(old: &Version, new: &Version) -> Vec<CodeChange> {
    let alignment = align(old.places(), new.places());
    let (old, new) = (Side::new(old), Side::new(new));
    let mut comparing = Comparing {
        old,
        new,
        alignment,
        found: Vec::new(),
    };
    comparing.rows();
    comparing.functions();
    comparing.files();
    let mut found = comparing.found;
    let is_removed = |change: &CodeChange| change.kind == ChangeKind::Removed;
    found.sort_by(|a, b| {
        (&a.file, is_removed(a), a.line, &a.name).cmp(&(&b.file, is_removed(b), b.line, &b.name))
    });
    found
}

/// Returns the event names that appear as literals in listener registrations of a version.
pub(crate) fn events(version: &Version) -> BTreeSet<String> {
    let listeners = version
        .places()
        .rows()
        .iter()
        .filter(|row| row.is_listener());
    let events = listeners.filter_map(|row| row.event.as_ref());
    events.map(ToString::to_string).collect()
}

/// Returns the names of captured variables that a function no longer has, each with the new names of the same function.
/// Closures count as part of the enclosing function.
pub(crate) fn renamed_variables(
    old: &Version,
    new: &Version,
) -> BTreeMap<String, BTreeSet<String>> {
    let alignment = align(old.places(), new.places());
    let before = captured(old.places(), |f| alignment.function_moved(f));
    let after = captured(new.places(), Some);
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (function, names) in &before {
        let Some(now) = after.get(function) else {
            continue;
        };
        for gone in names.difference(now) {
            let fresh = now.difference(names).cloned();
            found.entry(gone.clone()).or_default().extend(fresh);
        }
    }
    found
}

/// Returns the names that closures capture, by enclosing function; `None` means the top level.
fn captured(
    places: &Places,
    function: impl Fn(usize) -> Option<usize>,
) -> BTreeMap<Option<usize>, BTreeSet<String>> {
    let mut found: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for row in places.rows() {
        let of = match row.function {
            None => None,
            Some(index) => match function(index) {
                Some(index) => Some(index),
                None => continue,
            },
        };
        let names = row.captured.iter().map(ToString::to_string);
        found.entry(of).or_default().extend(names);
    }
    found
}

/// One of the two versions.
struct Side<'a> {
    version: &'a Version,
    places: &'a Places,
    brackets: Vec<Brackets<'a>>,
    /// Rows of each file, in the order of their code.
    rows: Vec<Range<usize>>,
    /// Tokens of each row, including the statement that registers it; `None` if the row is not a separate part.
    whole: Vec<Option<Range<usize>>>,
}

/// Code of a part, without the parts inside it.
#[derive(Default)]
struct Part {
    /// Hashes of the tokens. An inner part is replaced with its number.
    code: Vec<u64>,
    variables: Variables,
}

/// Variables by name: the hashes of the tokens that declare the variable, and the line of its first declaration.
type Variables = BTreeMap<String, (Vec<u64>, usize)>;

/// Ranges that are left out of a part, each with the number that replaces it.
type Cuts = Vec<(Range<usize>, Option<u64>)>;

impl<'a> Side<'a> {
    fn new(version: &'a Version) -> Self {
        let places = version.places();
        let mut rows = vec![0..0; places.files.len()];
        for (index, row) in places.rows().iter().enumerate() {
            if let Some(rows) = rows.get_mut(row.file_index) {
                let first = if rows.start == rows.end {
                    index
                } else {
                    rows.start
                };
                *rows = first..index + 1;
            }
        }
        let files = places.files.iter();
        let brackets: Vec<_> = files.map(|file| Brackets::new(&file.tokens)).collect();
        let whole = places.rows().iter().map(|row| {
            let brackets = brackets.get(row.file_index)?;
            whole(places, row, brackets)
        });
        Self {
            whole: whole.collect(),
            version,
            places,
            brackets,
            rows,
        }
    }

    /// Returns a row, if it is a separate part, with the tokens of its statement.
    fn row(&self, index: usize) -> Option<(&'a Row, Range<usize>)> {
        Some((self.places.row(index)?, self.whole.get(index)?.clone()?))
    }

    /// Returns the enclosing row that is a separate part, if there is one.
    fn around(&self, row: &Row) -> Option<usize> {
        let mut parent = row.parent;
        while let Some(index) = parent {
            if self.row(index).is_some() {
                break;
            }
            parent = self.places.row(index).and_then(|row| row.parent);
        }
        parent
    }

    /// Returns the rows of a file that start within a range.
    fn rows_within(&self, file: usize, range: &Range<usize>) -> Range<usize> {
        let all = self.rows.get(file).cloned().unwrap_or_default();
        let rows = self.places.rows().get(all.clone()).unwrap_or_default();
        let at = |token: usize| all.start + rows.partition_point(|row| row.range.start < token);
        at(range.start)..at(range.end)
    }

    /// Returns the code of a function or a closure. `number` returns the number of an inner part.
    fn part(
        &self,
        file: usize,
        range: Range<usize>,
        number: impl Fn(usize) -> Option<u64>,
    ) -> Part {
        let mut captured = BTreeSet::new();
        let mut cuts = Cuts::new();
        for index in self.rows_within(file, &range) {
            let Some(row) = self.places.row(index).filter(|row| row.range != range) else {
                continue;
            };
            captured.extend(row.captured.iter().map(|name| name.as_str()));
            if let Some((_, whole)) = self.row(index) {
                cuts.push((whole, number(index)));
            }
        }
        self.without(file, range, cuts, &captured)
    }

    /// Returns the statement that registers a closure, without the closure.
    fn registration(&self, row: &Row, whole: Range<usize>) -> Vec<u64> {
        let rows = self.rows_within(row.file_index, &whole);
        let rows = rows.filter_map(|index| Some((self.row(index)?.0.range.clone(), None)));
        self.without(
            row.file_index,
            whole.clone(),
            rows.collect(),
            &BTreeSet::new(),
        )
        .code
    }

    fn without(
        &self,
        index: usize,
        range: Range<usize>,
        mut cuts: Cuts,
        captured: &BTreeSet<&str>,
    ) -> Part {
        let mut part = Part::default();
        let Some(file) = self.places.files.get(index) else {
            return part;
        };
        cuts.sort_by_key(|(cut, _)| (cut.start, std::cmp::Reverse(cut.end)));
        let mut declared = BTreeMap::new();
        for name in captured {
            declared.extend(
                self.declarations(index, name)
                    .map(|range| (range.start, (*name, range.end))),
            );
        }
        let mut cuts = cuts.into_iter().peekable();
        let mut variable: Option<(&str, usize)> = None;
        let mut at = range.start;
        while let Some(token) = file.tokens.get(at).filter(|_| at < range.end) {
            while cuts.next_if(|(cut, _)| cut.start < at).is_some() {}
            variable = variable.filter(|(_, end)| at < *end);
            if let Some((cut, number)) = cuts.next_if(|(cut, _)| cut.start == at) {
                part.code.extend(number);
                at = cut.end.max(at + 1);
                continue;
            }
            variable = variable.or_else(|| declared.get(&at).copied());
            match variable {
                Some((name, _)) => {
                    let line = token.spot.0.into();
                    let variable = part.variables.entry(name.to_owned());
                    variable
                        .or_insert_with(|| (Vec::new(), line))
                        .0
                        .push(token.hash);
                }
                None => part.code.push(token.hash),
            }
            at += 1;
        }
        part
    }

    /// Returns the declarations of a name in a file, each from `let` or `const` to its end.
    fn declarations(&self, file: usize, name: &str) -> impl Iterator<Item = Range<usize>> {
        let name = tokens::name(name);
        let (brackets, file) = (self.brackets.get(file), self.places.files.get(file));
        let file = file.zip(brackets).into_iter();
        file.flat_map(move |(file, brackets)| {
            let all = file
                .declared
                .iter()
                .filter(move |declared| declared.name == name);
            all.filter_map(move |declared| {
                let first = declared.at.checked_sub(1)?;
                let word = file.tokens.get(first)?.hash;
                let is_statement = word == keyword("let") || word == keyword("const");
                let end = brackets.end(declared.at, &[Shape::Semicolon]);
                is_statement.then(|| first..past_semicolon(file, end))
            })
        })
    }

    /// Returns the top level of a file. Its variables are its constants.
    fn top_level(&self, index: usize, number: impl Fn(usize) -> Option<u64>) -> Part {
        let Some(file) = self.places.files.get(index) else {
            return Part::default();
        };
        let mut cuts = Cuts::new();
        let functions = self.places.functions().iter();
        for function in functions.filter(|function| function.file_index == index) {
            let before = function.range.start.checked_sub(1);
            let before = before.and_then(|before| file.tokens.get(before));
            let is_private = before.is_some_and(|token| token.hash == keyword("private"));
            cuts.push((
                function.range.start - usize::from(is_private)..function.range.end,
                None,
            ));
        }
        for row in self.rows_within(index, &(0..file.tokens.len())) {
            if let Some((Row { function: None, .. }, whole)) = self.row(row) {
                cuts.push((whole, number(row)));
            }
        }
        let mut constants = Variables::new();
        for (_, range) in &file.globals {
            let statement = range.start.saturating_sub(1)..past_semicolon(file, range.end);
            let spot = file
                .tokens
                .get(range.start)
                .map(|token| token.spot)
                .unwrap_or_default();
            let constant = constants.entry(self.word_at(&file.name, spot));
            let (hashes, _) = constant.or_insert_with(|| (Vec::new(), spot.0.into()));
            hashes.push(file.tokens.hash(statement.clone()));
            cuts.push((statement, None));
        }
        let mut part = self.without(index, 0..file.tokens.len(), cuts, &BTreeSet::new());
        part.variables = constants;
        part
    }

    /// Returns the name at a position in the text.
    fn word_at(&self, file: &str, (line, column): Spot) -> String {
        let text = self.version.source(file).unwrap_or_default();
        let line = usize::from(line)
            .checked_sub(1)
            .and_then(|line| text.lines().nth(line));
        let from = usize::from(column).saturating_sub(1);
        let rest = line.unwrap_or_default().chars().skip(from);
        rest.take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    }
}

/// Returns the tokens of a closure, including the statement that registers it, if the closure is a separate part.
fn whole(places: &Places, row: &Row, brackets: &Brackets<'_>) -> Option<Range<usize>> {
    if row.word.starts_with("key ") {
        return Some(row.range.clone());
    }
    if !row.later && !row.word.starts_with("let ") {
        return None;
    }
    let file = places.files.get(row.file_index)?;
    let mut whole = brackets.statement(&row.range);
    let parent = row.parent.and_then(|parent| places.row(parent));
    let within = parent.map_or(0..file.tokens.len(), |parent| {
        parent.range.start + 1..parent.range.end
    });
    whole.start = whole.start.max(within.start);
    whole.end = past_semicolon(file, whole.end).min(within.end);
    Some(whole)
}

/// Returns the hash of a keyword's token.
fn keyword(word: &str) -> u64 {
    tokens::hash(&('x', word))
}

fn past_semicolon(file: &File, end: usize) -> usize {
    end + usize::from(file.tokens.shape(end) == Some(Shape::Semicolon))
}

/// Comparison of two versions.
struct Comparing<'a> {
    old: Side<'a>,
    new: Side<'a>,
    alignment: Alignment,
    found: Vec<CodeChange>,
}

impl Comparing<'_> {
    /// Returns `true` if a closure and its counterpart are in the same function and closure.
    fn stays(&self, old: usize, new: usize) -> bool {
        let (Some(from), Some(to)) = (self.old.places.row(old), self.new.places.row(new)) else {
            return false;
        };
        match (self.old.around(from), self.new.around(to)) {
            (Some(from), Some(to)) => self.alignment.new_row(from) == Some(to),
            (None, None) => match (from.function, to.function) {
                (Some(from), Some(to)) => self.alignment.function_moved(from) == Some(to),
                (None, None) => from.file == to.file,
                _ => false,
            },
            _ => false,
        }
    }

    /// Returns the number that replaces a row of the old version; `None` if the row is not in the same place in the new
    /// version.
    fn old_number(&self, old: usize) -> Option<u64> {
        let new = self.alignment.new_row(old)?;
        self.stays(old, new).then_some(new as u64)
    }

    fn new_number(&self, new: usize) -> Option<u64> {
        let old = self.alignment.old_row(new)?;
        self.stays(old, new).then_some(new as u64)
    }

    /// Compares closures.
    fn rows(&mut self) {
        for index in 0..self.new.places.rows().len() {
            let Some((row, whole)) = self.new.row(index) else {
                continue;
            };
            let old = self.alignment.old_row(index);
            let old = old.and_then(|old| Some((old, self.old.row(old)?)));
            let Some((old, (from, old_whole))) = old else {
                self.found.push(change(
                    ChangeKind::Added,
                    row.title(),
                    &row.file,
                    row.position.0,
                ));
                continue;
            };
            let before = self.old.part(from.file_index, from.range.clone(), |row| {
                self.old_number(row)
            });
            let now = self.new.part(row.file_index, row.range.clone(), |row| {
                self.new_number(row)
            });
            let is_same = before.code == now.code
                && self.old.registration(from, old_whole) == self.new.registration(row, whole);
            let kind = match from.title() == row.title() {
                true if is_same => None,
                true => Some(ChangeKind::Changed),
                false => Some(ChangeKind::Renamed),
            };
            let moved = !self.stays(old, index);
            self.found.extend(kind.map(|kind| CodeChange {
                before: (kind == ChangeKind::Renamed).then(|| from.title()),
                moved_from: moved.then(|| (from.file.clone(), from.position.0)),
                ..change(kind, row.title(), &row.file, row.position.0)
            }));
            self.variables("let", &row.file, before.variables, now.variables);
        }
        for index in 0..self.old.places.rows().len() {
            let new = self.alignment.new_row(index);
            if let Some((row, _)) = self.old.row(index)
                && new.and_then(|new| self.new.row(new)).is_none()
            {
                self.found.push(change(
                    ChangeKind::Removed,
                    row.title(),
                    &row.file,
                    row.position.0,
                ));
            }
        }
    }

    /// Compares named functions.
    fn functions(&mut self) {
        let mut kept = BTreeSet::new();
        for (index, from) in self.old.places.functions().iter().enumerate() {
            let name = format!("fn {}", from.name);
            let to = self.alignment.function_moved(index);
            let Some((to, function)) =
                to.and_then(|to| Some((to, self.new.places.functions().get(to)?)))
            else {
                self.found.push(change(
                    ChangeKind::Removed,
                    name,
                    &from.file,
                    from.position.0,
                ));
                continue;
            };
            kept.insert(to);
            // Skips `fn` and the name.
            let (old, new) = (
                from.range.start + 2..from.range.end,
                function.range.start + 2..function.range.end,
            );
            let before = self
                .old
                .part(from.file_index, old, |row| self.old_number(row));
            let now = self
                .new
                .part(function.file_index, new, |row| self.new_number(row));
            let new_name = format!("fn {}", function.name);
            let kind = match name == new_name {
                true if before.code == now.code => None,
                true => Some(ChangeKind::Changed),
                false => Some(ChangeKind::Renamed),
            };
            let is_moved = from.file != function.file;
            self.found.extend(kind.map(|kind| CodeChange {
                before: (kind == ChangeKind::Renamed).then_some(name),
                moved_from: is_moved.then(|| (from.file.clone(), from.position.0)),
                ..change(kind, new_name, &function.file, function.position.0)
            }));
            self.variables("let", &function.file, before.variables, now.variables);
        }
        for (index, function) in self.new.places.functions().iter().enumerate() {
            if !kept.contains(&index) {
                let name = format!("fn {}", function.name);
                self.found.push(change(
                    ChangeKind::Added,
                    name,
                    &function.file,
                    function.position.0,
                ));
            }
        }
    }

    /// Compares the top levels of files that both versions have.
    fn files(&mut self) {
        for (from, file) in self.old.places.files.iter().enumerate() {
            let mut files = self.new.places.files.iter();
            let Some(to) = files.position(|other| other.name == file.name) else {
                continue;
            };
            let before = self.old.top_level(from, |row| self.old_number(row));
            let now = self.new.top_level(to, |row| self.new_number(row));
            if before.code != now.code {
                let name = "top level".to_owned();
                self.found
                    .push(change(ChangeKind::Changed, name, &file.name, 1));
            }
            self.variables("const", &file.name, before.variables, now.variables);
        }
    }

    fn variables(&mut self, word: &str, file: &Arc<str>, old: Variables, mut new: Variables) {
        for (name, (code, line)) in old {
            let (kind, line) = match new.remove(&name) {
                Some((now, _)) if now == code => continue,
                Some((_, line)) => (ChangeKind::Changed, line),
                None => (ChangeKind::Removed, line),
            };
            self.found
                .push(change(kind, format!("{word} {name}"), file, line));
        }
        for (name, (_, line)) in new {
            self.found.push(change(
                ChangeKind::Added,
                format!("{word} {name}"),
                file,
                line,
            ));
        }
    }
}

fn change(kind: ChangeKind, name: String, file: &Arc<str>, line: usize) -> CodeChange {
    CodeChange {
        kind,
        name,
        before: None,
        file: file.clone(),
        line,
        moved_from: None,
    }
}
