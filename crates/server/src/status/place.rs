//! Where the sockets of servers are, and which are whose.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

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
pub fn sockets(directory: &Path) -> std::io::Result<Vec<(u32, PathBuf)>> {
    let entries = match directory.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
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

const NAME: &str = "lenscast";
const SYSTEM: &str = "/run/lenscast";
const PREFIX: &str = "status-";
const SUFFIX: &str = ".sock";

#[cfg(test)]
mod tests {
    use super::*;

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
}
