//! Integration tests: scripts, and what clients see of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_debug_implementations,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod acks;
mod admin;
mod admission;
mod asks;
mod attach;
mod backlog;
mod call_time;
mod carry;
mod check;
mod closing;
mod cluster;
mod colliding;
mod control;
mod counters;
mod crowd;
mod data;
mod dependencies;
mod documents;
mod dynamic;
mod early;
mod edits;
mod embedder;
mod examples;
mod failures;
mod floods;
mod functions;
mod gate;
mod handshake;
mod hijack;
mod history;
mod hooks;
mod hosts;
mod imports;
mod inspect;
mod isolation;
mod language;
mod later;
mod laws;
mod layers;
mod leaks;
mod limits;
mod listening;
mod live;
mod load;
mod log;
mod manual;
mod memory;
mod merge;
mod messages;
mod model;
mod mutated;
mod namespaces;
mod new;
mod options;
mod origins;
mod preview;
mod program;
mod public;
mod queries;
mod reference;
mod refused_connects;
mod rejected;
mod repl;
mod report;
mod rollback;
mod rooms;
mod rules;
mod saves;
mod script_tests;
mod scripts;
mod soak_edits;
mod sockets;
mod staging;
mod steering;
mod streams;
mod surroundings;
mod tcp;
mod terminal;
mod timers;
mod upgrades;
mod values;
mod watching;
mod wire;
