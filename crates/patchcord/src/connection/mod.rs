//! State that the host holds for one live socket, or for one namespace. This module depends neither on the script API
//! nor on socketioxide.
//!
//! A [`Connection`] is a unit of concurrency: its script calls never overlap and keep their order, and no call ever
//! runs on the stack of another call. In: [`Work`] from the wire and from timers. Out: the actions of a [`Driver`] for
//! each work item, one after the other, and what scripts send through a [`Link`].
//!
//! An edit reaches a connection as an [`Adoption`]: its listeners, timers and acks are swapped, and if `on_connection`
//! itself has changed, the results of its drafts are merged (`registrations`, `merge`). The reads of drafts are
//! answered from the [`Tape`], which has what `on_connection` read when the client connected.

mod acks;
mod adoption;
mod api_call;
mod clock;
#[allow(clippy::module_inception, reason = "it holds `Connection`")]
mod connection;
mod data;
mod draft;
mod handover;
mod journal;
mod link;
mod listeners;
mod mailbox;
mod merge;
mod namespace;
mod outgoing;
mod pairs;
mod pattern;
mod period;
mod phase;
mod presence;
mod registrations;
mod stage;
mod tape;
mod timers;
mod turn;

pub use acks::Answered;
pub use adoption::{Adoption, DraftResult, Drafts, Presented};
pub use api_call::{ApiCall, ApiFailure, ApiReply};
pub use clock::Clock;
pub use connection::{Connection, asking::AckTarget};
pub use data::{Changed, Data};
pub use draft::{Draft, Frozen};
pub use handover::{Packing, Unpacking, VersionTexts, text_of};
pub use journal::{Cut, DataChange, Flushed, Journal, Journaled, Saved};
pub use link::{Answer, Link, Named, NamespaceLink, NoAnswer, SendError, Target};
pub use listeners::{
    ANY, Changes, Gone, Listener, Listeners, Listening, MIDDLEWARE, OUTGOING, RegisteredBy,
    Silenced, is_internal,
};
pub use mailbox::{Call, Continuation, Event, HandshakeReply, Visit, Work};
pub use namespace::{Driver, Keeping, Namespace, Reserved, Serving};
pub use outgoing::OutgoingEvent;
pub use pattern::NamespacePattern;
pub use period::Period;
pub use phase::Phase;
pub use presence::{NotPresent, PresenceChange, PresenceLimits};
pub use registrations::{Adopted, PresenceEffect, Registered};
pub use stage::{Chosen, Client, Share, Stage};
pub use tape::{Before, Effect, KeyUse, Outside, Read, Tape};
pub use timers::{Pending, Timers};
pub use turn::Turn;
