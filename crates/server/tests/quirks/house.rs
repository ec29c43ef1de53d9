//! A server with its real sockets, in this process: what it knows of its sessions can be looked at.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use lenscast::{
    clock::SystemClock,
    config::{Config, Layer, Origin, UdpPorts, resolve},
    credentials::Access,
    entropy::Entropy,
    serve::{Server, Stopped},
    sessions::Link,
    shared::Shared,
};
use rtsp_proto::header::SessionId;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{interval, timeout},
};

/// A server that runs.
pub(crate) struct House {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Stopped>,
}

impl House {
    /// At any free port of `host`, with any free UDP ports, open to all. Nobody waits long for a
    /// picture, or for one to begin with.
    pub(crate) fn open(host: impl Into<IpAddr>) -> Self {
        let mut flags = Layer::default();
        flags.source("cam=test:?size=160x120&fps=60&gop=6", Origin::Flag("--source"));
        let config = Config {
            listen: vec![SocketAddr::new(host.into(), 0)],
            udp: UdpPorts::ANY,
            ..resolve(Layer::default(), Layer::default(), flags).unwrap()
        };
        let (clock, entropy) = (Arc::new(SystemClock), Entropy::from_system());
        let server = Server::start(&config, Access::Open, clock, entropy).unwrap();
        let (shared, address) = (server.shared().clone(), server.addresses().unwrap()[0]);
        let (stop, stopping) = oneshot::channel();
        let running = tokio::spawn(server.run(async {
            let _ = stopping.await;
        }));
        Self { address, shared, stop, running }
    }

    /// How many sessions there are.
    pub(crate) fn sessions(&self) -> usize {
        self.shared.sessions.lock().len()
    }

    /// The ports that a session's packets go to.
    pub(crate) fn destination(&self, session: SessionId) -> Option<(u16, u16)> {
        let mut table = self.shared.sessions.lock();
        match &table.any_session(session)?.link {
            Link::Udp(link) => Some((link.rtp.peer().port(), link.rtcp.peer().port())),
            _ => None,
        }
    }

    /// The name in the newest report of a session.
    pub(crate) fn reporter(&self, session: SessionId) -> Option<u32> {
        let mut table = self.shared.sessions.lock();
        table.any_session(session)?.report.map(|report| report.reporter.0)
    }

    /// Waits until `is_so`; `what` that is, for the message.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let looking = async {
            let mut looks = interval(LOOK);
            while !is_so(self) {
                looks.tick().await;
            }
        };
        timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("not so: {what}"));
    }

    /// Stops the server, which has to end as it should: with clients still there, after leaving them
    /// time for a goodbye.
    pub(crate) async fn close(self) {
        self.stop.send(()).unwrap();
        let stopped = timeout(PATIENCE, self.running).await.expect("it stops");
        assert!(matches!(stopped.unwrap(), Stopped::Asked));
    }
}

/// Far longer than anything here takes, on however busy a machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);
