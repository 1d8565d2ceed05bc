//! Pairs the closures and named functions of two versions.
//!
//! In: the [`Places`] of both. Out: an [`Alignment`].
//!
//! The passes go from certain to likely matches. Each pass considers only what the earlier passes left unpaired. A
//! closure that stayed in its position is paired before equal code elsewhere: when a handler is copied and the original
//! is then edited, the equal code is the copy.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::Hash,
};

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::{
    places::{Function, Places, Row, site},
    tokens::hash,
};

/// Minimum similarity, from 0 to 1, at which two closures are paired by their similarity alone.
const THRESHOLD: f64 = 0.5;

/// Maximum number of pairs that are compared token by token.
const MAX_EXACT_PAIRS: usize = 4096;

/// Maximum number of pairs that are compared at all.
const MAX_PAIRS: usize = 1 << 16;

/// Minimum length, in tokens, of a closure that is paired by its code alone.
const MIN_BODY: usize = 5;

/// Counterparts of the closures and named functions of an old version in a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alignment {
    rows: Vec<Option<usize>>,
    old_rows: Vec<Option<usize>>,
    functions: Vec<Option<usize>>,
}

impl Alignment {
    /// Returns the row of the new version that is paired with a row of the old one.
    pub fn new_row(&self, old: usize) -> Option<usize> {
        self.rows.get(old).copied().flatten()
    }

    /// Returns the row of the old version that is paired with a row of the new one.
    pub fn old_row(&self, new: usize) -> Option<usize> {
        self.old_rows.get(new).copied().flatten()
    }

    /// Returns the index in the new version that is paired with a named function of the old one.
    pub fn function_moved(&self, old: usize) -> Option<usize> {
        self.functions.get(old).copied().flatten()
    }

    fn is_free(&self, old: usize, new: usize) -> bool {
        self.new_row(old).is_none() && self.old_row(new).is_none()
    }

    fn pair(&mut self, old: usize, new: usize) {
        if let (Some(to), Some(from)) = (self.rows.get_mut(old), self.old_rows.get_mut(new)) {
            (*to, *from) = (Some(new), Some(old));
        }
    }
}

/// Pairs the closures and named functions of two versions.
pub fn align(old: &Places, new: &Places) -> Alignment {
    let functions = functions(old.functions(), new.functions());
    let moved = |index: usize| functions.get(index).copied().flatten();
    let old_keys = keys(old, |index| moved(index).map_or((1, index), |new| (0, new)));
    let new_keys = keys(new, |index| (0, index));
    let mut aligning = Aligning {
        old,
        new,
        result: Alignment {
            rows: vec![None; old_keys.len()],
            old_rows: vec![None; new_keys.len()],
            functions: functions.clone(),
        },
        old_keys,
        new_keys,
    };
    aligning.run();
    aligning.result
}

/// Pairs named functions: those that kept their file and name, then those that moved to another file, then those with
/// another name and an equal body.
fn functions(old: &[Function], new: &[Function]) -> Vec<Option<usize>> {
    let mut pairs = vec![None; old.len()];
    let mut taken = BTreeSet::new();
    unique(&mut pairs, &mut taken, old, new, |f| {
        (&f.file, &f.name, f.arity)
    });
    unique(&mut pairs, &mut taken, old, new, |f| (&f.file, &f.name));
    unique(&mut pairs, &mut taken, old, new, |f| (&f.name, f.arity));
    unique(&mut pairs, &mut taken, old, new, |f| &f.name);
    unique(&mut pairs, &mut taken, old, new, |f| (&f.file, f.body));
    unique(&mut pairs, &mut taken, old, new, |f| f.body);
    pairs
}

