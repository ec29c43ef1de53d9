//! Finds the servers of this machine, and asks them.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::{fs::MetadataExt, net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::unistd::geteuid;
use serde_json::Value;

use super::{
    place::{self, ConnectError},
    render::Plain,
    snapshot::{Snapshot, Stream, VERSION},
    socket::{Refusal, Request, Subject},
};

/// A connection to a server.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

/// Why nothing can be said of a server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("no lenscast is running as this user{}; `lenscast serve` starts one", places(looked))]
    None {
        /// Where none was found.
        looked: Vec<PathBuf>,
    },
    /// There is one, of somebody else.
    #[error("the lenscast in {} belongs to another user: ask as that user{}", .0.display(), or_root())]
    Denied(PathBuf),
    /// There are several, and none, or another, was named.
    #[error("{}\n{}", several(wanted), list(servers))]
    Several {
        /// The port or process that was named.
        wanted: Option<u32>,
        /// Their status, or why it is not known.
        servers: Vec<Result<Snapshot, Error>>,
    },
    /// It does not answer.
    #[error("the lenscast at {} does not answer: {error}", path.display())]
    Silent {
        /// Its socket.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// It answers that it does not.
    #[error("the lenscast at {} says: {}", path.display(), Plain(reason))]
    Refused {
        /// Its socket.
        path: PathBuf,
        /// What it says.
        reason: String,
    },
    /// It answers in another version, or in no sense at all.
    #[error("the lenscast at {} is of another version than this program: {}", path.display(), Plain(reason))]
    Foreign {
        /// Its socket.
        path: PathBuf,
        /// What is not understood.
        reason: String,
    },
}

impl Client {
    /// The server that listens on the port, or is the process, `wanted`; if none is named the one
    /// server of the first of `directories` that has any.
    ///
    /// # Errors
    ///
    /// When there is none, or it is not clear which.
    pub fn find(directories: &[PathBuf], wanted: Option<u32>) -> Result<Self, Error> {
        let own = geteuid().as_raw();
        let is_trusted = |user, directory_of| is_trusted(own, user, directory_of);
        Self::find_among(directories, wanted, PATIENCE, is_trusted)
    }

    /// The same with what it depends on: how long a server is waited for, and whether a user is
    /// trusted in a directory of another user, if that is known.
    fn find_among(
        directories: &[PathBuf],
        wanted: Option<u32>,
        patience: Duration,
        is_trusted: impl Fn(u32, Option<u32>) -> bool,
    ) -> Result<Self, Error> {
        let (mut servers, mut named, mut denied) = (Vec::new(), None, None);
        for (at, directory) in directories.iter().enumerate() {
            if directories[..at].contains(directory) {
                continue;
            }
            let mut living = Vec::new();
            for (pid, client) in Self::look_into(directory, patience, &is_trusted) {
                match client {
                    Err(error @ Error::Denied(_)) => denied = denied.or(Some(error)),
                    client => living.push((pid, client)),
                }
            }
            if wanted.is_none() && living.len() == 1 {
                return living.remove(0).1;
            }
            for (pid, client) in living {
                match client.and_then(|mut client| Ok((client.ask()?, client))) {
                    Ok((snapshot, client)) if is_meant(&snapshot, wanted) => return Ok(client),
                    Ok((snapshot, _)) => servers.push(Ok(snapshot)),
                    // Another may listen on a port of that number.
                    Err(error) if wanted == Some(pid) => named = Some(error),
                    Err(error) => servers.push(Err(error)),
                }
            }
            if wanted.is_none() && !servers.is_empty() {
                break;
            }
        }
        Err(match (named, servers.pop()) {
            (Some(error), _) => error,
            (None, None) => denied.unwrap_or(Error::None { looked: directories.to_vec() }),
            (None, Some(Err(error))) if servers.is_empty() => error,
            (None, Some(last)) => {
                servers.push(last);
                Error::Several { wanted, servers }
            }
        })
    }

    /// The servers of a directory, those that cannot be spoken to among them, by process.
    fn look_into(
        directory: &Path,
        patience: Duration,
        is_trusted: impl Fn(u32, Option<u32>) -> bool,
    ) -> Vec<(u32, Result<Self, Error>)> {
        let is_denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        let denied = || Error::Denied(directory.to_owned());
        let sockets = match place::sockets(directory) {
            Ok(sockets) => sockets,
            // One that cannot be read is somebody else's.
            Err(error) if is_denied(&error) => return vec![(0, Err(denied()))],
            Err(_) => return Vec::new(),
        };
        let directory_of = fs::metadata(directory).ok().map(|directory| directory.uid());
        let connect = |(pid, path): (u32, PathBuf)| {
            let is_trusted = |user| is_trusted(user, directory_of);
            let client = match place::connect(&path, Some(patience), is_trusted) {
                Ok((stream, _)) => Ok(Self { stream: BufReader::new(stream), path }),
                Err(error @ ConnectError::Silent) => {
                    Err(Error::Silent { path, error: io::Error::other(error) })
                }
                Err(ConnectError::Stranger(_)) => Err(denied()),
                Err(ConnectError::Io(error)) if is_denied(&error) => Err(denied()),
                // What a server that is gone has left.
                Err(ConnectError::Io(_)) => return None,
            };
            Some((pid, client))
        };
        sockets.into_iter().filter_map(connect).collect()
    }

