//! Map from the tokens of one version to the same tokens of another version.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    ops::Range,
};

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::{Part, Reach};
use crate::script::tokens::{Shape, Token, hash_all};

/// Token, with the variable whose value it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct ByVariable {
    hash: u64,
    variable: Option<u64>,
}

impl Reach {
    /// Returns, for each token, the index of the same token in another version.
    pub fn map_to(&self, new: &Self) -> Vec<Option<u32>> {
        let mut map = vec![None; self.tokens.len()];
        for (old_part, new_part) in self.pairs(new) {
            let old_tokens = self.by_variable(&old_part.range);
            let new_tokens = new.by_variable(&new_part.range);
            for (from, to) in same_tokens(&old_tokens, &new_tokens) {
                if let Some(place) = map.get_mut(old_part.range.start + from) {
                    *place = (new_part.range.start + to).try_into().ok();
                }
            }
        }
        map
    }

    /// Returns the tokens of a part. The tokens of a variable's value are marked with the variable, so that if two
    /// statements are swapped, each keeps its own calls.
    fn by_variable(&self, range: &Range<usize>) -> Vec<ByVariable> {
        let tokens = self.tokens.get(range.clone()).unwrap_or_default();
        let mut variable = None;
        let mut is_start = true;
        let mut result = Vec::with_capacity(tokens.len());
        for (nth, (token, _)) in tokens.iter().enumerate() {
            if is_start && variable.is_none() && token.shape != Shape::Close {
                variable = target(tokens.iter().skip(nth).map(|(token, _)| token));
            }
            if token.shape == Shape::Semicolon {
                variable = None;
            }
            is_start = matches!(token.shape, Shape::Semicolon | Shape::Brace | Shape::Close);
            let hash = token.hash;
            result.push(ByVariable { hash, variable });
        }
        result
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

/// Returns a hash of the target of an assignment, or of the variable on which the statement calls a method.
fn target<'a>(mut statement: impl Iterator<Item = &'a Token> + Clone) -> Option<u64> {
    let is_end =
        |token: &&Token| matches!(token.shape, Shape::Semicolon | Shape::Brace | Shape::Assign);
    let mut first = statement.clone();
    let target = statement.clone().take_while(|token| !is_end(token));
    let hash = hash_all(target);
    if statement.find(is_end)?.shape == Shape::Assign {
        return Some(hash);
    }
    let (name, next) = (first.next()?, first.next()?);
    (name.shape == Shape::Name && next.shape == Shape::Dot).then_some(name.hash)
}

/// Returns the indices of the tokens that are in both versions: first those in the same order, then those of values
/// that were moved.
fn same_tokens(old: &[ByVariable], new: &[ByVariable]) -> Vec<(usize, usize)> {
    let mut same = Vec::new();
    for operation in capture_diff_slices(Algorithm::Myers, old, new) {
        if let DiffOp::Equal {
            old_index,
            new_index,
            len,
        } = operation
        {
            same.extend((old_index..old_index + len).zip(new_index..));
        }
    }
    let (in_old, in_new): (BTreeSet<_>, BTreeSet<_>) = same.iter().copied().unzip();
    let mut gone: HashMap<_, VecDeque<_>> = HashMap::new();
    for (from, token) in values_without(old, &in_old) {
        gone.entry(token).or_default().push_back(from);
    }
    for (to, token) in values_without(new, &in_new) {
        let from = gone.get_mut(token).and_then(VecDeque::pop_front);
        same.extend(from.map(|from| (from, to)));
    }
    same
}

/// Returns the tokens of the values of variables, without those at the indices in `without`.
fn values_without<'a>(
    tokens: &'a [ByVariable],
    without: &BTreeSet<usize>,
) -> impl Iterator<Item = (usize, &'a ByVariable)> {
    let tokens = tokens.iter().enumerate();
    tokens.filter(|(nth, token)| token.variable.is_some() && !without.contains(nth))
}
