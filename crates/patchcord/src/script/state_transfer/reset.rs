//! Initial values of captured variables: compares them with the live values, and restores them.
//!
//! *Live* are the handlers of a connection; *initial* are those that `on_connection` of the same version registers in a
//! draft.

use std::collections::BTreeMap;

use rhai::Dynamic;

use super::{
    super::{
        captures::{address, write_cell},
        values::read,
    },
    CarriedState, Cells, Fresh, Handler, Outcome, Transfer, text,
};

/// Captured variable, with its live and its initial value.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Captured {
    /// Name of the variable.
    pub name: String,
    /// Live value.
    pub value: Dynamic,
    /// Initial value, if the variable was created by `on_connection`.
    pub initial: Option<Dynamic>,
}

impl Captured {
    /// Creates the entry for a named value.
    pub fn new(name: &str, value: Dynamic, initial: Option<Dynamic>) -> Self {
        Self {
            name: name.to_owned(),
            value,
            initial,
        }
    }
}

/// Returns the captured variables of `live` handlers, each once, in the order of their names.
pub fn compare<K: AsRef<str>>(live: &[(K, Handler)], initial: &[(K, Handler)]) -> Vec<Captured> {
    let [live, initial] = [live, initial].map(Cells::of);
    let mut found = BTreeMap::<usize, Captured>::new();
    for (path, variable) in &live.by_path {
        let (Some(place), Some(value)) = (address(&variable.cell), read(&variable.cell)) else {
            continue;
        };
        let wanted = (variable.name.as_str(), variable.owner);
        let paths = std::slice::from_ref(path);
        let first = || initial.find(paths, wanted, |_| true).and_then(read);
        let captured = found.entry(place).or_insert_with(|| Captured {
            name: variable.name.clone(),
            value,
            initial: None,
        });
        captured.initial = captured.initial.take().or_else(first);
    }
    let mut found: Vec<_> = found.into_values().collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Resets the variables of `live` handlers to their initial values, if `wants` accepts their names. Closures in these
/// values capture the live variables. A variable that contains a timer stays unchanged, and counts as kept.
pub fn reset<K: AsRef<str>>(
    initial: &[(K, Handler)],
    live: &[(K, Handler)],
    wants: &dyn Fn(&str) -> bool,
) -> CarriedState {
    let [base, fresh, cells] = [live, initial, live].map(Cells::of);
    let mut transfer = Transfer {
        base,
        live: cells,
        fresh: Fresh::new(&fresh),
        done: BTreeMap::new(),
        carried: CarriedState::default(),
        wants: Some(wants),
    };
    for (key, handler) in initial {
        let mut fn_ptr = handler.fn_ptr().clone();
        transfer.closure(handler, &mut fn_ptr, key.as_ref(), 0);
    }
    for (new, kept) in transfer.done.values() {
        if address(new) != address(kept) {
            write_cell(new, Dynamic::UNIT);
        }
    }
    transfer.carried
}

impl CarriedState {
    /// Records the reset of a value that is not a captured variable, if the value changes.
    pub fn data(&mut self, name: String, before: Option<&Dynamic>, after: Option<&Dynamic>) {
        let shown = |value: Option<&Dynamic>| value.map_or_else(|| "()".to_owned(), text);
        let is_same = match (before, after) {
            (Some(before), Some(after)) => crate::value::same(before, after),
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            let texts = (Some(shown(before)), Some(shown(after)));
            self.outcomes.insert((name, Outcome::Followed), texts);
        }
    }
}