    /// How the server does now.
    ///
    /// # Errors
    ///
    /// When it does not answer, or not in this version.
    pub fn ask(&mut self) -> Result<Snapshot, Error> {
        let document = self.ask_for_document()?;
        serde_json::from_value(document).map_err(|error| self.foreign(error.to_string()))
    }

    /// The document as it came, be there more in it than is known here.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub fn ask_for_document(&mut self) -> Result<Value, Error> {
        let line = self.exchange().map_err(|error| Error::Silent {
            path: self.path.clone(),
            // So a socket says that its time is over.
            error: match error.kind() {
                io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
                _ => error,
            },
        })?;
        let document: Value =
            serde_json::from_slice(&line).map_err(|error| self.foreign(error.to_string()))?;
        if let Ok(Refusal { error, .. }) = serde_json::from_value(document.clone()) {
            return Err(Error::Refused { path: self.path.clone(), reason: error });
        }
        match document.get("version").and_then(Value::as_u64) {
            Some(version) if version == u64::from(VERSION) => Ok(document),
            Some(version) => Err(self.foreign(format!("its status is of version {version}"))),
            None => Err(self.foreign("its status has no version".to_owned())),
        }
    }

    fn exchange(&mut self) -> io::Result<Vec<u8>> {
        let mut request = serde_json::to_vec(&Request { get: Subject::Status })?;
        request.push(b'\n');
        self.stream.get_mut().write_all(&request)?;
        let mut line = Vec::new();
        self.stream.by_ref().take(MOST_ANSWER).read_until(b'\n', &mut line)?;
        match line.last() {
            Some(b'\n') => Ok(line),
            _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has hung up")),
        }
    }

    fn foreign(&self, reason: String) -> Error {
        Error::Foreign { path: self.path.clone(), reason }
    }
}

/// Whether `user` may speak for the servers of a directory, which belongs to `directory_of`, to
/// `own`: who is told something by a stranger believes it is their server that says so. Root asks
/// whoever's directory it is, such as a service's.
fn is_trusted(own: u32, user: u32, directory_of: Option<u32>) -> bool {
    user == own || user == ROOT || own == ROOT && directory_of == Some(user)
}

fn is_meant(snapshot: &Snapshot, wanted: Option<u32>) -> bool {
    let server = &snapshot.server;
    wanted.is_some_and(|wanted| {
        let has_port = |address: &std::net::SocketAddr| u32::from(address.port()) == wanted;
        server.pid == wanted || server.listening.iter().any(has_port)
    })
}

fn places(looked: &[PathBuf]) -> String {
    let names: Vec<_> = looked.iter().map(|place| place.display().to_string()).collect();
    if names.is_empty() { String::new() } else { format!(" (looked in {})", names.join(", ")) }
}

fn or_root() -> &'static str {
    if geteuid().is_root() { "" } else { ", or as root" }
}

fn several(wanted: &Option<u32>) -> String {
    match wanted {
        Some(wanted) => {
            format!("no lenscast of this user listens on port {wanted}, or is that process:")
        }
        None => "several servers are running; say which, as `lenscast status 8554`:".to_owned(),
    }
}

fn list(servers: &[Result<Snapshot, Error>]) -> String {
    let line = |server: &Result<Snapshot, Error>| {
        let snapshot = match server {
            Ok(snapshot) => snapshot,
            Err(error) => return format!("  {error}"),
        };
        let addresses: Vec<_> = snapshot.server.listening.iter().map(ToString::to_string).collect();
        let name = |stream: &Stream| Plain(&stream.name).to_string();
        let streams: Vec<_> = snapshot.streams.iter().map(name).collect();
        let pid = snapshot.server.pid;
        format!("  process {pid} on {} with {}", addresses.join(" "), streams.join(", "))
    };
    servers.iter().map(line).collect::<Vec<_>>().join("\n")
}

const ROOT: u32 = 0;
/// A server that is not stopped answers in a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer: a viewer takes some 500.
const MOST_ANSWER: u64 = 16 << 20;

#[cfg(test)]
mod tests;
