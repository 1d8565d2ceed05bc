//! State that the host holds for one namespace.

mod presence;
mod sends;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    ops::Deref,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use rhai::{Dynamic, Map};
use tokio::sync::{Notify, SetOnce};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{
    Adopted, ApiCall, Client, Clock, Connection, Data, Named, NamespaceLink, NamespacePattern,
    OutgoingEvent, Packing, SendError, Stage, Target, Work, presence::Presence,
};
use crate::{
    diagnostic::is_hidden,
    event::{ConnectRefusal, Counters, HostEvent},
    script::{Hook, Version},
};

/// Host services that connections need: running their work items, and announcing events.
pub trait Driver: fmt::Debug + Send + Sync {
    /// Runs one work item, in the connection's turn.
    fn run(&self, connection: &Arc<Connection>, work: Work);

    /// Schedules a call of [`Connection::work_off`], which runs soon and on its own stack.
    fn later(&self, connection: Arc<Connection>);

    /// Announces an event to all listeners.
    fn announce(&self, event: HostEvent);

    /// Returns the counters of the host.
    fn counters(&self) -> &Counters;

    /// Returns another namespace, if it is served.
    fn namespace(&self, path: &str) -> Option<Arc<Namespace>>;

    /// Records that an instance of a dynamic namespace no longer has any connection.
    fn unused(&self, path: &str);

    /// Returns `true` if a token is left in the bucket of a key, and takes it. The bucket has `times` tokens, and becomes
    /// full within `period`.
    fn allow(&self, key: &str, times: u32, period: Duration) -> bool;

    /// Disconnects the client with an id from every namespace.
    fn disconnect_client(&self, id: &str);

    /// Returns a token for which the steps of a test wait; `None` if the host is not in a test.
    fn test_hold(&self) -> Option<TaskTrackerToken>;

    /// Returns the clock by which schedules run.
    fn clock(&self) -> &Clock;

    /// Returns the shared data of a namespace.
    fn data(&self, path: &Arc<str>) -> Arc<Data>;

    /// Reads the shared data of a namespace from the store. It blocks.
    fn restore(&self, namespace: &Arc<Namespace>);

    /// Does the same on another thread, and then calls [`Namespace::load`].
    fn restore_and_load(&self, namespace: Arc<Namespace>, done: Option<mpsc::Sender<Adopted>>);

    /// Returns the time for which a key stays present after its last socket has disconnected.
    fn presence_grace(&self) -> Duration;
}

/// Source that serves a namespace.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Serving {
    /// A version of a script serves the namespace.
    Version(Arc<Version>),
    /// The script of the namespace has never loaded.
    Broken,
    /// Nothing serves the namespace any more.
    Gone,
}

/// One namespace: its script, its connections and its data.
#[derive(Debug)]
pub struct Namespace {
    path: Arc<str>,
    pattern: NamespacePattern,
    /// Switch that all instances of a dynamic namespace share, so that it covers all of them.
    serving: Arc<Switch>,
    /// `socket.params` of an instance.
    params: Map,
    /// Instances of a dynamic namespace, by their paths.
    instances: RwLock<HashMap<String, Arc<Self>>>,
    connections: RwLock<HashMap<Arc<str>, Arc<Connection>>>,
    /// Number of clients that are about to enter.
    entering: AtomicUsize,
    /// Number of connections that are kept for their clients.
    kept: AtomicUsize,
    /// Unit of the namespace itself. The unit also holds the namespace; [`Namespace::close_context`] breaks this cycle.
    own: Mutex<Option<Arc<Connection>>>,
    loaded: SetOnce<()>,
    /// Effects of the last version on what `on_load` has created.
    adopted: Mutex<Option<Box<Adopted>>>,
    empty: Notify,
    /// `true` once a connection has listened to outgoing events. From then on, broadcasts look for such listeners.
    outgoing: AtomicBool,
    data: Arc<Data>,
    /// Keys that sockets hold; empty until a script uses presence.
    presence: OnceLock<Box<Presence>>,
    link: OnceLock<Arc<dyn NamespaceLink>>,
    driver: Arc<dyn Driver>,
}

