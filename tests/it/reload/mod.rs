//! Live editing: what a save does, and what it leaves alone.

mod captures;
mod edits;
mod history;
mod laws;
mod leaks;
mod live;
mod load;
mod merge;
mod model;
mod name_conflicts;
mod preview;
mod rejected;
mod report;
mod rollback;
mod saves;
mod soak_edits;
mod staging;
mod steering;
mod variables;
mod watching;
