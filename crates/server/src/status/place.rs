//! Where the sockets of servers are, and which are whose.

use std::{
    ffi::OsString,
    fs, io,
    os::{
        fd::OwnedFd,
        unix::{fs::MetadataExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::credentials::state_directory;

/// The directories in which a server's socket may be; the first that can be used is:
///
/// 1. `$RUNTIME_DIRECTORY`: systemd has made it for this service (`RuntimeDirectory=lenscast`);
/// 2. `/run/lenscast` for root, where [`for_clients`] looks, too;
/// 3. `$XDG_RUNTIME_DIR/lenscast`, if absolute, as the XDG Base Directory Specification says;
/// 4. the state directory, of which `chosen` is what `--state-dir` names.
///
/// Touches no file.
pub fn for_server(
    chosen: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
    is_root: bool,
) -> Vec<PathBuf> {
    // systemd separates several with colons; ours is the first.
    let from_systemd =
        variable("RUNTIME_DIRECTORY").and_then(|list| std::env::split_paths(&list).next());
    let of_root = is_root.then(|| PathBuf::from(SYSTEM));
    let of_user = variable("XDG_RUNTIME_DIR").map(|directory| Path::new(&directory).join(NAME));
    let of_user = of_user.filter(|_| !is_root);
    let absolute = |path: &PathBuf| path.is_absolute();
    let found = [from_systemd, of_root, of_user].into_iter().flatten().filter(absolute);
    found.chain(state_directory(chosen, variable, is_root)).collect()
}

/// Where to look for servers: where one of this user would be, and where one of the system is.
pub fn for_clients(
    chosen: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
    is_root: bool,
) -> Vec<PathBuf> {
    let mut places = for_server(chosen, variable, is_root);
    if !places.iter().any(|place| place == Path::new(SYSTEM)) {
        places.push(SYSTEM.into());
    }
    places
}

/// The socket of the process `pid`.
pub fn socket_of(directory: &Path, pid: u32) -> PathBuf {
    directory.join(format!("{PREFIX}{pid}{SUFFIX}"))
}

/// The sockets in a directory, by process.
///
/// # Errors
///
/// When it cannot be read; one that is not there is empty.
pub fn sockets(directory: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let entries = match directory.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let pid = name.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
            Some((pid.parse().ok()?, entry.path()))
        })
        .collect();
    found.sort();
    Ok(found)
}

/// Why nobody can be spoken to at a socket.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Who listens there, or whose file it is, is not trusted.
    #[error("its socket is of another user, number {0}")]
    Stranger(u32),
    /// Somebody listens, and accepts no connection.
    #[error("it accepts no connection")]
    Silent,
    /// Nobody listens, or this user may not connect.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Connects to a socket of a user whom `is_trusted` accepts by number, and tells which process
/// listens there, 0 if it cannot be seen from here. Waits for `patience` until the connection is
/// queued, and then for each read and write; without it does not wait to connect.
///
/// # Errors
///
/// See [`ConnectError`].
pub fn connect(
    path: &Path,
    patience: Option<Duration>,
    is_trusted: impl Fn(u32) -> bool,
) -> Result<(UnixStream, i32), ConnectError> {
    let known = |user| if is_trusted(user) { Ok(()) } else { Err(ConnectError::Stranger(user)) };
    // A stranger is not waited for. What the file says is no proof: who listens is asked below.
    known(fs::metadata(path)?.uid())?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // In Linux it is the limit of connecting, too: where the queue of a server that is stopped is
    // full, `connect` would wait for ever.
    socket.set_write_timeout(patience)?;
    socket.set_read_timeout(patience)?;
    socket.set_nonblocking(patience.is_none())?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(ConnectError::Silent);
        }
        connected => connected?,
    }
    socket.set_nonblocking(false)?;
    let listener = getsockopt(&socket, PeerCredentials).map_err(io::Error::from)?;
    known(listener.uid())?;
    Ok((OwnedFd::from(socket).into(), listener.pid()))
}

