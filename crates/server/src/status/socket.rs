//! The local socket on which a server tells how it does: one JSON document for each line that asks.
//!
//! Nobody else may connect: the socket is this user's alone, and whoever connects is asked who they
//! are. A client that does not read, or asks for ever, costs no more than its place.

use std::{
    fs::{self, DirBuilder},
    io,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use nix::{
    sys::stat::{Mode, fchmod},
    unistd::geteuid,
};
use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Type};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::debug;

use super::{
    place::{self, ConnectError},
    snapshot::{About, Snapshot, VERSION},
};
use crate::shared::Shared;

/// What a client asks, one in a line.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// For what.
    pub get: Subject,
}

/// What can be asked for.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// The [`Snapshot`].
    Status,
}

/// The answer to what cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// [`VERSION`].
    pub version: u32,
    /// Why.
    pub error: String,
}

/// A bound socket; its file is removed when it is dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// None of the directories can be used.
    #[error("there is no place for the status socket{}", tried(.0))]
    Nowhere(Vec<(PathBuf, io::Error)>),
    /// Another process has the very name; they do not see each other, as in two containers.
    #[error("{} is the socket of another server, process {owner}", path.display())]
    InUse {
        /// Where.
        path: PathBuf,
        /// As this process sees it; 0 where it cannot.
        owner: i32,
    },
}

impl Socket {
    /// Binds in the first of `directories` that can be used. What servers that are gone have left
    /// there is removed. To be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// When none can be used, or another server of this user has the name.
    pub fn bind(directories: &[PathBuf]) -> Result<Self, BindError> {
        Self::bind_beside(directories, |user| user == geteuid().as_raw())
    }

    /// The same; users whom `is_own` does not accept have names of their own.
    fn bind_beside(
        directories: &[PathBuf],
        is_own: impl Fn(u32) -> bool,
    ) -> Result<Self, BindError> {
        let mut tried = Vec::new();
        for directory in directories {
            let path = place::socket_of(directory, std::process::id());
            match place::connect(&path, None, &is_own) {
                Ok((_, owner)) => return Err(BindError::InUse { path, owner }),
                Err(ConnectError::Silent) => return Err(BindError::InUse { path, owner: 0 }),
                Err(error @ ConnectError::Stranger(_)) => {
                    tried.push((directory.clone(), io::Error::other(error)));
                    continue;
                }
                Err(ConnectError::Io(_)) => {}
            }
            match prepare(directory).and_then(|()| listen(&path)) {
                Ok(listener) => return Ok(Self { listener, path }),
                Err(error) => tried.push((directory.clone(), error)),
            }
        }
        Err(BindError::Nowhere(tried))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Answers until it is dropped.
    pub async fn serve(self, shared: Arc<Shared>, about: Arc<About>) {
        let places = Arc::new(Semaphore::new(shared.limits.status_clients));
        let mut clients = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                Some(_) = clients.join_next() => continue,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    // One too many is closed.
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                    let (shared, about) = (Arc::clone(&shared), Arc::clone(&about));
                    clients.spawn(async move {
                        let _place = place;
                        let time = shared.limits.status_time;
                        let gather = || Snapshot::gather(&shared, &about);
                        if let Err(error) = converse(stream, time, gather).await {
                            debug!(%error, "somebody who asked for the status is gone");
                        }
                    });
                }
                Err(error) => {
                    debug!(%error, "cannot accept on the status socket; trying again");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Answers one client until it leaves, or takes longer than `time` to ask or to read.
async fn converse(
    mut stream: UnixStream,
    time: Duration,
    gather: impl Fn() -> Snapshot,
) -> io::Result<()> {
    let who = stream.peer_cred()?.uid();
    let (reader, mut writer) = stream.split();
    if who != 0 && who != geteuid().as_raw() {
        return answer(&mut writer, time, &refusal("you are another user")).await;
    }
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = (&mut reader).take(MOST_REQUEST);
        let ask = limited.read_until(b'\n', &mut line);
        if timeout(time, ask).await.map_err(|_| io::ErrorKind::TimedOut)?? == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            return answer(&mut writer, time, &refusal("the request is no line, or too long"))
                .await;
        }
        match serde_json::from_slice(&line) {
            Ok(Request { get: Subject::Status }) => {
                answer(&mut writer, time, &gather()).await?;
            }
            Err(error) => {
                let said = format!("not understood (ask {{\"get\":\"status\"}}): {error}");
                answer(&mut writer, time, &refusal(&said)).await?;
            }
        }
    }
}

async fn answer(
    writer: &mut (impl AsyncWriteExt + Unpin),
    time: Duration,
    document: &impl Serialize,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(document)?;
    line.push(b'\n');
    timeout(time, writer.write_all(&line)).await.map_err(|_| io::ErrorKind::TimedOut)?
}

fn refusal(error: &str) -> Refusal {
    Refusal { version: VERSION, error: error.to_owned() }
}

/// Makes the directory, if need be, and removes what servers that are gone have left in it.
fn prepare(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    for (pid, path) in place::sockets(directory)? {
        // One that has bound its socket and does not listen yet is not gone.
        let is_gone = pid == std::process::id() || !Path::new(&format!("/proc/{pid}")).exists();
        if is_gone && is_refused(&path) {
            debug!(path = %path.display(), "removing the socket of a server that is gone");
            // Another server may be doing the same.
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}

/// Listens, from the first moment for this user alone.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // The file gets the rights of the socket.
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    UnixListener::from_std(OwnedFd::from(socket).into())
}

fn is_refused(path: &Path) -> bool {
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    matches!(place::connect(path, None, |_| true), Err(ConnectError::Io(error)) if refused(&error))
}

fn tried(places: &[(PathBuf, io::Error)]) -> String {
    let each = |(path, error): &(PathBuf, io::Error)| format!("{}: {error}", path.display());
    match places {
        [] => String::new(),
        places => format!(" ({})", places.iter().map(each).collect::<Vec<_>>().join("; ")),
    }
}

/// Bytes of a line that asks; there is little to say.
const MOST_REQUEST: u64 = 1024;
const BACKLOG: i32 = 8;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
pub(crate) mod tests;
