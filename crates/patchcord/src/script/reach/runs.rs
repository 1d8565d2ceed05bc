//! Runs of a function that a hook calls in several places: each run makes the calls in the function once.
//!
//! A native function does not know the caller of the function that calls it. But code without conditions runs in the
//! order of its text, and code in one loop or condition runs as often as in the older version. So the order of the runs
//! identifies them, unless several loops or conditions decide how often the function runs.

use std::{collections::HashMap, ops::Range};

use super::Reach;
use crate::script::tokens::Shape;

/// Maximum number of sites that run a function; if there are more, its runs are unknown.
const MAX_RUNS: usize = 64;

/// Calls that lead to a run, the outermost first, as indices of tokens.
type Path = Vec<usize>;

/// Site in the text where a function is run.
#[derive(Debug, Clone)]
struct Step {
    path: Path,
    /// Token of the outermost block around the site. A block may run any number of times.
    block: Option<usize>,
    /// `true` if the site runs once in each iteration of the block.
    is_direct: bool,
}

/// Sites where one function is run in a version, in the order of the runs.
#[derive(Debug)]
struct Steps {
    all: Vec<Step>,
    /// Indices of the steps in a block. There is at most one block.
    in_block: Range<usize>,
}

impl Steps {
    /// Returns the steps, or `None` if several blocks decide how often the function is run.
    fn new(all: Vec<Step>) -> Option<Self> {
        let is_in = |step: &Step| step.block.is_some();
        let start = all.iter().take_while(|step| !is_in(step)).count();
        let len = all
            .iter()
            .skip(start)
            .take_while(|step| is_in(step))
            .count();
        let in_block = start..start + len;
        let block = all.get(start).and_then(|step| step.block);
        let is_one = all.iter().enumerate().all(|(nth, step)| match step.block {
            Some(_) => step.block == block && in_block.contains(&nth),
            None => true,
        });
        is_one.then_some(Self { all, in_block })
    }

    fn is_direct(&self) -> bool {
        let mut inside = self.all.iter().filter(|step| step.block.is_some());
        inside.all(|step| step.is_direct)
    }
}

/// Run of a function to which a call belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Run {
    /// The run cannot be determined.
    Unknown,
    /// The older version does not have this run.
    New,
    /// Number of the run in the older version, from 0.
    Old(usize),
}

/// Runs of one function in two versions.
#[derive(Debug)]
struct RunPairs {
    old: Steps,
    new: Steps,
    /// Index of the same step in the older version, for each step of the newer one.
    same: Vec<Option<usize>>,
}

impl RunPairs {
    fn between(old: Steps, new: Steps, token: impl Fn(usize) -> Option<usize>) -> Self {
        let of = |step: &Step| {
            let path: Option<Path> = step.path.iter().map(|at| token(*at)).collect();
            old.all
                .iter()
                .position(|old| path.as_ref() == Some(&old.path))
        };
        let mut same: Vec<_> = new.all.iter().map(of).collect();
        // A run that was moved: its old call no longer exists.
        let gone = old
            .all
            .iter()
            .enumerate()
            .filter(|(nth, step)| step.block.is_none() && !same.contains(&Some(*nth)));
        let gone: Vec<_> = gone.map(|(nth, _)| nth).collect();
        let added = same.iter_mut().zip(&new.all);
        let added = added.filter(|(same, step)| same.is_none() && step.block.is_none());
        for ((same, _), old) in added.zip(gone) {
            *same = Some(old);
        }
        Self { old, new, same }
    }

    fn run(&self, nth: usize, recorded: usize) -> Run {
        let (old, new) = (&self.old.in_block, &self.new.in_block);
        let Some(old_turns) = recorded.checked_sub(self.old.all.len() - old.len()) else {
            return Run::Unknown;
        };
        if old.is_empty() && old_turns > 0 {
            return Run::Unknown;
        }
        let certain = |step: usize| match self.same.get(step) {
            Some(Some(same)) if *same < old.start => Run::Old(*same),
            Some(Some(same)) if *same >= old.end => Run::Old(same - old.len() + old_turns),
            Some(None) => Run::New,
            _ => Run::Unknown,
        };
        if nth < new.start || new.is_empty() {
            return certain(nth);
        }
        let inside = self.same.get(new.clone()).unwrap_or_default();
        let is_whole = inside.iter().copied().eq(old.clone().map(Some));
        let is_direct = self.old.is_direct() && self.new.is_direct() && !old.is_empty();
        let is_there = inside.iter().flatten().any(|same| old.contains(same));
        let (turns, width) = match (is_whole, is_direct && is_there) {
            (true, _) => (old_turns, 1),
            (_, true) if old_turns.is_multiple_of(old.len()) => (old_turns / old.len(), new.len()),
            _ => return Run::Unknown,
        };
        let nth = nth - new.start;
        if nth >= turns * width {
            return certain(nth - turns * width + new.end);
        }
        if is_whole {
            return Run::Old(old.start + nth);
        }
        match inside.get(nth % width) {
            Some(Some(same)) if old.contains(same) => {
                Run::Old(old.start + nth / width * old.len() + (same - old.start))
            }
            Some(None) => Run::New,
            _ => Run::Unknown,
        }
    }
}

