//! Transition from the code of one version to that of a newer one: the counterpart of each closure and each named
//! function, and the sources of its captured variables.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, OnceLock},
};

use rhai::{ImmutableString, ScriptFuncDef};

use super::{
    align::align,
    places::{Owner, Places, Row},
    reach::{
        Reach,
        runs::{Run, RunMap},
    },
};

/// Counterpart of a closure in a newer version.
#[derive(Debug)]
pub(super) struct Counterpart {
    /// Row of the counterpart in the newer version.
    pub(super) row: usize,
    pub(super) definition: Arc<ScriptFuncDef>,
    /// Sources of the captured variables, in the order of the parameters.
    pub(super) captures: Vec<Capture>,
}

/// Function that finds the definition of the code of a row.
pub(super) type Define<'a> = dyn Fn(&Row) -> Option<Arc<ScriptFuncDef>> + 'a;

impl Counterpart {
    /// Creates the counterpart of an older closure from a row of `new`.
    pub(super) fn new(from: &Row, row: usize, new: &Places, define: &Define<'_>) -> Option<Self> {
        let to = new.row(row)?;
        let captures =
            to.captured.iter().map(
                |name| match from.captured.iter().position(|has| has == name) {
                    Some(place) => Capture::Has(place),
                    None => Capture::Lacks(name.clone()),
                },
            );
        Some(Self {
            row,
            definition: define(to)?,
            captures: captures.collect(),
        })
    }
}

/// Source of a captured variable.
#[derive(Debug)]
pub(super) enum Capture {
    /// The older closure has the variable, at this index.
    Has(usize),
    /// The older closure does not have the variable.
    Lacks(ImmutableString),
}

/// Counterparts of all code of an older version.
#[derive(Debug)]
pub(super) struct Transition {
    rows: Vec<Option<Counterpart>>,
    functions: Vec<Option<usize>>,
    /// New names of renamed functions, by their old names. Both are the names by which values refer to them.
    renamed: HashMap<String, String>,
    lends: bool,
    /// Names that closures of the older version capture, but no closure of the newer version.
    dropped: Arc<BTreeSet<ImmutableString>>,
    calls: OnceLock<Arc<CallMap>>,
}

/// Mapping of the calls that `on_connection` makes in a newer version to those in an older one.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct CallMap {
    old: Vec<Option<u32>>,
    kept: Vec<bool>,
    runs: RunMap,
}

impl CallMap {
    /// Compares the code of two versions.
    pub(super) fn between(old: &Reach, new: &Reach) -> Self {
        let moved = old.map_to(new);
        let mut back = vec![None; new.len()];
        for (from, to) in moved.iter().enumerate() {
            let to = to.and_then(|to| back.get_mut(usize::try_from(to).ok()?));
            if let (Some(to), Ok(from)) = (to, u32::try_from(from)) {
                *to = Some(from);
            }
        }
        Self {
            kept: moved.iter().map(Option::is_some).collect(),
            runs: RunMap::between(old, new, &back),
            old: back,
        }
    }

    /// Returns the index of a call in the older version.
    pub fn old(&self, new: u32) -> Option<u32> {
        self.old.get(usize::try_from(new).ok()?).copied().flatten()
    }

    /// Returns the run of the older version's code to which a call belongs when it is made for the `nth` time. The
    /// older version made the call `recorded` times.
    pub fn run(&self, new: u32, nth: usize, recorded: usize) -> Run {
        let token = usize::try_from(new).unwrap_or(usize::MAX);
        self.runs.run(token, nth, recorded)
    }

    /// Returns `true` if a call of the older version still exists in the newer one.
    pub fn is_kept(&self, old: u32) -> bool {
        usize::try_from(old).is_ok_and(|old| self.kept.get(old) == Some(&true))
    }
}

impl Transition {
    /// Aligns two versions. `define` finds the definition of the code of a row in the newer version.
    pub(super) fn between(old: &Places, new: &Places, define: &Define<'_>) -> Self {
        let alignment = align(old, new);
        let counterpart = |(nth, from): (usize, &Row)| {
            let row = alignment.new_row(nth)?;
            Counterpart::new(from, row, new, define)
        };
        let rows: Vec<_> = old.rows().iter().enumerate().map(counterpart).collect();
        let lends = rows.iter().flatten().any(|to| {
            let mut captures = to.captures.iter();
            captures.any(|capture| matches!(capture, Capture::Lacks(_)))
        });
        let names = |places: &Places| -> BTreeSet<_> {
            let rows = places.rows().iter();
            rows.flat_map(|row| row.captured.iter().cloned()).collect()
        };
        let dropped = Arc::new(&names(old) - &names(new));
        let functions: Vec<_> = (0..old.functions().len())
            .map(|nth| alignment.function_moved(nth))
            .collect();
        let moved = old.functions().iter().zip(&functions);
        let renamed = moved.filter_map(|(from, to)| {
            let to = new.functions().get((*to)?)?;
            let (from, to) = (old.value_name(from), new.value_name(to));
            (from != to).then_some((from, to))
        });
        Self {
            renamed: renamed.collect(),
            rows,
            functions,
            lends,
            dropped,
            calls: OnceLock::new(),
        }
    }

    /// Returns the code of the newer version that creates what this code of the older version created.
    pub(super) fn owner(&self, old: Owner) -> Option<Owner> {
        match old {
            Owner::Closure(row) => Some(Owner::Closure(self.row(row)?.row)),
            Owner::Function(function) => {
                let to = self.functions.get(function).copied().flatten()?;
                Some(Owner::Function(to))
            }
            Owner::TopLevel(_) => None,
        }
    }

    /// Returns the counterpart of a row; `None` if its code has been removed.
    pub(super) fn row(&self, old: usize) -> Option<&Counterpart> {
        self.rows.get(old)?.as_ref()
    }

    /// Returns the name by which values now refer to a named function.
    pub(super) fn function<'a>(&'a self, name: &'a str) -> &'a str {
        self.renamed.get(name).map_or(name, String::as_str)
    }

    /// Returns the closures of the newer version that capture a variable that their older text does not capture, each
    /// with the variable.
    pub(super) fn lacking(&self) -> impl Iterator<Item = (usize, &ImmutableString)> {
        self.rows.iter().flatten().flat_map(|to| {
            let lacks = to.captures.iter().filter_map(|capture| match capture {
                Capture::Lacks(name) => Some(name),
                Capture::Has(_) => None,
            });
            lacks.map(|name| (to.row, name))
        })
    }

    /// Returns the names that closures of the older version capture, but no closure of the newer version.
    pub(super) const fn dropped(&self) -> &Arc<BTreeSet<ImmutableString>> {
        &self.dropped
    }

    /// Returns the mapping of the calls of `on_connection`, which `compare` computes on first use.
    pub(super) fn calls(&self, compare: impl FnOnce() -> CallMap) -> Arc<CallMap> {
        self.calls.get_or_init(|| compare().into()).clone()
    }

    /// Returns `true` if a closure captures a variable that its older text did not capture.
    pub(super) const fn lends(&self) -> bool {
        self.lends
    }
}
