//! What the host holds for one namespace.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use rhai::Map;
use tokio::sync::{Notify, SetOnce};

use super::{
    Connection, Data, Named, NamespaceLink, NamespacePattern, OutgoingEvent, SendError, Target,
    Work,
};
use crate::{
    event::{Counters, HostEvent},
    script::{Hook, Version},
};

/// The host as its connections see it: it does their work, and hears what there is to announce.
pub trait Driver: fmt::Debug + Send + Sync {
    /// Does one piece of work, in the connection's turn.
    fn run(&self, connection: &Arc<Connection>, work: Work);

    /// Has [`Connection::work_off`] called soon, on a stack of its own.
    fn later(&self, connection: Arc<Connection>);

    /// Tells everyone who listens.
    fn announce(&self, event: HostEvent);

    /// What it counts.
    fn counters(&self) -> &Counters;

    /// Another namespace, if it is served.
    fn namespace(&self, path: &str) -> Option<Arc<Namespace>>;

    /// Nobody is in an instance of a dynamic namespace any more.
    fn unused(&self, path: &str);

    /// Takes the client of an id out of every namespace.
    fn disconnect_client(&self, id: &str);
}

/// What answers for a namespace.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Serving {
    /// A version of a script.
    Version(Arc<Version>),
    /// A script that never loaded.
    Broken,
    /// Nothing any more.
    Gone,
}

/// One namespace: its script, its connections, its data.
#[derive(Debug)]
pub struct Namespace {
    path: Arc<str>,
    pattern: NamespacePattern,
    /// Shared by all instances of a dynamic namespace, so that one switch is one for all of them.
    serving: Arc<ArcSwap<Slot>>,
    /// `socket.params` of an instance.
    params: Map,
    /// The instances of a dynamic namespace, by their paths.
    instances: RwLock<HashMap<String, Arc<Self>>>,
    connections: RwLock<HashMap<Arc<str>, Arc<Connection>>>,
    /// Its own unit, which holds the namespace in turn: [`Namespace::end_own`] takes them apart.
    own: Mutex<Option<Arc<Connection>>>,
    loaded: SetOnce<()>,
    empty: Notify,
    /// Somebody has listened to what is sent, so broadcasts look for them.
    outgoing: AtomicBool,
    data: Arc<Data>,
    link: OnceLock<Arc<dyn NamespaceLink>>,
    driver: Arc<dyn Driver>,
}

/// What serves, and what serves as soon as the flag of its batch is up: one store of that flag switches every
/// namespace of the batch at once.
#[derive(Debug)]
struct Slot {
    now: Serving,
    next: Option<(Serving, Arc<AtomicBool>)>,
}

impl Namespace {
    /// A namespace without connections; one whose path has parameters, such as `/room/{id}`, has instances instead.
    pub fn new(path: &str, serving: Serving, driver: Arc<dyn Driver>) -> Self {
        let serving = ArcSwap::from_pointee(Slot {
            now: serving,
            next: None,
        });
        Self::with(path, Arc::new(serving), Map::new(), driver)
    }

    fn with(path: &str, serving: Arc<ArcSwap<Slot>>, params: Map, driver: Arc<dyn Driver>) -> Self {
        Self {
            path: path.into(),
            pattern: NamespacePattern::new(path),
            serving,
            params,
            instances: RwLock::default(),
            connections: RwLock::default(),
            own: Mutex::default(),
            loaded: SetOnce::new(),
            empty: Notify::new(),
            outgoing: AtomicBool::new(false),
            data: Arc::default(),
            link: OnceLock::new(),
            driver,
        }
    }

    /// Whether its path has parameters.
    pub fn is_dynamic(&self) -> bool {
        self.pattern.is_dynamic()
    }

    /// `socket.params`
    pub const fn params(&self) -> &Map {
        &self.params
    }