/// Runs of the functions that are called in several places.
#[derive(Debug, Default)]
pub(in crate::script) struct RunMap {
    /// End of the tokens of each part, with its runs.
    parts: Vec<(usize, Option<RunPairs>)>,
}

impl RunMap {
    /// Compares two versions. For each token of the newer one, `back` has the index of the same token in the older one.
    pub(in crate::script) fn between(old: &Reach, new: &Reach, back: &[Option<u32>]) -> Self {
        let (mut old_search, mut new_search) = (Search::new(old), Search::new(new));
        let same = |token: usize| usize::try_from((*back.get(token)?)?).ok();
        let parts = new.parts.iter().enumerate().map(|(nth, part)| {
            let mut runs = || {
                let first = part.range.clone().find_map(same)?;
                let old_part = old.parts.iter().position(|p| p.range.contains(&first))?;
                let old = Steps::new(old_search.steps(old_part)?)?;
                let new = Steps::new(new_search.steps(nth)?)?;
                (old.all.len().max(new.all.len()) > 1).then(|| RunPairs::between(old, new, same))
            };
            (part.range.end, runs())
        });
        Self {
            parts: parts.collect(),
        }
    }

    /// Returns the run to which a call at a token of the newer version belongs when it is made for the `nth` time. The
    /// older version made the call `recorded` times.
    pub(in crate::script) fn run(&self, token: usize, nth: usize, recorded: usize) -> Run {
        let part = self.parts.partition_point(|(end, _)| *end <= token);
        let runs = self.parts.get(part).and_then(|(_, runs)| runs.as_ref());
        runs.map_or(Run::Unknown, |runs| runs.run(nth, recorded))
    }
}

/// Search for the steps of each part of a reach.
struct Search<'a> {
    reach: &'a Reach,
    /// Steps of each part; `None` while the part is being searched, or if its steps cannot be determined.
    found: HashMap<usize, Option<Vec<Step>>>,
}

impl<'a> Search<'a> {
    fn new(reach: &'a Reach) -> Self {
        let hook = Step {
            path: Path::new(),
            block: None,
            is_direct: true,
        };
        Self {
            reach,
            found: HashMap::from([(0, Some(vec![hook]))]),
        }
    }

    fn steps(&mut self, part: usize) -> Option<Vec<Step>> {
        if let Some(found) = self.found.get(&part) {
            return found.clone();
        }
        self.found.insert(part, None);
        let steps = self.search(part);
        self.found.insert(part, steps.clone());
        steps
    }

    fn search(&mut self, part: usize) -> Option<Vec<Step>> {
        let reach = self.reach;
        let function = reach.parts.get(part)?.function?;
        let mut same_name = reach.parts.iter().filter(|p| p.function == Some(function));
        if same_name.nth(1).is_some() {
            return None;
        }
        let mut steps = Vec::new();
        let mut calls_itself = false;
        for site in reach.sites.iter().filter(|site| site.function == function) {
            let parts = reach.parts.iter();
            let caller = parts
                .take_while(|part| part.range.end <= site.token)
                .count();
            if caller == part {
                calls_itself = true;
                continue;
            }
            let outer = self.steps(caller)?;
            if steps.len() + outer.len() > MAX_RUNS {
                return None;
            }
            steps.extend(outer.into_iter().map(|mut step| {
                step.path.push(site.token);
                step.is_direct &= match step.block {
                    Some(_) => site.block.is_none(),
                    None => site.is_direct,
                };
                step.block = step.block.or(site.block);
                step
            }));
        }
        if calls_itself {
            for step in &mut steps {
                step.block = step.block.or(step.path.last().copied());
                step.is_direct = false;
            }
        }
        // The arguments of a call are evaluated before it.
        let end = |token: &usize| reach.end_of_call(*token);
        steps.sort_by_cached_key(|step| step.path.iter().map(end).collect::<Path>());
        Some(steps)
    }
}

impl Reach {
    /// Returns the index of the last token of a call. `name` is the index of its name.
    fn end_of_call(&self, name: usize) -> usize {
        let mut depth = 0_usize;
        for (index, (token, _)) in self.tokens.iter().enumerate().skip(name + 1) {
            match token.shape {
                Shape::Open | Shape::Brace => depth += 1,
                Shape::Close => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return index;
            }
        }
        name
    }
}
