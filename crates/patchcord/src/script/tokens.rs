//! Tokens of a file as the parser sees them: without comments and layout, each with its position.
//!
//! In: an engine that compiles a file. Out: [`Tokens`]. Equal code has equal hashes, wherever it is.
//!
//! Rhai's parser controls its lexer, for example within interpolated strings. Therefore the tokens are recorded while
//! the parser runs, instead of by a second lexer.

use std::{
    cell::RefCell,
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
};

use rhai::{Engine, Position};

thread_local! {
    /// `Some` while a file compiles on this thread. The lines of a REPL are not recorded.
    static RECORDED: RefCell<Option<Vec<Token>>> = const { RefCell::new(None) };
}

/// Line and column, counted from 1.
pub(super) type Spot = (u16, u16);

/// Returns the line and the column of a position.
pub(super) fn spot(position: Position) -> Spot {
    let part = |n: Option<usize>| n.and_then(|n| n.try_into().ok()).unwrap_or_default();
    (part(position.line()), part(position.position()))
}

/// Returns a hash that is the same in every version of a script.
pub(super) fn hash(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Returns the hash of the token of a name.
pub(super) fn name(name: &str) -> u64 {
    hash(&('n', name))
}

/// Returns the hash of the token of a string literal.
pub(super) fn text(text: &str) -> u64 {
    hash(&('s', text))
}

/// Role of a token in the structure of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `(`, `[`, `?[` or `#{`
    Open,
    /// `{` of a block
    Brace,
    /// Closing bracket of any kind
    Close,
    /// `|`
    Pipe,
    /// `||`
    Or,
    /// `()`
    Unit,
    Comma,
    Semicolon,
    Colon,
    /// `=`
    Assign,
    /// `::`
    Path,
    /// `.` or `?.`
    Dot,
    Fn,
    /// `let` or `const`
    Let,
    Name,
    /// Text before the code in an interpolated string
    Text,
    Other,
}

/// Token: its hash, its position and its role.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) hash: u64,
    pub(super) spot: Spot,
    pub(super) shape: Shape,
}

impl Token {
    /// Creates a token; `None` for a comment, and for the end of the file.
    fn new(token: &rhai::Token, position: Position) -> Option<Self> {
        use rhai::Token as T;
        let shape = match token {
            T::Comment(_) | T::EOF => return None,
            T::LeftParen | T::LeftBracket | T::QuestionBracket | T::MapStart => Shape::Open,
            T::LeftBrace => Shape::Brace,
            T::RightParen | T::RightBracket | T::RightBrace => Shape::Close,
            T::Pipe => Shape::Pipe,
            T::Or => Shape::Or,
            T::Unit => Shape::Unit,
            T::Comma => Shape::Comma,
            T::SemiColon => Shape::Semicolon,
            T::Colon => Shape::Colon,
            T::Equals => Shape::Assign,
            T::DoubleColon => Shape::Path,
            T::Period | T::Elvis => Shape::Dot,
            T::Fn => Shape::Fn,
            T::Let | T::Const => Shape::Let,
            T::InterpolatedString(_) => Shape::Text,
            T::Identifier(_) | T::Reserved(_) | T::Custom(_) => Shape::Name,
            _ => Shape::Other,
        };
        let hash = match token {
            T::IntegerConstant(n) => hash(&('i', n)),
            T::FloatConstant(f) => hash(&('f', f.0.to_bits())),
            T::CharConstant(c) => hash(&('c', c)),
            T::StringConstant(s) => text(s),
            T::InterpolatedString(s) => hash(&('t', &***s)),
            T::Identifier(s) | T::Reserved(s) | T::Custom(s) => name(s),
            other if other.is_literal() => hash(&('x', other.literal_syntax())),
            // `literal_syntax` panics on all other tokens: errors, and tokens of optional Rhai features.
            other => hash(&('o', format!("{other:?}"))),
        };
        let spot = spot(position);
        Some(Self { hash, spot, shape })
    }
}

/// Makes an engine record the tokens that it parses while [`recorded`] runs.
#[allow(
    deprecated,
    reason = "`on_parse_token` is marked volatile, not deprecated, and there is no other way"
)]
pub(super) fn record(engine: &mut Engine) {
    engine.on_parse_token(|token, position, _| {
        RECORDED.with_borrow_mut(|recorded| {
            if let Some(tokens) = recorded {
                let mut token = Token::new(&token, position);
                // The rest of an interpolated string has no position of its own.
                if let (Some(token), Some(last)) = (&mut token, tokens.last()) {
                    token.spot = token.spot.max(last.spot);
                }
                tokens.extend(token);
            }
        });
        token
    });
}

/// Compiles a file, and also returns its tokens.
pub(super) fn recorded<T>(compile: impl FnOnce() -> T) -> (T, Tokens) {
    let before = RECORDED.replace(Some(Vec::new()));
    let result = compile();
    let tokens = RECORDED.replace(before).unwrap_or_default();
    (result, Tokens(tokens))
}

/// Tokens of one file, in order.
#[derive(Debug, Default)]
pub(super) struct Tokens(Vec<Token>);

impl Tokens {
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Token> {
        self.0.get(index)
    }