const NAME: &str = "lenscast";
const SYSTEM: &str = "/run/lenscast";
const PREFIX: &str = "status-";
const SUFFIX: &str = ".sock";

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Connections that nobody accepts, as many as are queued.
    pub(in super::super) fn fill(path: &Path) -> Vec<UnixStream> {
        std::iter::from_fn(|| connect(path, None, |_| true).ok())
            .map(|(queued, _)| queued)
            .collect()
    }

    #[test]
    fn the_places_there_are_best_first() {
        let all = [
            ("RUNTIME_DIRECTORY", "/run/systemd-made:/run/second"),
            ("XDG_RUNTIME_DIR", "/run/user/7"),
            ("HOME", "/home/ann"),
        ];
        let home = "/home/ann/.local/state/lenscast";
        for (chosen, variables, is_root, server, client) in [
            (
                None,
                &all[..],
                false,
                &["/run/systemd-made", "/run/user/7/lenscast", home][..],
                Some(SYSTEM),
            ),
            (None, &all[1..], false, &["/run/user/7/lenscast", home], Some(SYSTEM)),
            (None, &all[2..], false, &[home], Some(SYSTEM)),
            (Some("here"), &all[2..], false, &["here"], Some(SYSTEM)),
            // Somebody else's, under sudo.
            (None, &all[1..], true, &[SYSTEM, "/var/lib/lenscast"], None),
            (
                None,
                &[("XDG_RUNTIME_DIR", "relative"), ("RUNTIME_DIRECTORY", "")],
                false,
                &[],
                Some(SYSTEM),
            ),
        ] {
            let variable = |name: &str| {
                let found = variables.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| OsString::from(value))
            };
            let mut expected: Vec<_> = server.iter().map(PathBuf::from).collect();
            let chosen = chosen.map(Path::new);
            assert_eq!(for_server(chosen, variable, is_root), expected, "{variables:?}");
            expected.extend(client.map(PathBuf::from));
            assert_eq!(for_clients(chosen, variable, is_root), expected, "{variables:?}");
        }
    }

    #[test]
    fn sockets_are_told_from_what_else_lies_there() {
        let directory = tempfile::tempdir().unwrap();
        assert!(sockets(&directory.path().join("none")).unwrap().is_empty());
        let ours = [7, 12].map(|pid| (pid, socket_of(directory.path(), pid)));
        for name in ["users", "status-.sock", "status-x.sock", "status-7", "status--7.sock"] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        for (_, path) in &ours {
            std::fs::write(path, "").unwrap();
        }
        assert_eq!(sockets(directory.path()).unwrap(), ours);
    }

    #[test]
    fn strangers_and_the_silent_are_told_from_who_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = socket_of(directory.path(), 7);
        let connect = |is_trusted: bool| {
            [None, Some(Duration::from_millis(10))].map(|wait| connect(&path, wait, |_| is_trusted))
        };
        let is = |kind, tried: &Result<_, ConnectError>| match tried {
            Err(ConnectError::Io(error)) => error.kind() == kind,
            _ => false,
        };
        assert!(connect(true).iter().all(|tried| is(io::ErrorKind::NotFound, tried)));
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        assert!(connect(true).iter().all(|tried| is(io::ErrorKind::ConnectionRefused, tried)));
        listener.listen(8).unwrap();
        let own = nix::unistd::geteuid().as_raw();
        for tried in connect(false) {
            assert!(matches!(tried, Err(ConnectError::Stranger(user)) if user == own));
        }
        for tried in connect(true) {
            assert_eq!(tried.unwrap().1, std::process::id() as i32);
        }
        // It stops accepting, and its queue fills up.
        let _queue = fill(&path);
        for tried in connect(true) {
            assert!(matches!(tried, Err(ConnectError::Silent)), "{tried:?}");
        }
    }

    /// The file is of one who is trusted, and who listens is not.
    #[test]
    fn what_counts_is_who_listens() {
        let directory = tempfile::tempdir().unwrap();
        let path = socket_of(directory.path(), 7);
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let asked = std::cell::Cell::new(0);
        let is_trusted = |_| asked.replace(asked.get() + 1) == 0;
        let tried = connect(&path, None, is_trusted);
        assert!(matches!(tried, Err(ConnectError::Stranger(_))), "{tried:?}");
    }
}
