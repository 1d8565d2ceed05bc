//! Code that a hook itself runs: its own code, without the closures that it only registers, and the code of the
//! functions and constants that it uses.
//!
//! In: the [`Places`] of a version. Out: a [`Reach`]. If two versions have equal reaches, a hook does the same in both,
//! whatever else has changed.
//!
//! Code reaches a function if it mentions the function's name. So an edit may seem to change what a hook runs although
//! it does not, but a real change is never missed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ops::Range,
    sync::{Arc, OnceLock},
};

use super::{
    hook::Hook,
    places::{File, Places},
    tokens::{self, Shape, Spot, Token, hash, hash_all},
};

mod mapping;
pub(super) mod runs;

/// Code that a hook itself runs, as one sequence of tokens.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Reach {
    hash: u64,
    files: Vec<Arc<str>>,
    /// Each token with the index of its file.
    tokens: Vec<(Token, u16)>,
    parts: Vec<Part>,
    /// Sites that call a function of a script, in the order of the tokens.
    sites: Vec<Site>,
    /// Indices of the tokens, sorted by position.
    sorted: Vec<u32>,
}

/// Function or constant in the sequence.
#[derive(Debug)]
struct Part {
    /// Keys that identify the part in another version, the most certain key first.
    keys: [u64; 3],
    range: Range<usize>,
    /// File and name, if the part is a function.
    function: Option<(usize, u64)>,
}

impl Reach {
    /// Follows the code of a function of the entry file, or of a closure, given its name.
    pub fn new(places: &Places, entry: &str) -> Self {
        let mut following = Following::new(places);
        following.enter(entry);
        following.run();
        following.result.finish(places)
    }

