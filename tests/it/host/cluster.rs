//! A host on a server whose adapter reaches other servers, as in a cluster.

use std::sync::{Arc, Mutex};

use patchcord::{Options, script::Memory, socketioxide::adapter::Emitter};
use socketioxide_core::{
    adapter::{
        BroadcastFlags, BroadcastOptions, CoreAdapter, CoreLocalAdapter, DefinedAdapter,
        SocketEmitter, Spawnable, errors::BroadcastError,
    },
    packet::Packet,
};

use crate::support::application::Program;

/// Servers of a cluster, all of them in this process.
type Cluster = Arc<Mutex<Vec<Arc<Shared>>>>;

/// Adapter whose broadcasts take a while to reach the other servers.
struct Shared(CoreLocalAdapter<Emitter>);

struct Clustered {
    adapter: Arc<Shared>,
    cluster: Cluster,
}

struct Init(Box<dyn FnOnce() + Send>);

impl Spawnable for Init {
    fn spawn(self) {
        (self.0)();
    }
}

impl CoreAdapter<Emitter> for Clustered {
    type Error = std::convert::Infallible;
    type State = Cluster;
    type AckStream = <Emitter as SocketEmitter>::AckStream;
    type InitRes = Init;

    fn new(cluster: &Cluster, local: CoreLocalAdapter<Emitter>) -> Self {
        let (adapter, cluster) = (Arc::new(Shared(local)), cluster.clone());
        Self { adapter, cluster }
    }

    fn init(self: Arc<Self>, on_success: impl FnOnce() + Send + 'static) -> Init {
        Init(Box::new(move || {
            self.cluster.lock().unwrap().push(self.adapter.clone());
            on_success();
        }))
    }

    async fn broadcast(
        &self,
        packet: Packet,
        opts: BroadcastOptions,
    ) -> Result<(), BroadcastError> {
        tokio::task::yield_now().await;
        let all = self.cluster.lock().unwrap().clone();
        let (path, is_local) = (
            self.get_local().path(),
            opts.has_flag(BroadcastFlags::Local),
        );
        for other in all.iter().filter(|other| other.0.path() == path) {
            if !is_local || Arc::ptr_eq(other, &self.adapter) {
                other.0.broadcast(packet.clone(), opts.clone())?;
            }
        }
        Ok(())
    }

    async fn broadcast_with_ack(
        &self,
        packet: Packet,
        opts: BroadcastOptions,
        timeout: Option<std::time::Duration>,
    ) -> Result<Self::AckStream, Self::Error> {
        Ok(self.get_local().broadcast_with_ack(packet, opts, timeout).0)
    }

    fn get_local(&self) -> &CoreLocalAdapter<Emitter> {
        &self.adapter.0
    }
}

impl DefinedAdapter for Clustered {}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broadcasts_reach_the_clients_of_other_processes_in_order() {
    let script = r#"fn on_connection(socket) {
        socket.join("room");
        socket.on("go", || {
            for i in 0..100 {
                io.to("room").emit("n", 2 * i);
                socket.emit("n", 2 * i + 1);
            }
            io.local.emit("here", socket.rooms.len(), io.rooms.len());
            socket.leave_all();
            io.emit("end");
        });
    }"#;
    let cluster = Cluster::default();
    let one = || async {
        let scripts = Memory::from([("main.rhai", script)]);
        let server = Options::default().socket_io();
        let server = server.with_adapter::<Clustered>(cluster.clone());
        Program::on(server, |builder| builder.loader(scripts)).await
    };
    let (here, there) = (one().await, one().await);
    let (mut ada, mut bob) = (here.client().await, there.client().await);
    ada.connect("").await;
    bob.connect("").await;
    ada.send("42[\"go\"]").await;
    for n in 0..200 {
        assert_eq!(ada.next().await.unwrap(), format!("42[\"n\",{n}]"));
    }
    assert_eq!(ada.next().await.unwrap(), "42[\"here\",2,2]");
    assert_eq!(ada.next().await.unwrap(), "42[\"end\"]");
    for n in 0..100 {
        assert_eq!(bob.next().await.unwrap(), format!("42[\"n\",{}]", 2 * n));
    }
    assert_eq!(bob.next().await.unwrap(), "42[\"end\"]");
}