/// Pairs the remaining functions whose key is unique in each version.
fn unique<'a, K: Hash + Eq>(
    pairs: &mut [Option<usize>],
    taken: &mut BTreeSet<usize>,
    old: &'a [Function],
    new: &'a [Function],
    key: impl Fn(&'a Function) -> K,
) {
    let mut groups: HashMap<K, (Vec<usize>, Vec<usize>)> = HashMap::new();
    for (index, function) in old.iter().enumerate() {
        if pairs.get(index).is_some_and(Option::is_none) {
            groups.entry(key(function)).or_default().0.push(index);
        }
    }
    for (index, function) in new.iter().enumerate() {
        if !taken.contains(&index) {
            groups.entry(key(function)).or_default().1.push(index);
        }
    }
    for group in groups.into_values() {
        if let ([from], [to]) = (&*group.0, &*group.1)
            && let Some(pair) = pairs.get_mut(*from)
        {
            *pair = Some(*to);
            taken.insert(*to);
        }
    }
}

/// Properties by which a closure is found in the other version.
#[derive(Debug, Clone, Copy)]
struct Key {
    /// Hash of the named function that encloses the closure, or of the file if the closure is at top level.
    function: u64,
    /// Hash of the words and events of the closure and of all enclosing closures.
    site: u64,
    /// Hash of the statements of the closure and of all enclosing closures.
    statement: u64,
    word: u64,
    /// Hash of the closure's word and event; `None` if it has no event.
    event: Option<u64>,
    /// `true` if the closure has an event, or is the value of a variable or a key.
    is_named: bool,
    slot: usize,
    body: u64,
    length: usize,
    parent: Option<usize>,
    /// Number of earlier closures with the same function, site and statement.
    rank: usize,
}

impl Key {
    fn place(&self) -> (u64, u64, u64) {
        (self.function, self.site, self.statement)
    }
}

fn keys(places: &Places, function: impl Fn(usize) -> (u8, usize)) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::with_capacity(places.rows().len());
    let mut ranks = HashMap::new();
    for row in places.rows() {
        // The row of the enclosing closure comes before this one.
        let around = row.parent.and_then(|parent| keys.get(parent));
        let mut key = Key {
            function: match row.function {
                Some(index) => hash(&function(index)),
                None => hash(&*row.file),
            },
            site: hash(&(around.map(|key| key.site), site(row))),
            statement: hash(&(around.map(|key| key.statement), row.statement)),
            word: hash(row.word.as_str()),
            event: row.event.as_ref().map(|_| site(row)),
            is_named: row.event.is_some() || row.word.contains(' '),
            slot: row.slot,
            body: row.body,
            length: row.range.len(),
            parent: row.parent,
            rank: 0,
        };
        let rank = ranks.entry(key.place()).or_insert(0);
        key.rank = *rank;
        *rank += 1;
        keys.push(key);
    }
    keys
}

/// Rows of both versions that have the same key.
type Group = (Vec<usize>, Vec<usize>);

struct Aligning<'a> {
    old: &'a Places,
    new: &'a Places,
    old_keys: Vec<Key>,
    new_keys: Vec<Key>,
    result: Alignment,
}