/// Namespace that a client is about to enter. Until then, it is not reclaimed.
#[derive(Debug)]
pub struct Reserved(Arc<Namespace>);

impl Deref for Reserved {
    type Target = Arc<Namespace>;

    fn deref(&self) -> &Arc<Namespace> {
        &self.0
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.0.entering.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Guard of a connection that is kept for its client. Until it is dropped, an instance is removed only to make room for
/// another one.
#[derive(Debug)]
pub struct Keeping(Arc<Namespace>);

impl Drop for Keeping {
    fn drop(&mut self) {
        self.0.kept.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Version that serves, and a number that changes whenever the version changes. A connection compares numbers to check
/// that it is up to date.
///
/// Invariant: while the version that serves may change without a new [`Slot`], the number is [`UNSETTLED`].
#[derive(Debug)]
struct Switch {
    slot: ArcSwap<Slot>,
    settled: AtomicU32,
}

/// Number of a [`Switch`] that may change at any time, and of a connection that has not compared numbers yet. No
/// [`Slot`] has this number.
pub(super) const UNSETTLED: u32 = 0;

impl Switch {
    fn new(now: Serving) -> Self {
        let slot = Slot {
            now,
            next: None,
            staged: None,
            number: 1,
        };
        Self {
            settled: AtomicU32::new(slot.number),
            slot: ArcSwap::from_pointee(slot),
        }
    }

    fn set(&self, next: Option<(Serving, Arc<AtomicBool>)>, staged: Option<Staged>) {
        let before = self.slot.load();
        let slot = Slot {
            now: before.serving().clone(),
            number: before.number.wrapping_add(1).max(1),
            next,
            staged,
        };
        let settled = match (&slot.next, &slot.staged) {
            (None, None) => slot.number,
            _ => UNSETTLED,
        };
        self.settled.store(UNSETTLED, Ordering::Release);
        self.slot.store(Arc::new(slot));
        self.settled.store(settled, Ordering::Release);
    }
}

/// Source that serves now, and the source that serves once the flag of its batch is set. Setting that flag switches
/// every namespace of the batch at once.
#[derive(Debug)]
struct Slot {
    number: u32,
    now: Serving,
    next: Option<(Serving, Arc<AtomicBool>)>,
    /// Version that serves selected clients first.
    staged: Option<Staged>,
}

#[derive(Debug, Clone)]
struct Staged {
    version: Arc<Version>,
    stage: Arc<Stage>,
}

impl Slot {
    /// Returns the source that serves all clients that are not selected by a stage.
    fn serving(&self) -> &Serving {
        match &self.next {
            Some((next, up)) if up.load(Ordering::Acquire) => next,
            _ => &self.now,
        }
    }

    /// Returns the staged version, if a client has it.
    fn staged_for(&self, client: Client) -> Option<&Arc<Version>> {
        let staged = self.staged.as_ref()?;
        let is_served = matches!(self.serving(), Serving::Version(_));
        (is_served && staged.stage.has(client)).then_some(&staged.version)
    }
}

impl Namespace {
    /// Creates a namespace without connections. A namespace whose path has parameters, such as `/room/{id}`, has
    /// instances instead of connections.
    pub fn new(path: &str, serving: Serving, driver: Arc<dyn Driver>) -> Self {
        let pattern = NamespacePattern::new(path);
        let serving = Arc::new(Switch::new(serving));
        Self::with(path, pattern, serving, Map::new(), driver)
    }

    fn with(
        path: &str,
        pattern: NamespacePattern,
        serving: Arc<Switch>,
        params: Map,
        driver: Arc<dyn Driver>,
    ) -> Self {
        let path: Arc<str> = path.into();
        Self {
            data: driver.data(&path),
            path,
            pattern,
            serving,
            params,
            instances: RwLock::default(),
            connections: RwLock::default(),
            entering: AtomicUsize::new(0),
            kept: AtomicUsize::new(0),
            own: Mutex::default(),
            loaded: SetOnce::new(),
            adopted: Mutex::default(),
            empty: Notify::new(),
            outgoing: AtomicBool::new(false),
            presence: OnceLock::new(),
            link: OnceLock::new(),
            driver,
        }
    }

    /// Returns `true` if the path has parameters.
    pub fn is_dynamic(&self) -> bool {
        self.pattern.is_dynamic()
    }

    /// Returns `socket.params`.
    pub const fn params(&self) -> &Map {
        &self.params
    }

    /// Returns the instance of a path, with `true` if it is new; `None` if the path does not match.
    ///
    /// # Errors
    /// Fails if the path has control characters, or if there are already `max` instances.
    pub fn instance(
        &self,
        path: &str,
        max: usize,
    ) -> Option<Result<(Arc<Self>, bool), ConnectRefusal>> {
        let params = self.pattern.parameters(path)?;
        if path.contains(is_hidden) {
            return Some(Err(ConnectRefusal::UnreadableName));
        }
        let mut instances = self.instances.write();
        if let Some(instance) = instances.get(path) {
            return Some(Ok((instance.clone(), false)));
        }
        if instances.len() >= max {
            return Some(Err(ConnectRefusal::NamespaceLimit));
        }
        let instance = Arc::new(Self::with(
            path,
            NamespacePattern::exactly(path),
            self.serving.clone(),
            params,
            self.driver.clone(),
        ));
        instances.insert(path.to_owned(), instance.clone());
        Some(Ok((instance, true)))
    }

    /// Removes the instance of a path, and returns it if there was one.
    pub fn remove_instance(&self, path: &str) -> Option<Arc<Self>> {
        self.instances.write().remove(path)
    }

    /// Returns the instance of a path, if there is one.
    pub fn existing_instance(&self, path: &str) -> Option<Arc<Self>> {
        self.instances.read().get(path).cloned()
    }

    /// Returns the existing instances.
    pub fn instances(&self) -> Vec<Arc<Self>> {
        self.instances.read().values().cloned().collect()
    }

    /// Reserves the namespace for a client that is about to enter.
    pub fn reserve(self: &Arc<Self>) -> Reserved {
        self.entering.fetch_add(1, Ordering::AcqRel);
        Reserved(self.clone())
    }

    /// Counts a connection that is kept for its client.
    pub fn keep(self: &Arc<Self>) -> Keeping {
        self.kept.fetch_add(1, Ordering::AcqRel);
        Keeping(self.clone())
    }

    /// Removes all instances that have no connection and no presence, and that no client is about to enter. Instances to
    /// which clients may come back are removed only if there are no others. Returns the paths.
    pub fn reclaim(&self) -> Vec<Arc<str>> {
        let unused = self.remove_unused(false);
        match unused.is_empty() {
            true => self.remove_unused(true),
            false => unused,
        }
    }

    fn remove_unused(&self, with_kept: bool) -> Vec<Arc<str>> {
        let mut unused = Vec::new();
        self.instances.write().retain(|_, instance| {
            let is_kept = !with_kept && instance.kept.load(Ordering::Acquire) > 0;
            let is_used = is_kept
                || instance.entering.load(Ordering::Acquire) > 0
                || !instance.is_empty()
                || !instance.is_without_presence();
            if !is_used {
                unused.push(instance.clone());
            }
            is_used
        });
        unused.iter().for_each(|instance| instance.close_context());
        unused
            .iter()
            .map(|instance| instance.path.clone())
            .collect()
    }

    /// Removes an instance, unless it has a connection, or a key that is still present. Returns `false` if it has one.
    pub fn forget(&self, path: &str) -> bool {
        let mut instances = self.instances.write();
        let empty = instances.get(path).is_some_and(|one| {
            let is_kept = one.kept.load(Ordering::Acquire) > 0;
            one.is_empty() && !is_kept && one.is_without_presence()
        });
        let forgotten = match empty {
            true => instances.remove(path),
            false => None,
        };
        drop(instances);
        forgotten
            .inspect(|instance| instance.close_context())
            .is_some()
    }

    /// Returns the number of connections of the namespace, without those of its instances.
    pub fn len(&self) -> usize {
        self.connections.read().len()
    }

    /// Returns `true` if the namespace has no connection.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the name of the namespace, as clients know it.
    pub const fn path(&self) -> &Arc<str> {
        &self.path
    }

    /// Returns `io.data`.
    pub const fn data(&self) -> &Arc<Data> {
        &self.data
    }

    /// Reads `io.data` from the store, unless it is in memory already. It blocks.
    pub fn restore(self: &Arc<Self>) {
        if !self.data.is_ready() {
            self.driver.restore(self);
        }
    }

    /// Returns the host.
    pub fn driver(&self) -> &dyn Driver {
        &*self.driver
    }

    /// Returns the link to all sockets; `None` until the namespace is connected to a server.
    pub fn link(&self) -> Option<&dyn NamespaceLink> {
        self.link.get().map(|link| &**link)
    }

    /// Connects the namespace to a server, once.
    pub fn set_link(&self, link: Arc<dyn NamespaceLink>) {
        // A namespace is registered with only one server, so a second link cannot be a different one.
        let _ = self.link.set(link);
    }

    /// Returns the source that serves all clients, except those that have a staged version.
    pub fn serving(&self) -> Serving {
        self.serving.slot.load().serving().clone()
    }

    /// Returns `true` if `version` serves.
    pub fn serves(&self, version: &Arc<Version>) -> bool {
        let slot = self.serving.slot.load();
        matches!(slot.serving(), Serving::Version(current) if Arc::ptr_eq(current, version))
    }

    /// Returns the version that serves.
    pub fn version(&self) -> Option<Arc<Version>> {
        match self.serving() {
            Serving::Version(version) => Some(version),
            _ => None,
        }
    }

    /// Returns `true` if `version` serves a client.
    pub fn serves_to(&self, client: Client, version: &Arc<Version>) -> bool {
        let slot = self.serving.slot.load();
        match (slot.staged_for(client), slot.serving()) {
            (Some(staged), _) => Arc::ptr_eq(staged, version),
            (None, Serving::Version(current)) => Arc::ptr_eq(current, version),
            _ => false,
        }
    }

    /// Returns the version that serves a client.
    pub fn version_for(&self, client: Client) -> Option<Arc<Version>> {
        let slot = self.serving.slot.load();
        match (slot.staged_for(client), slot.serving()) {
            (Some(version), _) | (None, Serving::Version(version)) => Some(version.clone()),
            _ => None,
        }
    }

    /// Returns the number of the switch. As long as the number stays the same, so does the version that serves each
    /// client. The number is [`UNSETTLED`] if that version may change at any time.
    pub(super) fn settled(&self) -> u32 {
        self.serving.settled.load(Ordering::Acquire)
    }

    /// Returns `true` if a client has a staged version.
    pub fn is_staged_for(&self, client: Client) -> bool {
        self.serving.slot.load().staged_for(client).is_some()
    }

    /// Makes `next` serve as soon as `up` is set.
    pub fn prepare(&self, next: Serving, up: Arc<AtomicBool>) {
        self.serving.set(Some((next, up)), self.staged());
    }

    /// Discards the prepared switch after it has taken place.
    pub fn settle(&self) {
        self.serving.set(None, self.staged());
    }

    /// Makes `version` serve the clients of a stage.
    pub fn stage(&self, version: Arc<Version>, stage: Arc<Stage>) {
        self.serving.set(None, Some(Staged { version, stage }));
    }

    /// Discards the staged version.
    pub fn unstage(&self) {
        self.serving.set(None, None);
    }

    fn staged(&self) -> Option<Staged> {
        self.serving.slot.load().staged.clone()
    }

    /// Adds a connection.
    pub fn enter(&self, connection: Arc<Connection>) {
        let mut connections = self.connections.write();
        connections.insert(connection.id().clone(), connection);
    }

    /// Removes a connection, and the keys of its presence. A different connection that has the same id is kept.
    pub fn leave(self: &Arc<Self>, connection: &Connection) {
        let mut connections = self.connections.write();
        if connections
            .get(connection.id())
            .is_some_and(|other| std::ptr::eq(&**other, connection))
        {
            connections.remove(connection.id());
            if connections.len() < connections.capacity() / 8 {
                let few = 2 * connections.len();
                connections.shrink_to(few);
            }
        }
        let is_empty = connections.is_empty();
        drop(connections);
        if is_empty {
            self.empty.notify_waiters();
            if !self.params.is_empty() {
                self.driver.unused(&self.path);
            }
        }
        // Hooks that run because of this no longer find the connection.
        self.end_presence_of(connection);
    }

    /// Schedules `on_load` of the version that serves, if it has this hook. If a store has the data of the namespace,
    /// the data is read first. `done` is dropped when the call is over.
    pub fn load(self: &Arc<Self>, done: Option<mpsc::Sender<Adopted>>) {
        if !self.data.is_ready() {
            return self.driver.restore_and_load(self.clone(), done);
        }
        let wanted = self
            .version()
            .is_some_and(|version| version.has(Hook::Load));
        let own = match wanted {
            true => Some(self.context_or_init()),
            false => self.own.lock().clone(),
        };
        match own {
            Some(own) => drop(own.post(Work::Load(done))),
            None => self.loaded(),
        }
    }

    fn context_or_init(self: &Arc<Self>) -> Arc<Connection> {
        let mut own = self.own.lock();
        own.get_or_insert_with(|| Connection::for_namespace(self.clone()))
            .clone()
    }

    /// Schedules a call of `on_api`, in the unit of the namespace.
    pub fn ask(self: &Arc<Self>, call: ApiCall) {
        self.context_or_init()
            .post_elsewhere(Work::Api(Box::new(call)));
    }

    /// Stops the timers of the unit, before it is packed.
    pub fn stop_unit(&self) {
        let own = self.own.lock().clone();
        own.iter().for_each(|own| own.stop_timers());
    }

    /// Returns the registrations of the unit as plain data for the next process; `()` if there are none.
    pub fn pack_unit(&self, packing: &mut Packing<'_>) -> Dynamic {
        let own = self.own.lock().clone();
        own.map_or(Dynamic::UNIT, |own| own.pack_registered(packing))
    }

    /// Stores the effects of a version on what `on_load` has created, until the reload asks for them.
    pub fn note_adopted(&self, adopted: Adopted) {
        *self.adopted.lock() = Some(Box::new(adopted));
    }

    /// Removes and returns the effects of a version on what `on_load` has created.
    pub fn take_adopted(&self) -> Option<Adopted> {
        self.adopted.lock().take().map(|adopted| *adopted)
    }

    /// Ends the unit of the namespace, with its timers, its waiting closures, the presence of sockets that have left, and
    /// the connections that are kept for their clients.
    pub fn close_context(&self) {
        if let Some(presence) = self.presence.get() {
            presence.reset(false);
        }
        self.link().into_iter().for_each(NamespaceLink::end_kept);
        let own = self.own.lock().take();
        if let Some(own) = own {
            own.close();
            own.leave();
        }
    }

    /// Records that `on_load` has run for the first time, or that there is none.
    pub fn loaded(&self) {
        // An error only means that this was already recorded.
        let _ = self.loaded.set(());
    }

    /// Waits until `on_load` has run for the first time.
    pub async fn ready(&self) {
        self.loaded.wait().await;
    }

    /// Waits until the namespace has no connection.
    pub async fn emptied(&self) {
        loop {
            let emptied = self.empty.notified();
            if self.connections.read().is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Returns the connection with an id.
    pub fn connection(&self, id: &str) -> Option<Arc<Connection>> {
        self.connections.read().get(id).cloned()
    }

    /// Returns the connections with an id, in this namespace and in its instances.
    pub fn sockets_of(&self, id: &str) -> Vec<Arc<Connection>> {
        let instances = self.instances.read();
        let instances = instances.values().filter_map(|one| one.connection(id));
        self.connection(id).into_iter().chain(instances).collect()
    }

    /// Returns the connections of this process that a target selects.
    pub fn select(&self, target: &Target) -> Vec<Arc<Connection>> {
        let ids = self.link().map(|link| link.ids(&self.named(target)));
        let ids = ids.unwrap_or_default();
        ids.iter().filter_map(|id| self.connection(id)).collect()
    }

    /// Finds the rooms of a target that are named by socket ids.
    fn named<'a>(&self, target: &'a Target) -> Named<'a> {
        let is_id = |room: &&str| {
            let connection = self.connection(room);
            connection.is_some_and(|connection| connection.is_in_own_room())
        };
        let ids = |rooms: &'a [String]| rooms.iter().map(|room| &**room).filter(is_id).collect();
        Named {
            target,
            ids: ids(&target.rooms),
            except: ids(&target.except),
        }
    }

    /// Returns the non-empty rooms of this process: first those named by socket ids, in the order of connecting, then
    /// the others, in the order of the link.
    pub fn rooms(&self) -> Vec<String> {
        let mut sockets = self.connections();
        sockets.retain(|one| one.is_in_own_room());
        sockets.sort_by_key(|one| one.entered());
        let mut rooms: Vec<_> = sockets.iter().map(|one| one.id().to_string()).collect();
        let ids: HashSet<_> = sockets.iter().map(|one| &**one.id()).collect();
        let others = self.link().map(|link| link.rooms()).unwrap_or_default();
        rooms.extend(others.into_iter().filter(|room| !ids.contains(&**room)));
        rooms
    }

    /// Sends an event to every socket that a target selects. A client that cannot accept a volatile event now never
    /// receives it.
    ///
    /// # Errors
    /// Fails if an argument cannot be sent, or if some clients cannot accept the event. In the second case, all others
    /// have received it.
    pub fn emit(
        &self,
        target: &Target,
        volatile: bool,
        event: &OutgoingEvent<'_>,
    ) -> Result<(), SendError> {
        if volatile {
            return self.emit_to_each(&self.select(target), event);
        }
        let Some(link) = self.link() else {
            return Ok(());
        };
        if self.outgoing.load(Ordering::Relaxed) {
            self.select(target)
                .iter()
                .try_for_each(|socket| socket.tell(event))?;
        }
        link.emit(&self.named(target), event.encoded()?)
    }

    /// Sends an event to each socket whose send queue is empty. If one client cannot accept the event, the others still
    /// receive it.
    fn emit_to_each(
        &self,
        sockets: &[Arc<Connection>],
        event: &OutgoingEvent<'_>,
    ) -> Result<(), SendError> {
        let mut full = 0;
        for socket in sockets {
            match socket.emit_volatile(event) {
                Err(SendError::Full(clients)) => full += clients,
                Ok(()) | Err(SendError::Left) => {}
                // An error about the arguments applies to all sockets.
                Err(error) => return Err(error),
            }
        }
        match full {
            0 => Ok(()),
            full => Err(SendError::Full(full)),
        }
    }

    /// Records that a connection listens to outgoing events.
    pub(super) fn hears_outgoing(&self) {
        self.outgoing.store(true, Ordering::Relaxed);
    }

    /// Returns all current connections, including those of instances.
    pub fn connections(&self) -> Vec<Arc<Connection>> {
        let mut connections: Vec<_> = self.connections.read().values().cloned().collect();
        for instance in self.instances() {
            connections.extend(instance.connections.read().values().cloned());
        }
        connections
    }
}
