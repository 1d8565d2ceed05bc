//! One version of a script: its code, and that of earlier versions whose closures are alive.

use std::{
    collections::BTreeSet,
    ops::Deref,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use rhai::{ImmutableString, ScriptFuncDef};

use super::{
    captures::definition,
    code::{Code, Runs},
    hook::Hook,
    places::{Owner, Row},
    program::Program,
    transition::{CallMap, Counterpart, Transition},
};

/// One version of a script. Its code never changes. The code of earlier versions is kept beside it while closures of
/// theirs are alive. The lists of earlier versions that those versions had are not kept, so that code is freed when
/// nothing uses it any more.
#[derive(Debug)]
pub struct Version {
    code: Arc<Code>,
    /// Code that calls of this version can reach, if closures of earlier versions are alive.
    program_with_earlier: ArcSwapOption<Program>,
    has_earlier: AtomicBool,
    /// Earlier versions whose closures are alive.
    earlier: Mutex<Vec<Arc<Code>>>,
    /// Transitions from the code of earlier versions to the code of this version.
    transitions: Mutex<Vec<(Weak<Code>, Arc<Transition>)>>,
}

impl Deref for Version {
    type Target = Code;

    fn deref(&self) -> &Code {
        &self.code
    }
}

/// Code that calls of a version can reach.
pub(super) enum Reachable<'a> {
    Own(&'a Program),
    WithEarlier(Arc<Program>),
}

impl Deref for Reachable<'_> {
    type Target = Program;

    fn deref(&self) -> &Program {
        match self {
            Self::Own(program) => program,
            Self::WithEarlier(program) => program,
        }
    }
}

impl From<Code> for Version {
    fn from(code: Code) -> Self {
        Self {
            code: code.into(),
            program_with_earlier: ArcSwapOption::empty(),
            has_earlier: AtomicBool::new(false),
            earlier: Mutex::default(),
            transitions: Mutex::default(),
        }
    }
}

impl Version {
    /// Returns the code of this version.
    pub(super) const fn own(&self) -> &Arc<Code> {
        &self.code
    }

    /// Returns the code that calls of this version can reach.
    pub(super) fn program(&self) -> Reachable<'_> {
        // Most versions have no code of earlier versions, so their calls should not pay for the lookup.
        match self.has_earlier.load(Ordering::Acquire) {
            false => Reachable::Own(self.code.program()),
            true => match self.program_with_earlier.load_full() {
                Some(program) => Reachable::WithEarlier(program),
                None => Reachable::Own(self.code.program()),
            },
        }
    }

    /// Returns the function with this name and at least `captured` parameters.
    pub(super) fn definition(&self, name: &str, captured: usize) -> Option<Arc<ScriptFuncDef>> {
        let program = self.program();
        let state = program.state(self.engine()).ok()?;
        definition(state, name, captured)
    }

    /// Returns the code and the row of a closure that is alive in this version: its own, or that of an earlier one.
    pub(super) fn origin(&self, closure: &str) -> Option<(Arc<Code>, usize)> {
        self.find(|code| code.places().row_of(closure))
    }

    /// Returns the code that defines a named function that is alive in this version. `name` is the name by which values
    /// refer to it.
    pub(super) fn origin_of_function(&self, name: &str) -> Option<Arc<Code>> {
        let found = self.find(|code| code.definition(name, 0));
        found.map(|(code, _)| code)
    }

    /// Searches this version's own code, and then that of earlier versions, the newest first.
    fn find<T>(&self, look: impl Fn(&Code) -> Option<T>) -> Option<(Arc<Code>, T)> {
        let look = |code: &Arc<Code>| Some((code.clone(), look(code)?));
        look(&self.code).or_else(|| self.earlier.lock().iter().rev().find_map(look))
    }

    /// Keeps the code of an earlier version callable in this version.
    pub(super) fn keep(&self, earlier: &Arc<Code>) {
        let mut all = self.earlier.lock();
        if all.iter().any(|known| Arc::ptr_eq(known, earlier)) {
            return;
        }
        let files = earlier.program().files().clone();
        let program = Arc::new(self.program().and(files));
        self.program_with_earlier.store(Some(program));
        self.has_earlier.store(true, Ordering::Release);
        all.push(earlier.clone());
    }

    /// Returns the transition from the code of an earlier version to the code of this version.
    pub(super) fn transition_from(&self, earlier: &Arc<Code>) -> Arc<Transition> {
        let mut transitions = self.transitions.lock();
        let known = transitions
            .iter()
            .find(|(of, _)| std::ptr::eq(of.as_ptr(), Arc::as_ptr(earlier)));
        if let Some((_, transition)) = known {
            return transition.clone();
        }
        transitions.retain(|(of, _)| of.strong_count() > 0);
        let define = |row: &Row| self.code.definition_of(row);
        let transition = Transition::between(earlier.places(), self.places(), &define);
        let transition = Arc::new(transition);
        transitions.push((Arc::downgrade(earlier), transition.clone()));
        transition
    }

    /// Returns row `to` of this version as the counterpart of a closure of an earlier version.
    pub(super) fn counterpart(
        &self,
        (code, row): (&Code, usize),
        to: usize,
    ) -> Option<Counterpart> {
        let from = code.places().row(row)?;
        let define = |row: &Row| self.code.definition_of(row);
        Counterpart::new(from, to, self.places(), &define)
    }

    /// Returns the code in this version that creates a variable that a closure has captured. The closure is alive in
    /// this version.
    pub(super) fn owner(&self, (code, row): (&Arc<Code>, usize), name: &str) -> Option<Owner> {
        let owner = code.places().owner(row, name)?;
        match Arc::ptr_eq(code, &self.code) {
            true => Some(owner),
            false => self.transition_from(code).owner(owner),
        }
    }

    /// Returns the mapping of the calls of this version's `on_connection` to those of an earlier version's.
    pub(crate) fn calls_from(&self, earlier: &Self) -> Arc<CallMap> {
        let hook = Hook::Connection;
        let compare = || CallMap::between(earlier.reach(hook), self.reach(hook));
        self.transition_from(&earlier.code).calls(compare)
    }

    /// Returns `true` if closures of this version may need variables of other closures once `new` serves.
    pub(super) fn lends_to(&self, new: &Self) -> bool {
        let mut alive = self.alive();
        alive.any(|code| new.transition_from(&code).lends())
    }

    /// Returns all code to which closures that are alive in this version can belong.
    fn alive(&self) -> impl Iterator<Item = Arc<Code>> + use<> {
        let earlier = self.earlier.lock().clone();
        earlier.into_iter().chain([self.code.clone()])
    }

    /// Returns `true` if closures that are alive in an earlier version need variables of a hook that they have not
    /// captured. A draft creates the variables that no other closure has.
    pub(crate) fn needs_variables(&self, earlier: &Self, hook: Hook) -> bool {
        earlier.alive().any(|code| {
            let transition = self.transition_from(&code);
            transition.lacking().any(|(row, name)| {
                self.runs(row, name, hook) != Runs::AnyTimes && !self.is_own_socket(row, name)
            })
        })
    }

    /// Returns the names that closures of an earlier version capture, but no closure of this version.
    pub(crate) fn dropped_since(&self, earlier: &Self) -> Arc<BTreeSet<ImmutableString>> {
        self.transition_from(&earlier.code).dropped().clone()
    }
}