impl Aligning<'_> {
    fn run(&mut self) {
        self.equal(|k| Some((k.place(), k.body)));
        self.edited_where_nothing_else_is(|k| (k.place(), k.word, k.slot));
        self.equal(|k| Some((k.function, k.site, k.body)));
        self.equal(|k| Some((k.site, k.body)));
        self.equal(|k| Some((k.event?, k.body)));
        self.edited(|k| Some((k.function, k.site)).filter(|_| k.is_named));
        self.within_pairs();
        self.edited(|k| k.event);
        self.within_pairs();
        self.equal(|k| (k.length >= MIN_BODY).then_some((k.word, k.body)));
        self.equal(|k| (k.length >= MIN_BODY).then_some(k.body));
        self.similar();
        self.within_pairs();
        // Pairs closures that are too short to be found by their code alone.
        self.equal(|k| Some((k.function, k.word, k.body)));
    }

    /// Groups the unpaired closures by a key.
    fn groups<K: Ord>(&self, key: impl Fn(&Key) -> Option<K>) -> Vec<Group> {
        let mut groups = BTreeMap::<K, Group>::new();
        for (index, old) in self.old_keys.iter().enumerate() {
            if self.result.new_row(index).is_none()
                && let Some(key) = key(old)
            {
                groups.entry(key).or_default().0.push(index);
            }
        }
        for (index, new) in self.new_keys.iter().enumerate() {
            if self.result.old_row(index).is_none()
                && let Some(key) = key(new)
            {
                groups.entry(key).or_default().1.push(index);
            }
        }
        let groups = groups.into_values();
        groups
            .filter(|(old, new)| !old.is_empty() && !new.is_empty())
            .collect()
    }

    /// Pairs closures with equal code, in order. If one version has more of them, those with equal sites and ranks are
    /// paired first.
    fn equal<K: Ord>(&mut self, key: impl Fn(&Key) -> Option<K>) {
        for (old, new) in self.groups(key) {
            if old.len() != new.len() {
                self.by_rank(&old, &new);
            }
            self.in_order(&old, &new);
        }
    }

    fn by_rank(&mut self, old: &[usize], new: &[usize]) {
        let rank = |keys: &[Key], index: usize| keys.get(index).map(|k| (k.place(), k.rank));
        let ranks: HashMap<_, _> = old
            .iter()
            .map(|index| (rank(&self.old_keys, *index), *index))
            .collect();
        for to in new {
            if let Some(from) = ranks.get(&rank(&self.new_keys, *to)) {
                self.result.pair(*from, *to);
            }
        }
    }

    fn in_order(&mut self, old: &[usize], new: &[usize]) {
        let old: Vec<_> = old
            .iter()
            .filter(|index| self.result.new_row(**index).is_none())
            .collect();
        let new: Vec<_> = new
            .iter()
            .filter(|index| self.result.old_row(**index).is_none())
            .collect();
        for (from, to) in old.into_iter().zip(new) {
            self.result.pair(*from, *to);
        }
    }

    /// Pairs two unpaired closures if no other closure of either version, paired or unpaired, has their key.
    fn edited_where_nothing_else_is<K: Ord + Copy>(&mut self, key: impl Fn(&Key) -> K) {
        let count = |keys: &[Key]| {
            let mut counts = BTreeMap::<K, usize>::new();
            for k in keys {
                *counts.entry(key(k)).or_default() += 1;
            }
            counts
        };
        let (old, new) = (count(&self.old_keys), count(&self.new_keys));
        let is_unique = |k: &K| old.get(k) == Some(&1) && new.get(k) == Some(&1);
        for (old, new) in self.groups(|k| Some(key(k)).filter(is_unique)) {
            self.in_order(&old, &new);
        }
    }

    /// Pairs closures at the same site. If there are several, the most similar ones are paired first.
    fn edited<K: Ord>(&mut self, key: impl Fn(&Key) -> Option<K>) {
        for (old, new) in self.groups(key) {
            if old.len() * new.len() > 1 {
                self.most_similar(&old, &new, 0.0);
            }
            self.in_order(&old, &new);
        }
    }

    /// Pairs closures that are used in the same way within closures that are paired.
    fn within_pairs(&mut self) {
        let parents: Vec<_> = self.old_keys.iter().map(|k| k.parent).collect();
        let into = |parent: Option<usize>| parent.and_then(|parent| self.result.new_row(parent));
        let moved: Vec<_> = parents.into_iter().map(into).collect();
        let mut groups = BTreeMap::<_, Group>::new();
        for (index, (k, parent)) in self.old_keys.iter().zip(moved).enumerate() {
            if let Some(parent) = parent.filter(|_| self.result.new_row(index).is_none()) {
                let key = (parent, k.word, k.event, k.slot);
                groups.entry(key).or_default().0.push(index);
            }
        }
        for (index, k) in self.new_keys.iter().enumerate() {
            if let Some(parent) = k.parent.filter(|_| self.result.old_row(index).is_none()) {
                let key = (parent, k.word, k.event, k.slot);
                groups.entry(key).or_default().1.push(index);
            }
        }
        for group in groups.into_values() {
            if let ([from], [to]) = (&*group.0, &*group.1) {
                self.result.pair(*from, *to);
            }
        }
    }

    /// Pairs the remaining closures by similarity. If there are too many, only closures with the same word are
    /// compared.
    fn similar(&mut self) {
        for (old, new) in self.groups(|_| Some(())) {
            if old.len() * new.len() <= MAX_PAIRS {
                self.most_similar(&old, &new, THRESHOLD);
            } else {
                for (old, new) in self.groups(|k| Some(k.word)) {
                    self.most_similar(&old, &new, THRESHOLD);
                }
            }
        }
    }

    /// Pairs closures by similarity, the most similar ones first. Does nothing if there are too many.
    fn most_similar(&mut self, old: &[usize], new: &[usize], threshold: f64) {
        let count = old.len() * new.len();
        if count > MAX_PAIRS {
            return;
        }
        let texts = |places: &Places, rows: &[usize]| -> Vec<_> {
            rows.iter()
                .filter_map(|row| places.row(*row))
                .map(|row| Text::new(places, row))
                .collect()
        };
        let (old_texts, new_texts) = (texts(self.old, old), texts(self.new, new));
        let mut pairs = Vec::new();
        for (from, old_text) in old.iter().zip(&old_texts) {
            for (to, new_text) in new.iter().zip(&new_texts) {
                let mut similarity = old_text.bound(new_text);
                if count <= MAX_EXACT_PAIRS && similarity >= threshold {
                    similarity = old_text.similarity(new_text);
                }
                if similarity >= threshold {
                    pairs.push((similarity + self.nearness(*from, *to), *from, *to));
                }
            }
        }
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        for (_, from, to) in pairs {
            if self.result.is_free(from, to) {
                self.result.pair(from, to);
            }
        }
    }

    /// Returns a bonus for an equal context, as a tie-breaker between closures that are equally similar.
    fn nearness(&self, old: usize, new: usize) -> f64 {
        let (Some(old), Some(new)) = (self.old_keys.get(old), self.new_keys.get(new)) else {
            return 0.0;
        };
        let parent = old.parent.and_then(|parent| self.result.new_row(parent));
        let if_equal = |equal: bool, value: f64| if equal { value } else { 0.0 };
        if_equal(old.word == new.word, 0.2)
            + if_equal(old.function == new.function, 0.05)
            + if_equal(old.statement == new.statement, 0.05)
            + if_equal(parent.is_some() && parent == new.parent, 0.05)
    }
}

