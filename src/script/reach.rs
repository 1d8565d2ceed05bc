//! Code that a hook itself runs: its own, without the closures that it only registers, and that of the functions and
//! constants it uses.
//!
//! In: the [`Places`] of a version. Out: a [`Reach`]. If two versions have an equal one, a hook does the same in both,
//! whatever else has changed.
//!
//! A name is enough: code that mentions a function reaches it. So an edit may seem to change what a hook runs while it
//! does not, and never the other way round.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ops::Range,
    sync::{Arc, OnceLock},
};

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::{
    hook::Hook,
    places::{File, Places},
    tokens::{self, Shape, Spot, Token, hash, hash_all},
};

/// Code that a hook itself runs, as one sequence of tokens.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Reach {
    hash: u64,
    files: Vec<Arc<str>>,
    /// Each token with the index of its file.
    tokens: Vec<(Token, u16)>,
    parts: Vec<Part>,
    /// Indices of the tokens, sorted by place.
    sorted: Vec<u32>,
}

/// A function or a constant in the sequence.
#[derive(Debug)]
struct Part {
    /// What identifies it in another version, the certain key first.
    keys: [u64; 3],
    range: Range<usize>,
}

impl Reach {
    /// Follows the code of a function of the entry file, or of a closure, by its name.
    pub fn of(places: &Places, entry: &str) -> Self {
        let mut following = Following::new(places);
        following.enter(entry);
        following.run();
        following.result.finish(places)
    }

    fn finish(mut self, places: &Places) -> Self {
        self.hash = hash_all(self.tokens.iter().map(|(token, _)| token));
        self.files = places.files.iter().map(|file| file.name.clone()).collect();
        self.sorted = (0..self.tokens.len())
            .filter_map(|index| index.try_into().ok())
            .collect();
        let tokens = &self.tokens;
        self.sorted.sort_by_key(|index| place(tokens, *index));
        self
    }

    /// Returns a hash that only a change of this code changes.
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// Returns the number of tokens.
    pub const fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Returns `true` if there is no such function.
    pub const fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Returns the index of the token at a place, if it is in this code.
    pub fn place_at(&self, file: &str, line: usize, column: usize) -> Option<u32> {
        let file = self.files.iter().position(|name| &**name == file)?;
        let spot: Spot = (line.try_into().ok()?, column.try_into().ok()?);
        let wanted = Some((u16::try_from(file).ok()?, spot));
        let of = |index: &u32| place(&self.tokens, *index);
        let found = self.sorted.partition_point(|index| of(index) < wanted);
        let found = self.sorted.get(found)?;
        (of(found) == wanted).then_some(*found)
    }

    /// Returns file, line and column of a token.
    pub fn position_of(&self, index: u32) -> Option<(&Arc<str>, usize, usize)> {
        let (file, (line, column)) = place(&self.tokens, index)?;
        Some((
            self.files.get(usize::from(file))?,
            line.into(),
            column.into(),
        ))
    }

    /// Returns, for each token, the index of the same one in another version.
    pub fn map_to(&self, new: &Self) -> Vec<Option<u32>> {
        let mut map = vec![None; self.tokens.len()];
        for (old_part, new_part) in self.pairs(new) {
            let old_tokens = self.hashes_by_variable(&old_part.range);
            let new_tokens = new.hashes_by_variable(&new_part.range);
            for operation in capture_diff_slices(Algorithm::Myers, &old_tokens, &new_tokens) {
                let DiffOp::Equal {
                    old_index,
                    new_index,
                    len,
                } = operation
                else {
                    continue;
                };
                let from = old_part.range.start + old_index;
                let to = new_part.range.start + new_index;
                for (place, index) in map.iter_mut().skip(from).take(len).zip(to..) {
                    *place = index.try_into().ok();
                }
            }
        }
        map
    }

    fn hashes(&self, range: &Range<usize>) -> Vec<u64> {
        let tokens = self.tokens.get(range.clone()).unwrap_or_default();
        tokens.iter().map(|(token, _)| token.hash).collect()
    }

