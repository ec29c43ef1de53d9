//! Accepts connections, and says no to too many.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use nix::libc;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use crate::{
    connection::{self, Context, stopped},
    shared::Shared,
};

/// Binds a TCP listener. `[::]` serves IPv4 too.
///
/// # Errors
///
/// When the address cannot be bound, as when another program has it.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    let bind = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    bind().map_err(|error| BindError { address, error })
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {error}{}", hint(error))]
pub struct BindError {
    /// Where.
    pub address: SocketAddr,
    error: io::Error,
}

impl BindError {
    /// Whether this machine has no IPv6 (or no IPv4) at all.
    pub fn is_family_missing(&self) -> bool {
        matches!(self.error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
    }

    /// What kind of error it is.
    pub fn kind(&self) -> io::ErrorKind {
        self.error.kind()
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "\n  another program has this port; choose another with --listen :8555"
        }
        io::ErrorKind::PermissionDenied => {
            "\n  ports below 1024 need root; --listen :8554 does not"
        }
        io::ErrorKind::AddrNotAvailable => {
            "\n  this machine has no such address; --listen :8554 takes them all"
        }
        _ => "",
    }
}

/// Accepts connections until the server stops, then waits for them to say goodbye.
pub async fn run(listener: TcpListener, shared: Arc<Shared>, mut shutdown: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut failures = 0u32;
    loop {
        let accepted = tokio::select! {
            () = stopped(&mut shutdown) => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                failures = 0;
                let serve = serve(stream, peer, Arc::clone(&shared), &shutdown);
                connections.spawn(serve);
            }
            Err(error) if is_about_one_connection(&error) => debug!(%error, "accept"),
            Err(error) => {
                // Out of descriptors or memory, as a rule: those who are here are served on, and
                // those who wait are taken in when somebody leaves.
                failures = failures.saturating_add(1);
                // Told at 1, 2, 4, 8 …: this may go on for long.
                if failures.is_power_of_two() {
                    warn!(%error, failures, "cannot accept connections; trying again");
                }
                tokio::select! {
                    () = stopped(&mut shutdown) => break,
                    () = sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
    shutdown: &watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send + 'static {
    let peer = canonical(peer);
    let local = stream.local_addr().map_or(peer, canonical);
    let admission = shared.census.admit(peer.ip(), !shared.gate.is_open(), &shared.limits);
    let shutdown = shutdown.clone();
    async move {
        match admission {
            Ok((_resident, stranger)) => {
                prepare(&stream, shared.limits.stall_time + KERNEL_GRACE);
                let id = shared.next_connection();
                let context = Context { shared, id, peer, local, shutdown, stranger };
                connection::serve(stream, context).await;
            }
            Err((full, refused)) => {
                // Told at 1, 2, 4, 8 …: a flood of connections is not to be a flood of lines.
                if refused.is_power_of_two() {
                    warn!(%peer, reason = %full, refused, "connection refused");
                }
                let answer = format!("RTSP/1.0 503 Service Unavailable: {full}\r\n\r\n");
                let _ = timeout(REFUSAL_TIME, async {
                    stream.write_all(answer.as_bytes()).await?;
                    stream.shutdown().await
                })
                .await;
            }
        }
    }
}

/// Socket options of a connection. None is needed for it to work.
fn prepare(stream: &TcpStream, unacknowledged: Duration) {
    // Without it small replies wait for the client's delayed acknowledgement, some 40 ms.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "TCP_NODELAY");
    }
    // A client that has stopped reading, or vanished, must not keep the kernel's memory after its
    // connection has been given up here.
    if let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(unacknowledged)) {
        debug!(%error, "TCP_USER_TIMEOUT");
    }
    // What the kernel has taken but not sent is a queue nobody can skip: keep it short.
    if let Err(error) = SockRef::from(stream).set_tcp_notsent_lowat(NOTSENT_LOWAT) {
        debug!(%error, "TCP_NOTSENT_LOWAT");
    }
}

/// Without IPv4-mapped IPv6. A link-local address keeps its scope: there is no way there without.
fn canonical(mut address: SocketAddr) -> SocketAddr {
    address.set_ip(address.ip().to_canonical());
    address
}

/// A client that hung up before it was accepted (accept(2)) says nothing about the next.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Connections the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;
/// Pause after an accept failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The kernel gives up on a client after the server has: so that the server says why.
const KERNEL_GRACE: Duration = Duration::from_secs(5);
const REFUSAL_TIME: Duration = Duration::from_secs(1);
/// Bytes not yet sent at which the kernel asks for more: a few packets' worth of a 4 Mbit/s stream.
const NOTSENT_LOWAT: u32 = 64 * 1024;

#[cfg(test)]
mod tests;
