//! State that the host holds for one live socket, or for one namespace. Neither the script API nor socketioxide is
//! known here.
//!
//! A [`Connection`] is one unit of concurrency: its script calls never overlap and keep their order, and no call ever
//! runs on the stack of another. In: [`Work`] from the wire and from timers. Out: what a [`Driver`] does with each work
//! item, one after the other, and what scripts send through a [`Link`].

mod acks;
mod adoption;
#[allow(clippy::module_inception, reason = "it holds `Connection`")]
mod connection;
mod data;
mod draft;
mod link;
mod listeners;
mod mailbox;
mod merge;
mod namespace;
mod outgoing;
mod pattern;
mod phase;
mod registrations;
mod timers;
mod turn;

pub use acks::Answered;
pub use adoption::{Adoption, Made};
pub use connection::{Connection, asking::Asked};
pub use data::{Changed, Data};
pub use draft::{Draft, Frozen};
pub use link::{Answer, Link, Named, NamespaceLink, NoAnswer, SendError, Target};
pub use listeners::{ANY, Listener, Listeners, MIDDLEWARE, MadeBy, OUTGOING};
pub use mailbox::{Event, Rest, Verdict, Work};
pub use namespace::{Driver, Namespace, Reserved, Serving};
pub use outgoing::OutgoingEvent;
pub use pattern::NamespacePattern;
pub use phase::Phase;
pub use registrations::{Adopted, Registered};
pub use timers::Timers;
pub use turn::Turn;
