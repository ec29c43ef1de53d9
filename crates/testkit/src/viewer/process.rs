//! What a process costs, as proc(5) tells.

use std::{
    fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

/// A process of this machine.
#[derive(Clone, Debug)]
pub struct Process {
    directory: PathBuf,
}

/// What it uses at one moment.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// User and system time since it began, of all threads, in steps of 10 ms.
    pub cpu: Duration,
    /// Bytes of memory it holds.
    pub resident: u64,
    /// The most bytes of memory it ever held.
    pub peak: u64,
    /// Threads.
    pub threads: u64,
    /// Open files and sockets.
    pub descriptors: usize,
}

impl Process {
    /// The process of this number.
    pub fn new(id: u32) -> Self {
        Self { directory: Path::new("/proc").join(id.to_string()) }
    }

    /// This process.
    pub fn current() -> Self {
        Self { directory: PathBuf::from("/proc/self") }
    }

    /// What it uses now.
    ///
    /// # Errors
    ///
    /// When it is gone, or belongs to somebody else.
    pub fn usage(&self) -> io::Result<Usage> {
        let malformed = || io::Error::from(io::ErrorKind::InvalidData);
        let stat = fs::read_to_string(self.directory.join("stat"))?;
        // The second field is the name in parentheses, which may hold anything.
        let (_, fields) = stat.rsplit_once(") ").ok_or_else(malformed)?;
        let mut fields = fields.split_ascii_whitespace().skip(11);
        let mut ticks = || fields.next().and_then(|field| u64::from_str(field).ok());
        let (user, system) = (ticks().ok_or_else(malformed)?, ticks().ok_or_else(malformed)?);
        let status = fs::read_to_string(self.directory.join("status"))?;
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line?.split_ascii_whitespace().next()?.parse::<u64>().ok()
        };
        Ok(Usage {
            cpu: Duration::from_millis((user + system) * MILLIS_PER_TICK),
            resident: value("VmRSS").ok_or_else(malformed)? * 1024,
            peak: value("VmHWM").ok_or_else(malformed)? * 1024,
            threads: value("Threads").ok_or_else(malformed)?,
            descriptors: fs::read_dir(self.directory.join("fd"))?.count(),
        })
    }
}

/// `USER_HZ` is 100 on every architecture that matters.
const MILLIS_PER_TICK: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_what_it_takes() {
        let process = Process::current();
        let before = process.usage().unwrap();
        let _listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let held = vec![1_u8; 64 << 20];
        let after = process.usage().unwrap();
        assert!(after.resident - before.resident > 32 << 20, "{before:?} {after:?}");
        assert!(after.peak >= after.resident && after.threads >= 1);
        // Another test of this process may close one meanwhile, but hardly all of them.
        assert!(after.descriptors >= 4, "{after:?}");
        drop(held);
        assert!(Process::new(u32::MAX).usage().is_err());
    }
}