    /// Returns the hashes of tokens. Those of the value of a new variable count with the variable: where two statements have
    /// changed places, each keeps its own calls.
    fn hashes_by_variable(&self, range: &Range<usize>) -> Vec<u64> {
        let tokens = self.tokens.get(range.clone()).unwrap_or_default();
        let mut variable = None;
        let mut hashes = Vec::with_capacity(tokens.len());
        for (nth, (token, _)) in tokens.iter().enumerate() {
            match token.shape {
                Shape::Let => variable = tokens.get(nth + 1).map(|(name, _)| name.hash),
                Shape::Semicolon => variable = None,
                _ => {}
            }
            hashes.push(variable.map_or(token.hash, |variable| hash(&(token.hash, variable))));
        }
        hashes
    }

    /// Pairs functions and constants of both versions.
    fn pairs<'a>(&'a self, new: &'a Self) -> Vec<(&'a Part, &'a Part)> {
        let mut pairs = Vec::new();
        let mut old_left: Vec<_> = self.parts.iter().collect();
        let mut new_left: Vec<_> = new.parts.iter().collect();
        for pass in 0..3 {
            let key = |part: &Part| part.keys.get(pass).copied();
            let mut by_key = HashMap::new();
            for part in &new_left {
                by_key.entry(key(part)).or_insert(*part);
            }
            let mut taken = BTreeSet::new();
            old_left.retain(|old| match by_key.remove(&key(old)) {
                Some(new) => {
                    taken.insert(new.range.start);
                    pairs.push((*old, new));
                    false
                }
                None => true,
            });
            new_left.retain(|new| !taken.contains(&new.range.start));
        }
        pairs
    }
}

fn place(tokens: &[(Token, u16)], index: u32) -> Option<(u16, Spot)> {
    let (token, file) = tokens.get(usize::try_from(index).ok()?)?;
    Some((*file, token.spot))
}

/// A function or constant to follow.
struct Piece {
    file: usize,
    range: Range<usize>,
    keys: [u64; 2],
    /// Whether it sees the variables of the top level without `global::`.
    is_top_level: bool,
}

struct Following<'a> {
    places: &'a Places,
    /// Named functions of each file, by their names as tokens.
    functions: HashMap<(usize, u64), Vec<Piece>>,
    /// Ends of the closures that are only registered, by their beginnings.
    registered: HashMap<(usize, usize), usize>,
    todo: VecDeque<Piece>,
    seen: BTreeSet<(usize, usize)>,
    result: Reach,
}

impl<'a> Following<'a> {
    fn new(places: &'a Places) -> Self {
        let mut functions: HashMap<_, Vec<_>> = HashMap::new();
        for function in places.functions() {
            let name = tokens::name(&function.name);
            let piece = Piece {
                file: function.file_index,
                range: function.range.clone(),
                keys: [
                    hash(&(&*function.file, name, function.arity)),
                    hash(&(name, function.arity)),
                ],
                is_top_level: false,
            };
            let named = functions.entry((function.file_index, name)).or_default();
            named.push(piece);
        }
        let registered = places.rows().iter().filter(|row| row.later);
        Self {
            places,
            functions,
            registered: registered
                .map(|row| ((row.file_index, row.range.start), row.range.end))
                .collect(),
            todo: VecDeque::new(),
            seen: BTreeSet::new(),
            result: Reach::default(),
        }
    }

    /// Begins with a closure, or with all functions of the entry file that have the name.
    fn enter(&mut self, entry: &str) {
        let closure = self.places.row_of(entry);
        if let Some(row) = closure.and_then(|row| self.places.row(row)) {
            self.todo.push_back(Piece {
                file: row.file_index,
                range: row.range.clone(),
                keys: [hash("entry"); 2],
                is_top_level: row.function.is_none(),
            });
        } else if let Some(last) = self.places.files.len().checked_sub(1) {
            self.function(last, tokens::name(entry));
        }
    }

    fn run(&mut self) {
        while let Some(piece) = self.todo.pop_front() {
            let Some(file) = self.places.files.get(piece.file) else {
                continue;
            };
            if !self.seen.insert((piece.file, piece.range.start)) {
                continue;
            }
            let first = self.result.tokens.len();
            self.piece(&piece, file);
            let range = first..self.result.tokens.len();
            let [certain, likely] = piece.keys;
            let tokens = self.result.hashes(&range);
            self.result.parts.push(Part {
                keys: [certain, likely, hash(&tokens)],
                range,
            });
        }
    }

