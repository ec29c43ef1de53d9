//! Where state is kept.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The directory for what outlives a run, of the first that there is:
///
/// 1. `chosen`: `--state-dir`;
/// 2. `$STATE_DIRECTORY`: systemd has made it for this service (`StateDirectory=lenscast`);
/// 3. `$XDG_STATE_HOME/lenscast`, if absolute, as the XDG Base Directory Specification says;
/// 4. `/var/lib/lenscast` for root, as daemons have it. Not a home: under `sudo` that may be
///    somebody else's, and files of root's in there would get in his way;
/// 5. `$HOME/.local/state/lenscast`.
///
/// `None` when there is none of these: an arbitrary user in a container, perhaps. Touches no file.
pub fn state_directory(
    chosen: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
    is_root: bool,
) -> Option<PathBuf> {
    let absolute = |name: &str| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute() && *path != Path::new("/"))
    };
    if let Some(chosen) = chosen {
        return Some(chosen.to_owned());
    }
    // systemd separates several with colons; ours is the first.
    let from_systemd = variable("STATE_DIRECTORY")
        .and_then(|list| std::env::split_paths(&list).next().filter(|path| path.is_absolute()));
    from_systemd
        .or_else(|| absolute("XDG_STATE_HOME").map(|home| home.join(DIRECTORY)))
        .or_else(|| is_root.then(|| PathBuf::from(ROOTS_DIRECTORY)))
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state").join(DIRECTORY)))
}

const DIRECTORY: &str = "lenscast";
const ROOTS_DIRECTORY: &str = "/var/lib/lenscast";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_there_is() {
        let all = [
            ("STATE_DIRECTORY", "/var/lib/systemd-made:/var/lib/second"),
            ("XDG_STATE_HOME", "/home/ann/state"),
            ("HOME", "/home/ann"),
        ];
        for (chosen, variables, is_root, expected) in [
            (Some("here"), &all[..], true, Some("here")),
            (None, &all[..], true, Some("/var/lib/systemd-made")),
            (None, &all[1..], true, Some("/home/ann/state/lenscast")),
            (None, &all[2..], true, Some("/var/lib/lenscast")),
            (None, &all[2..], false, Some("/home/ann/.local/state/lenscast")),
            (None, &[], true, Some("/var/lib/lenscast")),
            (None, &[], false, None),
            // Set, but to nothing that could be meant.
            (
                None,
                &[("STATE_DIRECTORY", ""), ("HOME", "/home/ann")],
                false,
                Some("/home/ann/.local/state/lenscast"),
            ),
            (
                None,
                &[("XDG_STATE_HOME", "relative"), ("HOME", "/h")],
                false,
                Some("/h/.local/state/lenscast"),
            ),
            (None, &[("XDG_STATE_HOME", ""), ("HOME", "")], false, None),
            (None, &[("HOME", "/")], false, None),
        ] {
            let variable = |name: &str| {
                let found = variables.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| OsString::from(value))
            };
            assert_eq!(
                state_directory(chosen.map(Path::new), variable, is_root),
                expected.map(PathBuf::from),
                "{chosen:?} {variables:?} {is_root}"
            );
        }
    }
}