/// Tokens of a closure, in their original order and sorted.
struct Text {
    tokens: Vec<u64>,
    sorted: Vec<u64>,
}

impl Text {
    fn new(places: &Places, row: &Row) -> Self {
        let tokens: Vec<_> = places.tokens_of(row).iter().map(|t| t.hash).collect();
        let mut sorted = tokens.clone();
        sorted.sort_unstable();
        Self { tokens, sorted }
    }

    /// Returns an upper bound of the similarity: the share of common tokens, regardless of their order.
    fn bound(&self, other: &Self) -> f64 {
        let (mut a, mut b) = (
            self.sorted.iter().peekable(),
            other.sorted.iter().peekable(),
        );
        let mut common = 0;
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            match x.cmp(y) {
                std::cmp::Ordering::Less => _ = a.next(),
                std::cmp::Ordering::Greater => _ = b.next(),
                std::cmp::Ordering::Equal => {
                    common += 1;
                    (_, _) = (a.next(), b.next());
                }
            }
        }
        self.ratio(other, common)
    }

    /// Returns the similarity, from 0 to 1.
    fn similarity(&self, other: &Self) -> f64 {
        let operations = capture_diff_slices(Algorithm::Myers, &self.tokens, &other.tokens);
        let equal = operations.iter().map(|operation| match operation {
            DiffOp::Equal { len, .. } => *len,
            _ => 0,
        });
        self.ratio(other, equal.sum())
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a file has fewer tokens than an `f64` counts"
    )]
    fn ratio(&self, other: &Self, common: usize) -> f64 {
        match self.tokens.len() + other.tokens.len() {
            0 => 1.0,
            all => 2.0 * common as f64 / all as f64,
        }
    }
}

#[cfg(test)]
mod tests;
