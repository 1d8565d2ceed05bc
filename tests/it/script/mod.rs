//! Scripts before they run: checks, messages, the language.

mod check;
mod function_values;
mod imports;
mod library;
mod messages;
mod reference;
mod standard_functions;
