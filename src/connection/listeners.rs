//! The listeners of one socket, in the order of their registration.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use rhai::{FnPtr, ImmutableString, StaticVec};

use crate::script::{Handler, Version};

/// Who registered a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MadeBy {
    /// `on_connection`: an edit replaces it by the one that the new code registers in its place.
    Connection,
    /// A handler: it stays as it is, a named function follows the newest version.
    Handler,
}

/// Stands for any event where a listener names its event. No client can send it: the crate takes no such name.
pub const ANY: &str = "\u{0}any";
/// The same for any event that is sent to the client.
pub const OUTGOING: &str = "\u{0}outgoing";
/// The same for checks before the listeners of any event.
pub const MIDDLEWARE: &str = "\u{0}middleware";

/// A bit for each of these three, and none for an event that has a name.
pub(super) fn bit(event: &str) -> u8 {
    match event {
        ANY => 1,
        OUTGOING => 2,
        MIDDLEWARE => 4,
        _ => 0,
    }
}

/// One registration.
#[derive(Debug, Clone)]
pub struct Listener {
    event: ImmutableString,
    handler: Arc<Handler>,
    once: bool,
    made_by: MadeBy,
    /// Taken off, or fired for its only time. One of `on_connection` is remembered, so that an edit does not bring
    /// it back and its variables are not lost.
    gone: bool,
}

impl Listener {
    fn listens_to(&self, event: &str) -> bool {
        !self.gone && self.event == event
    }
}

/// Listeners in the order of their registration.
#[derive(Debug, Clone, Default)]
pub struct Listeners {
    list: Vec<Listener>,
}

impl Listeners {
    /// Adds a listener of an event.
    pub fn add(
        &mut self,
        event: ImmutableString,
        handler: Arc<Handler>,
        once: bool,
        made_by: MadeBy,
    ) {
        self.list.push(Listener {
            event,
            handler,
            once,
            made_by,
            gone: false,
        });
    }

    /// There will hardly be more.
    pub(super) fn shrink(&mut self) {
        self.list.shrink_to_fit();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The events that somebody listens to, each once.
    pub fn events(&self) -> BTreeSet<ImmutableString> {
        let listening = self.list.iter().filter(|listener| !listener.gone);
        let events = listening.map(|listener| listener.event.clone());
        events.filter(|event| !event.starts_with('\0')).collect()
    }

    /// The bits of those whose event has one.
    pub(super) fn bits(&self) -> u8 {
        let bits = self.list.iter().map(|listener| bit(&listener.event));
        bits.fold(0, |all, one| all | one)
    }

    /// Whether anybody listens to an event.
    pub fn has(&self, event: &str) -> bool {
        self.list.iter().any(|listener| listener.listens_to(event))
    }

    /// What is to be called for an event, in order; a `once` among them is taken off.
    pub fn fire(&mut self, event: &str) -> StaticVec<Arc<Handler>> {
        let mut handlers = StaticVec::new();
        let mut fired_once = false;
        for listener in self.list.iter_mut().filter(|l| l.listens_to(event)) {
            handlers.push(listener.handler.clone());
            listener.gone = listener.once;
            fired_once |= listener.once;
        }
        if fired_once {
            self.sweep();
        }
        handlers
    }

    /// Takes off the listeners of an event, or the last one of them that calls `function`.
    pub fn remove(&mut self, event: &str, function: Option<&FnPtr>) {
        let mut found = self.list.iter_mut().rev().filter(|l| l.listens_to(event));
        match function {
            None => found.for_each(|l| l.gone = true),
            Some(function) => {
                if let Some(listener) = found.find(|l| l.handler.is(function)) {
                    listener.gone = true;
                }
            }
        }
        self.sweep();
    }

    fn sweep(&mut self) {
        self.list
            .retain(|l| !l.gone || l.made_by == MadeBy::Connection);
    }

    /// Takes over the listeners of the new code, whose closures are `handlers` now: one that was taken off or has fired
    /// for its only time stays so. Gives how many keep the old code.
    pub(super) fn adopt(
        &mut self,
        new: &Self,
        handlers: Vec<Handler>,
        version: &Arc<Version>,
    ) -> usize {
        let (own, late) = std::mem::take(self).split();
        let gone: HashMap<_, _> = own.keys().zip(own.list.iter().map(|l| l.gone)).collect();
        self.list = new
            .list
            .iter()
            .zip(new.keys())
            .zip(handlers)
            .map(|((listener, key), handler)| Listener {
                handler: Arc::new(handler),
                gone: gone.get(&key).copied().unwrap_or_default(),
                made_by: MadeBy::Connection,
                ..listener.clone()
            })
            .collect();
        let mut keep_old = 0;
        for mut listener in late.list {
            let handler = (*listener.handler).clone().follow(version);
            keep_old += usize::from(!Arc::ptr_eq(handler.version(), version));
            listener.handler = Arc::new(handler);
            self.list.push(listener);
        }
        keep_old
    }

    /// Those of `on_connection`, and those that handlers made.
    fn split(self) -> (Self, Self) {
        let (own, late) = self
            .list
            .into_iter()
            .partition(|l| l.made_by == MadeBy::Connection);
        (Self { list: own }, Self { list: late })
    }

    /// What a listener is known by in every version: its event, and its place among that event's.
    fn keys(&self) -> impl Iterator<Item = String> {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        self.list.iter().map(move |listener| {
            let nth = seen.entry(listener.event.as_str()).or_default();
            *nth += 1;
            format!("{nth} {}", listener.event)
        })
    }

    /// Every closure there is.
    pub(super) fn handlers(&self) -> impl Iterator<Item = &Handler> {
        self.list.iter().map(|listener| &*listener.handler)
    }

    /// The closures of `on_connection`'s listeners, with what they are known by.
    pub(super) fn keyed(&self) -> impl Iterator<Item = (String, Handler)> {
        let (own, _) = self.clone().split();
        let keys: Vec<_> = own.keys().collect();
        keys.into_iter()
            .zip(own.list.into_iter().map(|l| (*l.handler).clone()))
    }
}