    /// Follows the code that computes a constant or a variable at the top level of a file.
    pub(super) fn of_global(places: &Places, file: &str, name: &str) -> Self {
        let mut following = Following::new(places);
        let found = places.files.iter().position(|known| *known.name == *file);
        if let Some(index) = found {
            following.global(index, tokens::name(name));
        }
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

    /// Returns a hash that changes only if this code changes.
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// Returns the number of tokens.
    pub const fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Returns `true` if there is no code, because the function does not exist.
    pub const fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Returns the index of the token at a position, if the token is in this code.
    pub fn place_at(&self, file: &str, line: usize, column: usize) -> Option<u32> {
        let file = self.files.iter().position(|name| &**name == file)?;
        let spot: Spot = (line.try_into().ok()?, column.try_into().ok()?);
        let wanted = Some((u16::try_from(file).ok()?, spot));
        let of = |index: &u32| place(&self.tokens, *index);
        let found = self.sorted.partition_point(|index| of(index) < wanted);
        let found = self.sorted.get(found)?;
        (of(found) == wanted).then_some(*found)
    }

    /// Returns the file, line and column of a token.
    pub fn position_of(&self, index: u32) -> Option<(&Arc<str>, usize, usize)> {
        let (file, (line, column)) = place(&self.tokens, index)?;
        Some((
            self.files.get(usize::from(file))?,
            line.into(),
            column.into(),
        ))
    }

    fn hashes(&self, range: &Range<usize>) -> Vec<u64> {
        let tokens = self.tokens.get(range.clone()).unwrap_or_default();
        tokens.iter().map(|(token, _)| token.hash).collect()
    }
}

fn place(tokens: &[(Token, u16)], index: u32) -> Option<(u16, Spot)> {
    let (token, file) = tokens.get(usize::try_from(index).ok()?)?;
    Some((*file, token.spot))
}

/// Returns `true` if a block is code in an interpolated string.
fn is_in_text(file: &File, block: usize) -> bool {
    let before = block.checked_sub(1).and_then(|at| file.tokens.get(at));
    before.is_some_and(|token| token.shape == Shape::Text)
}

/// Returns `true` if the next token shows that a name is called.
fn is_call(next: Option<Shape>) -> bool {
    matches!(next, Some(Shape::Open | Shape::Unit))
}

/// Site that calls a function of a script.
#[derive(Debug)]
struct Site {
    /// Index of the name among the tokens.
    token: usize,
    /// File and name of the function.
    function: (usize, u64),
    /// Token of the outermost loop, condition or closure around the site, which may run any number of times.
    block: Option<usize>,
    /// `true` if the site runs once in each iteration of the block.
    is_direct: bool,
}

/// Function or constant to follow.
struct Piece {
    file: usize,
    range: Range<usize>,
    keys: [u64; 2],
    /// File and name, if the part is a function.
    function: Option<(usize, u64)>,
    /// `true` if the code can read top-level variables without `global::`.
    is_top_level: bool,
}

struct Following<'a> {
    places: &'a Places,
    /// Named functions of each file, by their names as tokens.
    functions: HashMap<(usize, u64), Vec<Piece>>,
    /// Ends of the closures that are only registered, by their starts.
    registered: HashMap<(usize, usize), usize>,
    /// Ends of the closures that run immediately, by their starts.
    at_once: HashMap<(usize, usize), usize>,
    todo: VecDeque<Piece>,
    seen: BTreeSet<(usize, usize)>,
    /// Open brackets of the piece; `Some` is the first token of a block.
    open: Vec<Option<usize>>,
    /// Ends of the open closures that run immediately, each with its first token.
    closures: Vec<(usize, usize)>,
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
                function: Some((function.file_index, name)),
                is_top_level: false,
            };
            let named = functions.entry((function.file_index, name)).or_default();
            named.push(piece);
        }
        let ends = |later: bool| {
            let rows = places.rows().iter().filter(move |row| row.later == later);
            rows.map(|row| ((row.file_index, row.range.start), row.range.end))
                .collect()
        };
        Self {
            places,
            functions,
            registered: ends(true),
            at_once: ends(false),
            todo: VecDeque::new(),
            seen: BTreeSet::new(),
            open: Vec::new(),
            closures: Vec::new(),
            result: Reach::default(),
        }
    }

    /// Starts with a closure, or with all functions of the entry file that have the name.
    fn enter(&mut self, entry: &str) {
        let closure = self.places.row_of(entry);
        if let Some(row) = closure.and_then(|row| self.places.row(row)) {
            self.todo.push_back(Piece {
                file: row.file_index,
                range: row.range.clone(),
                keys: [hash("entry"); 2],
                function: None,
                is_top_level: row.function.is_none(),
            });
        } else if let Some(last) = self.places.files.len().checked_sub(1) {
            self.function(last, tokens::name(entry), true);
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
                function: piece.function,
            });
        }
    }

    fn piece(&mut self, piece: &Piece, file: &File) {
        let mut index = piece.range.start;
        self.open.clear();
        self.closures.clear();
        while index < piece.range.end {
            let registered = self.registered.get(&(piece.file, index));
            if let Some(end) = registered.filter(|_| index != piece.range.start) {
                index = *end;
                continue;
            }
            let place = self.result.tokens.len();
            self.closures.retain(|(end, _)| index < *end);
            if let Some(end) = self.at_once.get(&(piece.file, index)) {
                self.closures.push((*end, place));
            }
            if let (Some(token), Ok(number)) = (file.tokens.get(index), piece.file.try_into()) {
                self.result.tokens.push((*token, number));
                match token.shape {
                    // Code in an interpolated string runs whenever the string is created.
                    Shape::Brace if !is_in_text(file, index) => self.open.push(Some(place)),
                    Shape::Open | Shape::Brace => self.open.push(None),
                    Shape::Close => drop(self.open.pop()),
                    _ => self.token(piece, file, index, *token),
                }
            }
            index += 1;
        }
    }

    /// Follows the function or constant to which a token refers.
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
            (Some(Shape::Path | Shape::Fn), _) | (_, Some(Shape::Colon)) => {}
            (_, Some(Shape::Path)) => {
                if let Some(member) = file.tokens.get(index + 2) {
                    let is_call = is_call(shape(file.tokens.get(index + 3)));
                    self.member(piece.file, file, (token.hash, member.hash), is_call);
                }
            }
            (Some(Shape::Dot), next) if !is_call(next) => {}
            (_, next) => {
                self.function(piece.file, token.hash, is_call(next));
                if piece.is_top_level && last != Some(Shape::Dot) {
                    self.global(piece.file, token.hash);
                }
            }
        }
    }

    /// Follows `namespace::member`.
    fn member(&mut self, index: usize, file: &File, names: (u64, u64), is_call: bool) {
        let (namespace, member) = names;
        if namespace == tokens::name("global") {
            self.global(index, member);
        }
        for (alias, path) in &file.imports {
            let mut files = self.places.files.iter();
            let imported = files.position(|file| *file.name == **path);
            if let Some(imported) = imported.filter(|_| *alias == namespace) {
                self.function(imported, member, is_call);
                self.global(imported, member);
            }
        }
    }

    /// Follows a function that is called, or mentioned as a value.
    fn function(&mut self, file: usize, name: u64, is_call: bool) {
        let token = self.result.tokens.len().saturating_sub(1);
        // The first block is the body of the function.
        let blocks = self.open.iter().flatten().skip(1);
        let closures = self.closures.iter().map(|(_, first)| first);
        let around: Vec<_> = blocks.chain(closures).copied().collect();
        let (inner, around) = (around.len(), around.into_iter().min());
        self.result.sites.push(Site {
            token,
            function: (file, name),
            is_direct: is_call && inner <= 1,
            block: around.or((!is_call).then_some(token)),
        });
        // Each function is followed once.
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
            self.function(file, name, false);
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
                function: None,
                is_top_level: true,
            });
        }
    }
}

/// Code that each hook of a version itself runs, computed on first use.
#[derive(Debug, Default)]
pub(super) struct Reaches([OnceLock<Reach>; Hook::ALL.len()]);

impl Reaches {
    /// Returns the code of a hook. `entry` is the name of its function or closure.
    pub(super) fn get(&self, hook: Hook, places: &Places, entry: &str) -> &Reach {
        let [
            handshake,
            connection,
            disconnect,
            load,
            reload,
            api,
            present,
            absent,
        ] = &self.0;
        let reach = match hook {
            Hook::Handshake => handshake,
            Hook::Connection => connection,
            Hook::Disconnect => disconnect,
            Hook::Load => load,
            Hook::Reload => reload,
            Hook::Api => api,
            Hook::Present => present,
            Hook::Absent => absent,
        };
        reach.get_or_init(|| Reach::new(places, entry))
    }
}

#[cfg(test)]
mod tests;
