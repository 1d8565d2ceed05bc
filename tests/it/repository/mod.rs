//! Rules of the code, and checks that documents and examples are true.

mod dependencies;
mod documents;
mod examples;
mod feed;
mod language;
mod layers;
