//! Device nodes that appear: cameras that are plugged in.
//!
//! The kernel makes a node, and the system's device manager then sets its permissions and names;
//! both are seen in the directory (inotify(7)). Where that cannot be watched, cameras are found at
//! the next try.

use std::{io, os::fd::OwnedFd, path::Path};

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::watch,
};
use tracing::debug;

/// Changes each time a node of a camera may have appeared in `directory` (as a rule `/dev`). To be
/// called within a Tokio runtime; watches until nobody listens any more.
pub fn watch(directory: &Path) -> watch::Receiver<u64> {
    let (sender, receiver) = watch::channel(0);
    match begin(directory) {
        Ok(descriptor) => {
            tokio::spawn(run(descriptor, sender));
        }
        Err(error) => {
            debug!(%error, directory = %directory.display(), "cannot watch for new devices");
            // Kept open, so that listeners just never hear of anything.
            tokio::spawn(async move { sender.closed().await });
        }
    }
    receiver
}

fn begin(directory: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let descriptor = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let appears = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ATTRIB;
    inotify::add_watch(&descriptor, directory, appears)?;
    #[expect(deprecated, reason = "the other is unsafe, for types whose descriptor may change")]
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}

async fn run(descriptor: AsyncFd<OwnedFd>, sender: watch::Sender<u64>) {
    loop {
        let mut ready = tokio::select! {
            ready = descriptor.readable() => match ready {
                Ok(ready) => ready,
                Err(error) => return debug!(%error, "new devices are not watched any more"),
            },
            () = sender.closed() => return,
        };
        if read_all(descriptor.get_ref()) {
            sender.send_modify(|count| *count += 1);
        }
        ready.clear_ready();
    }
}

/// Takes what there is to read; whether anything of it was a camera's node.
fn read_all(descriptor: &OwnedFd) -> bool {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut reader = Reader::new(descriptor, &mut buffer);
    let mut is_one = false;
    // An error is "nothing more", or else the next wait says it.
    while let Ok(event) = reader.next() {
        is_one |= event.file_name().is_none_or(|name| name.to_bytes().starts_with(PREFIX));
    }
    is_one
}

/// Of the names that the kernel gives to nodes of video devices.
const PREFIX: &[u8] = b"video";

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_node_of_a_camera_is_noticed_and_another_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let watched = begin(directory.path()).unwrap();
        assert!(!read_all(watched.get_ref()));
        fs::write(directory.path().join("null"), "").unwrap();
        assert!(!read_all(watched.get_ref()));
        let node = directory.path().join("video7");
        fs::write(&node, "").unwrap();
        assert!(read_all(watched.get_ref()));
        fs::set_permissions(&node, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(read_all(watched.get_ref()), "it may be readable only now");
    }

    #[tokio::test]
    async fn whoever_waits_hears_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut nodes = watch(directory.path());
        fs::write(directory.path().join("video0"), "").unwrap();
        timeout(Duration::from_secs(10), nodes.changed()).await.expect("in time").unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_watched_is_never_heard_of() {
        let mut nodes = watch(Path::new("/nonexistent"));
        let heard = timeout(Duration::from_millis(20), nodes.changed()).await;
        assert!(heard.is_err(), "a closed channel would make its listeners spin");
    }
}
