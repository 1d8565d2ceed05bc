//! The program `patchcord`.

mod emit;
mod log;
mod manual;
mod new;
mod options;
mod program;
mod repl;
mod script_tests;
mod terminal;
