//! Sends to the sockets of other processes, on a `SocketIo` of the application whose adapter reaches them.
//!
//! The host sends to the sockets of this process at once, in the order of everything else, but an adapter may be slow.
//! So broadcasts to other processes wait in a queue of their own, one for each namespace, and a failed backend of the
//! adapter delays nothing in this process.

use std::{any::TypeId, sync::Arc};

use socketioxide::{
    SocketIo,
    adapter::{Adapter, LocalAdapter},
};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::{
    connection::{SendError, Target},
    event::HostEvent,
    host::announce::Announcer,
    value::{EncodedEvent, Written},
};

/// Maximum number of broadcasts of a namespace that wait for the adapter.
const MAX_WAITING: usize = 1024;

/// Queue of the broadcasts of one namespace to other processes.
#[derive(Debug)]
pub(in crate::host::socketio) struct Remote {
    here: Arc<str>,
    queue: Sender<Broadcast>,
}

#[derive(Debug)]
struct Broadcast {
    target: Target,
    event: EncodedEvent<'static>,
}

impl Remote {
    /// Starts the queue for the adapter of `io`; returns `None` if the adapter reaches no other process.
    pub(in crate::host::socketio) fn start<A: Adapter>(
        io: &SocketIo<A>,
        path: &Arc<str>,
        announcer: &Arc<Announcer>,
    ) -> Option<Self> {
        let here = room(io)?;
        let (queue, waiting) = channel(MAX_WAITING);
        let carrier = Carrier {
            io: io.clone(),
            path: path.clone(),
            here: here.clone(),
            announcer: announcer.clone(),
        };
        tokio::spawn(carrier.relay(waiting));
        Some(Self { here, queue })
    }

    /// Returns the room that contains all sockets of this process, and no others. It is hidden from scripts.
    pub(super) const fn here(&self) -> &Arc<str> {
        &self.here
    }

    /// Queues an event for the sockets of other processes that `target` selects.
    pub(super) fn emit(&self, target: &Target, event: &EncodedEvent<'_>) -> Result<(), SendError> {
        let broadcast = Broadcast {
            target: target.clone(),
            event: event.for_later(),
        };
        self.queue.try_send(broadcast).map_err(|_| {
            SendError::Adapter(format!("{MAX_WAITING} broadcasts wait for it already"))
        })
    }
}

/// Returns the room for [`Remote::here`] if the adapter of `io` reaches other processes.
pub(in crate::host::socketio) fn room<A: Adapter>(io: &SocketIo<A>) -> Option<Arc<str>> {
    let is_local = TypeId::of::<A>() == TypeId::of::<LocalAdapter>();
    (!is_local).then(|| format!("patchcord:{}", io.config().server_id).into())
}

/// Task that passes one broadcast after the other to the adapter.
struct Carrier<A: Adapter> {
    io: SocketIo<A>,
    path: Arc<str>,
    here: Arc<str>,
    announcer: Arc<Announcer>,
}

impl<A: Adapter> Carrier<A> {
    async fn relay(self, mut waiting: Receiver<Broadcast>) {
        while let Some(broadcast) = waiting.recv().await {
            let Broadcast { target, event } = broadcast;
            let Some(sockets) = self.io.of(&*self.path) else {
                continue;
            };
            let mut except = target.except;
            except.push(self.here.to_string());
            let sockets = sockets.to(target.rooms).except(except);
            if let Err(error) = sockets.emit(event.name(), &Written::event(&event)).await {
                self.announcer.announce(HostEvent::EventDropped {
                    namespace: self.path.clone(),
                    socket: None,
                    event: event.name().to_owned(),
                    reason: format!("the adapter failed: {error}"),
                    count: 1,
                });
            }
        }
    }
}
