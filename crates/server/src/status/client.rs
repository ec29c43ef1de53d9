//! Finds the servers of this machine, and asks them.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

use super::{
    place,
    snapshot::{Snapshot, VERSION},
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
    #[error("the lenscast in {} belongs to another user: ask as that user, or as root", .0.display())]
    Denied(PathBuf),
    /// There are several, and none, or another, was named.
    #[error("{}\n{}", several(wanted), list(servers))]
    Several {
        /// The port or process that was named.
        wanted: Option<u32>,
        /// Their status.
        servers: Vec<Snapshot>,
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
    #[error("the lenscast at {} says: {reason}", path.display())]
    Refused {
        /// Its socket.
        path: PathBuf,
        /// What it says.
        reason: String,
    },
    /// It answers in another version, or in no sense at all.
    #[error("the lenscast at {} is of another version than this program: {reason}", path.display())]
    Foreign {
        /// Its socket.
        path: PathBuf,
        /// What is not understood.
        reason: String,
    },
}

impl Client {
    /// The one server of `directories`, or among several that which listens on the port, or is the
    /// process, `wanted`.
    ///
    /// # Errors
    ///
    /// When there is none, or it is not clear which.
    pub fn find(directories: &[PathBuf], wanted: Option<u32>) -> Result<Self, Error> {
        let mut denied = None;
        for directory in directories {
            let mut living = Vec::new();
            // One that cannot be read is somebody else's.
            let sockets = match place::sockets(directory) {
                Ok(sockets) => sockets,
                Err(error) => {
                    denied = denied.or((is_denied(&error)).then(|| directory.clone()));
                    continue;
                }
            };
            for (_, path) in sockets {
                match Self::connect(&path) {
                    Ok(client) => living.push(client),
                    Err(error) if is_denied(&error) => {
                        denied = denied.or(Some(directory.clone()));
                    }
                    // What a server that is gone has left.
                    Err(_) => {}
                }
            }
            if !living.is_empty() {
                return Self::choose(living, wanted);
            }
        }
        Err(match denied {
            Some(directory) => Error::Denied(directory),
            None => Error::None { looked: directories.to_vec() },
        })
    }

    fn choose(mut living: Vec<Self>, wanted: Option<u32>) -> Result<Self, Error> {
        if living.len() == 1 && wanted.is_none() {
            return Ok(living.remove(0));
        }
        let mut servers = Vec::new();
        for mut client in living {
            let snapshot = client.ask()?;
            let server = &snapshot.server;
            let is_wanted = wanted.is_some_and(|wanted| {
                let has_port = |address: &std::net::SocketAddr| u32::from(address.port()) == wanted;
                server.pid == wanted || server.listening.iter().any(has_port)
            });
            if is_wanted {
                return Ok(client);
            }
            servers.push(snapshot);
        }
        Err(Error::Several { wanted, servers })
    }

    /// Connects to a server's socket.
    ///
    /// # Errors
    ///
    /// When nobody listens there, or this user may not ask.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream), path: path.to_owned() })
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
        let line =
            self.exchange().map_err(|error| Error::Silent { path: self.path.clone(), error })?;
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

fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

fn places(looked: &[PathBuf]) -> String {
    let names: Vec<_> = looked.iter().map(|place| place.display().to_string()).collect();
    if names.is_empty() { String::new() } else { format!(" (looked in {})", names.join(", ")) }
}

fn several(wanted: &Option<u32>) -> String {
    match wanted {
        Some(wanted) => {
            format!("no lenscast of this user listens on port {wanted}, or is that process:")
        }
        None => "several servers are running; say which, as `lenscast status 8554`:".to_owned(),
    }
}

fn list(servers: &[Snapshot]) -> String {
    let line = |snapshot: &Snapshot| {
        let addresses: Vec<_> = snapshot.server.listening.iter().map(ToString::to_string).collect();
        let streams: Vec<_> = snapshot.streams.iter().map(|stream| stream.name.as_str()).collect();
        let pid = snapshot.server.pid;
        format!("  process {pid} on {} with {}", addresses.join(" "), streams.join(", "))
    };
    servers.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A server that is not stopped answers in a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer: a viewer takes some 500.
const MOST_ANSWER: u64 = 16 << 20;