    pub(super) fn slice(&self, range: Range<usize>) -> &[Token] {
        self.0.get(range).unwrap_or_default()
    }

    pub(super) fn shape(&self, index: usize) -> Option<Shape> {
        self.get(index).map(|token| token.shape)
    }

    /// Returns the index of the token at a position.
    pub(super) fn at(&self, spot: Spot) -> Option<usize> {
        let index = self.0.partition_point(|token| token.spot < spot);
        (self.get(index)?.spot == spot).then_some(index)
    }

    /// Returns the indices of all tokens with a role.
    pub(super) fn all(&self, shape: Shape) -> impl Iterator<Item = usize> {
        let tokens = self.0.iter().enumerate();
        tokens
            .filter(move |(_, token)| token.shape == shape)
            .map(|(index, _)| index)
    }

    /// Returns the hash of a range, ignoring positions.
    pub(super) fn hash(&self, range: Range<usize>) -> u64 {
        hash_all(self.slice(range))
    }
}

/// Returns the hash of a sequence of tokens, ignoring positions.
pub(super) fn hash_all<'a>(tokens: impl IntoIterator<Item = &'a Token>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for token in tokens {
        token.hash.hash(&mut hasher);
    }
    hasher.finish()
}

/// Brackets of a file: the matching bracket of each, and the enclosing bracket of each token.
pub(super) struct Brackets<'a> {
    tokens: &'a Tokens,
    /// Index of the matching bracket, for each bracket.
    partner: Vec<usize>,
    /// Innermost bracket that is open before each token.
    enclosing: Vec<Option<usize>>,
}

impl<'a> Brackets<'a> {
    pub(super) fn new(tokens: &'a Tokens) -> Self {
        let mut partner: Vec<_> = (0..tokens.len()).collect();
        let mut enclosing = Vec::with_capacity(tokens.len());
        let mut open = Vec::new();
        for (index, token) in tokens.0.iter().enumerate() {
            if token.shape == Shape::Close
                && let Some(opening) = open.pop()
            {
                let mut set = |at: usize, other| {
                    if let Some(place) = partner.get_mut(at) {
                        *place = other;
                    }
                };
                set(opening, index);
                set(index, opening);
            }
            enclosing.push(open.last().copied());
            if matches!(token.shape, Shape::Open | Shape::Brace) {
                open.push(index);
            }
        }
        Self {
            tokens,
            partner,
            enclosing,
        }
    }

    fn partner(&self, index: usize) -> usize {
        self.partner.get(index).copied().unwrap_or(index)
    }

    pub(super) fn enclosing(&self, index: usize) -> Option<usize> {
        self.enclosing.get(index).copied().flatten()
    }

    /// Returns the range of the closure that starts at a position, from its `|` to the end of its body.
    pub(super) fn closure(&self, at: Spot) -> Option<Range<usize>> {
        let from = self.tokens.at(at)?;
        let body = match self.tokens.shape(from)? {
            Shape::Or => from + 1,
            Shape::Pipe => {
                let mut after = from + 1..self.tokens.len();
                after.find(|index| self.tokens.shape(*index) == Some(Shape::Pipe))? + 1
            }
            _ => return None,
        };
        if self.tokens.shape(body) == Some(Shape::Brace) {
            return Some(from..self.partner(body) + 1);
        }
        Some(from..self.end(body, &[Shape::Comma, Shape::Semicolon]))
    }

    /// Returns the range of the named function whose `fn` is at an index, and the index of its body.
    pub(super) fn function(&self, from: usize) -> Option<(Range<usize>, usize)> {
        let mut after = from..self.tokens.len();
        let body = after.find(|index| self.tokens.shape(*index) == Some(Shape::Brace))?;
        Some((from..self.partner(body) + 1, body))
    }

    /// Returns the index of the first token with one of these roles, or of the bracket that closes the enclosing one.
    /// Brackets in between are skipped, including their contents.
    pub(super) fn end(&self, from: usize, ends: &[Shape]) -> usize {
        let mut index = from;
        while let Some(shape) = self.tokens.shape(index) {
            if shape == Shape::Close || ends.contains(&shape) {
                break;
            }
            index = self.partner(index).max(index) + 1;
        }
        index
    }

    /// Returns the range of the statement that contains `part`. A block inside a statement does not belong to the
    /// statement, unless the block is within other brackets.
    pub(super) fn statement(&self, part: &Range<usize>) -> Range<usize> {
        let (mut first, mut after) = (part.start, part.end);
        while let Some(bracket) = self.enclosing(first) {
            if self.tokens.shape(bracket) == Some(Shape::Brace) {
                break;
            }
            (first, after) = (bracket, self.partner(bracket) + 1);
        }
        let lowest = self.enclosing(first).map_or(0, |bracket| bracket + 1);
        while first > lowest {
            let before = first - 1;
            let opening = self.partner(before);
            match self.tokens.shape(before) {
                Some(Shape::Semicolon | Shape::Comma) => break,
                Some(Shape::Close) if self.tokens.shape(opening) == Some(Shape::Brace) => break,
                _ => first = opening.min(before),
            }
        }
        first..self.end(after, &[Shape::Semicolon, Shape::Comma, Shape::Brace])
    }
}