    /// The instance of a path, and whether it is new; `None` when the path is none of this namespace's, or there are
    /// `max` instances already.
    pub fn instance(&self, path: &str, max: usize) -> Option<(Arc<Self>, bool)> {
        let params = self.pattern.parameters(path)?;
        let mut instances = self.instances.write();
        if let Some(instance) = instances.get(path) {
            return Some((instance.clone(), false));
        }
        if instances.len() >= max {
            return None;
        }
        let instance = Arc::new(Self::with(
            path,
            self.serving.clone(),
            params,
            self.driver.clone(),
        ));
        instances.insert(path.to_owned(), instance.clone());
        Some((instance, true))
    }

    /// The instance of a path, if there is one.
    pub fn existing_instance(&self, path: &str) -> Option<Arc<Self>> {
        self.instances.read().get(path).cloned()
    }

    /// The instances there are.
    pub fn instances(&self) -> Vec<Arc<Self>> {
        self.instances.read().values().cloned().collect()
    }

    /// Forgets an instance that nobody is in; `false` when somebody is.
    pub fn forget(&self, path: &str) -> bool {
        let mut instances = self.instances.write();
        let empty = instances
            .get(path)
            .is_some_and(|instance| instance.is_empty());
        let forgotten = match empty {
            true => instances.remove(path),
            false => None,
        };
        drop(instances);
        forgotten.inspect(|instance| instance.end_own()).is_some()
    }

    /// How many connections it has, without those of its instances.
    pub fn len(&self) -> usize {
        self.connections.read().len()
    }

    /// Whether it has no connection.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its name, as clients know it.
    pub const fn path(&self) -> &Arc<str> {
        &self.path
    }

    /// `io.data`
    pub const fn data(&self) -> &Arc<Data> {
        &self.data
    }

    /// The host.
    pub fn driver(&self) -> &dyn Driver {
        &*self.driver
    }

    /// The way to all its sockets; `None` until it is connected to a server.
    pub fn link(&self) -> Option<&dyn NamespaceLink> {
        self.link.get().map(|link| &**link)
    }

    /// Connects it to a server, once.
    pub fn set_link(&self, link: Arc<dyn NamespaceLink>) {
        // A namespace is registered with one server only, so a second link cannot be another one.
        let _ = self.link.set(link);
    }

    /// What answers for it.
    pub fn serving(&self) -> Serving {
        let slot = self.serving.load();
        match &slot.next {
            Some((next, up)) if up.load(Ordering::Acquire) => next.clone(),
            _ => slot.now.clone(),
        }
    }

    /// Whether `version` is what serves.
    pub fn serves(&self, version: &Arc<Version>) -> bool {
        let slot = self.serving.load();
        let serving = match &slot.next {
            Some((next, up)) if up.load(Ordering::Acquire) => next,
            _ => &slot.now,
        };
        matches!(serving, Serving::Version(current) if Arc::ptr_eq(current, version))
    }

    /// The version that serves.
    pub fn version(&self) -> Option<Arc<Version>> {
        match self.serving() {
            Serving::Version(version) => Some(version),
            _ => None,
        }
    }

    /// Makes `next` serve as soon as `up` is set.
    pub fn prepare(&self, next: Serving, up: Arc<AtomicBool>) {
        let now = self.serving();
        self.serving.store(Arc::new(Slot {
            now,
            next: Some((next, up)),
        }));
    }

    /// Forgets the switch that was prepared, after it happened.
    pub fn settle(&self) {
        let now = self.serving();
        self.serving.store(Arc::new(Slot { now, next: None }));
    }

    /// Adds a connection.
    pub fn enter(&self, connection: Arc<Connection>) {
        let mut connections = self.connections.write();
        connections.insert(connection.id().clone(), connection);
    }

    /// Removes a connection; one that came back under the same id stays.
    pub fn leave(&self, connection: &Connection) {
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
    }

