//! What the operating system allows this process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::debug;

/// Raises the limit on open files to what the system permits: a connection takes one each, and the
/// usual limit of 1024 is a leftover of select(2).
pub fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        Ok((soft, hard))
    });
    match raised {
        Ok((soft, hard)) => debug!(soft, hard, "open files"),
        Err(error) => debug!(%error, "cannot raise the limit on open files"),
    }
}