    fn piece(&mut self, piece: &Piece, file: &File) {
        let mut index = piece.range.start;
        while index < piece.range.end {
            let registered = self.registered.get(&(piece.file, index));
            if let Some(end) = registered.filter(|_| index != piece.range.start) {
                index = *end;
                continue;
            }
            if let (Some(token), Ok(number)) = (file.tokens.get(index), piece.file.try_into()) {
                self.result.tokens.push((*token, number));
                self.token(piece, file, index, *token);
            }
            index += 1;
        }
    }

    /// Follows what a token names.
    fn token(&mut self, piece: &Piece, file: &File, index: usize, token: Token) {
        let before = |count| index.checked_sub(count).and_then(|i| file.tokens.get(i));
        let shape = |token: Option<&Token>| token.map(|token| token.shape);
        let (last, next) = (shape(before(1)), shape(file.tokens.get(index + 1)));
        if token.shape != Shape::Name {
            // `Fn("name")`
            if last == Some(Shape::Open) && before(2).map(|t| t.hash) == Some(tokens::name("Fn")) {
                self.named_by_text(piece.file, token.hash);
            }
            return;
        }
        match (last, next) {
            (Some(Shape::Path), _) | (_, Some(Shape::Colon)) => {}
            (_, Some(Shape::Path)) => {
                if let Some(member) = file.tokens.get(index + 2) {
                    self.member(piece.file, file, token.hash, member.hash);
                }
            }
            (Some(Shape::Dot), Some(Shape::Open | Shape::Unit)) => {
                self.function(piece.file, token.hash);
            }
            (Some(Shape::Dot), _) => {}
            _ => {
                self.function(piece.file, token.hash);
                if piece.is_top_level {
                    self.global(piece.file, token.hash);
                }
            }
        }
    }

    /// Follows `namespace::member`.
    fn member(&mut self, index: usize, file: &File, namespace: u64, member: u64) {
        if namespace == tokens::name("global") {
            self.global(index, member);
        }
        for (alias, path) in &file.imports {
            let mut files = self.places.files.iter();
            let imported = files.position(|file| *file.name == **path);
            if let Some(imported) = imported.filter(|_| *alias == namespace) {
                self.function(imported, member);
                self.global(imported, member);
            }
        }
    }

    fn function(&mut self, file: usize, name: u64) {
        // Each is followed once.
        let pieces = self.functions.remove(&(file, name));
        self.todo.extend(pieces.unwrap_or_default());
    }

    fn named_by_text(&mut self, file: usize, text: u64) {
        let functions = self.places.functions().iter();
        let named: BTreeMap<_, _> = functions
            .filter(|f| f.file_index == file && tokens::text(&f.name) == text)
            .map(|f| (tokens::name(&f.name), ()))
            .collect();
        for name in named.into_keys() {
            self.function(file, name);
        }
    }

    fn global(&mut self, index: usize, name: u64) {
        let Some(file) = self.places.files.get(index) else {
            return;
        };
        for (_, range) in file.globals.iter().filter(|(global, _)| *global == name) {
            self.todo.push_back(Piece {
                file: index,
                range: range.clone(),
                keys: [
                    hash(&(&*file.name, "global", name)),
                    hash(&("global", name)),
                ],
                is_top_level: true,
            });
        }
    }
}

/// Code that each hook of a version itself runs, followed when it is first asked for.
#[derive(Debug, Default)]
pub(super) struct Reaches([OnceLock<Reach>; Hook::ALL.len()]);

impl Reaches {
    /// Returns the code of a hook. `entry` is the name of its function or closure.
    pub(super) fn get(&self, hook: Hook, places: &Places, entry: &str) -> &Reach {
        let [handshake, connection, disconnect, load, reload] = &self.0;
        let reach = match hook {
            Hook::Handshake => handshake,
            Hook::Connection => connection,
            Hook::Disconnect => disconnect,
            Hook::Load => load,
            Hook::Reload => reload,
        };
        reach.get_or_init(|| Reach::of(places, entry))
    }
}

#[cfg(test)]
mod tests;