    /// Has `on_load` called of the version that serves, if it is to be. `done` is dropped when that is over.
    pub fn load(self: &Arc<Self>, done: Option<mpsc::Sender<()>>) {
        let wanted = self
            .version()
            .is_some_and(|version| version.has(Hook::Load));
        let own = match wanted {
            true => Some(self.own_or_new()),
            false => self.own.lock().clone(),
        };
        match own {
            Some(own) => drop(own.post(Work::Load(done))),
            None => self.loaded(),
        }
    }

    fn own_or_new(self: &Arc<Self>) -> Arc<Connection> {
        let mut own = self.own.lock();
        own.get_or_insert_with(|| Connection::of_namespace(self.clone()))
            .clone()
    }

    /// Ends the unit of the namespace: its timers, and closures that wait.
    pub fn end_own(&self) {
        let own = self.own.lock().take();
        if let Some(own) = own {
            own.close();
            own.leave();
        }
    }

    /// `on_load` has run for the first time, or there is none.
    pub fn loaded(&self) {
        // That it is over already is all that is wanted.
        let _ = self.loaded.set(());
    }

    /// Waits until `on_load` has run for the first time.
    pub async fn ready(&self) {
        self.loaded.wait().await;
    }

    /// Waits until it has no connection.
    pub async fn emptied(&self) {
        loop {
            let emptied = self.empty.notified();
            if self.connections.read().is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// The connection of an id.
    pub fn connection(&self, id: &str) -> Option<Arc<Connection>> {
        self.connections.read().get(id).cloned()
    }

    /// The connection of an id, and those in its instances.
    pub fn sockets_of(&self, id: &str) -> Vec<Arc<Connection>> {
        let instances = self.instances.read();
        let instances = instances.values().filter_map(|one| one.connection(id));
        self.connection(id).into_iter().chain(instances).collect()
    }

    /// The connections of this process that a target names.
    pub fn select(&self, target: &Target) -> Vec<Arc<Connection>> {
        let ids = self.link().map(|link| link.ids(&self.named(target)));
        let ids = ids.unwrap_or_default();
        ids.iter().filter_map(|id| self.connection(id)).collect()
    }

    /// Which of the rooms of a target are the own ones of sockets.
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

    /// The rooms of this process that somebody is in.
    pub fn rooms(&self) -> Vec<String> {
        let connections = self.connections();
        let own = connections.iter().filter(|one| one.is_in_own_room());
        let mut rooms: BTreeSet<_> = own.map(|one| one.id().to_string()).collect();
        rooms.extend(self.link().map(|link| link.rooms()).unwrap_or_default());
        rooms.into_iter().collect()
    }

    /// Sends an event to everyone a target names; a volatile one is skipped where a client cannot take it now.
    ///
    /// # Errors
    /// When an argument cannot be sent, or some clients cannot take it; the others have it then.
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

    /// Sends an event to each of these that nothing waits for; those who cannot take it keep nobody else from it.
    fn emit_to_each(
        &self,
        sockets: &[Arc<Connection>],
        event: &OutgoingEvent<'_>,
    ) -> Result<(), SendError> {
        let mut full = 0;
        for socket in sockets.iter().filter(|socket| !socket.is_stalled()) {
            match socket.emit(event) {
                Err(SendError::Full(clients)) => full += clients,
                Ok(()) | Err(SendError::Left) => {}
                // What it says of the arguments holds for all of them.
                Err(error) => return Err(error),
            }
        }
        match full {
            0 => Ok(()),
            full => Err(SendError::Full(full)),
        }
    }

    /// Somebody listens to what is sent.
    pub(super) fn hears_outgoing(&self) {
        self.outgoing.store(true, Ordering::Relaxed);
    }

    /// Every connection there is now, those of its instances included.
    pub fn connections(&self) -> Vec<Arc<Connection>> {
        let mut connections: Vec<_> = self.connections.read().values().cloned().collect();
        for instance in self.instances() {
            connections.extend(instance.connections.read().values().cloned());
        }
        connections
    }
}
