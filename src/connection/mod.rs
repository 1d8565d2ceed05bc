//! What the host holds for one live socket, or for one namespace: no script words, no Socket.IO crate.
//!
//! A [`Connection`] is one unit of concurrency: its script calls never overlap and keep their order, and no call
//! ever runs on the stack of another. In: [`Work`] from the wire and from timers. Out: what a
//! [`Driver`] does with each piece of work, one after the other, and what scripts send through a [`Link`].

mod asks;
mod connected;
mod counters;
mod data;
mod draft;
mod event;
mod link;
mod listeners;
mod mailbox;
mod merge;
mod namespace;
mod own;
pub mod reads;
mod registered;
mod sending;
mod timers;
mod turn;
mod working;

pub use asks::{Answer, Answered, Asked, NoAnswer};
pub use connected::{Connection, Phase};
pub use counters::{Counter, Counters};
pub use data::{Changed, Data};
pub use draft::{Adopted, Adoption, Draft, Frozen, Made};
pub use event::{HostEvent, Kept, Level, Reload, RollBackReason};
pub use link::{Link, Named, NamespaceLink, SendError, Target};
pub use listeners::{ANY, Listener, Listeners, MIDDLEWARE, MadeBy, OUTGOING};
pub use mailbox::{Event, Rest, Verdict, Work};
pub use namespace::{Driver, Namespace, Serving};
pub use registered::Registered;
pub use timers::Timers;
pub use turn::Turn;
