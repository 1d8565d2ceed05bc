//! Owner of a captured variable: the closure or the function that creates the variable when it runs.

use super::{Declared, Places};
use crate::script::tokens;

/// Code that creates a variable when it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::script) enum Owner {
    /// Closure, by its row.
    Closure(usize),
    /// Named function, by its index.
    Function(usize),
    /// Top level of a file, by its index.
    TopLevel(usize),
}

impl Places {
    /// Returns the code that creates a variable that the closure of a row has captured.
    pub(in crate::script) fn owner(&self, row: usize, name: &str) -> Option<Owner> {
        let mut at = self.rows.get(row)?;
        while let Some(parent) = at.parent {
            let around = self.rows.get(parent)?;
            if !around.captured.iter().any(|captured| captured == name) {
                return Some(Owner::Closure(parent));
            }
            at = around;
        }
        Some(match at.function {
            Some(function) => Owner::Function(function),
            None => Owner::TopLevel(at.file_index),
        })
    }

    /// Returns `true` if each run of `inner` belongs to one run of `outer`, or if both are the same code.
    pub(in crate::script) fn is_within(&self, inner: Owner, outer: Owner) -> bool {
        let mut at = Some(inner);
        while let Some(owner) = at.filter(|owner| *owner != outer) {
            at = match owner {
                Owner::Closure(row) => self.around(row),
                Owner::Function(_) | Owner::TopLevel(_) => None,
            };
        }
        at.is_some()
    }

    /// Returns the code that creates the closure of a row.
    fn around(&self, row: usize) -> Option<Owner> {
        let row = self.rows.get(row)?;
        Some(match (row.parent, row.function) {
            (Some(parent), _) => Owner::Closure(parent),
            (None, Some(function)) => Owner::Function(function),
            (None, None) => Owner::TopLevel(row.file_index),
        })
    }

    /// Returns `true` if the code that creates a variable declares its name exactly once, and not in a loop. Only such
    /// a variable is shared by all closures of a run.
    pub fn is_unique(&self, row: usize, name: &str) -> bool {
        let is_unique = || {
            let owner = self.owner(row, name)?;
            let file = match owner {
                Owner::Closure(row) => self.rows.get(row)?.file_index,
                Owner::Function(function) => self.functions.get(function)?.file_index,
                Owner::TopLevel(file) => file,
            };
            let name = tokens::name(name);
            let declared = self.files.get(file)?.declared.iter();
            let mut found = declared
                .filter(|declared| declared.name == name && self.declares(file, declared) == owner);
            let first = found.next()?;
            Some(!first.in_loop && found.next().is_none())
        };
        is_unique().unwrap_or(false)
    }

    /// Returns the code that declares a name.
    fn declares(&self, file: usize, declared: &Declared) -> Owner {
        let rows = self.rows.iter().enumerate().rev();
        let mut around =
            rows.filter(|(_, row)| row.file_index == file && row.range.contains(&declared.at));
        // The row of a closure comes after the row of the enclosing closure.
        if let Some((row, _)) = around.next() {
            return Owner::Closure(row);
        }
        let mut functions = self.functions.iter();
        let function = functions.position(|function| {
            function.file_index == file && function.range.contains(&declared.at)
        });
        function.map_or(Owner::TopLevel(file), Owner::Function)
    }
}
