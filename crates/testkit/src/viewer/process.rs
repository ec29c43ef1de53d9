//! What a process costs, as proc(5) and its CPU clock tell.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    libc::clockid_t,
    time::{ClockId, clock_gettime},
};

/// A process of this machine.
#[derive(Clone, Debug)]
pub struct Process {
    directory: PathBuf,
    clock: ClockId,
}

/// What it uses at one moment.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// User and system time since it began, of all threads, those that have ended too.
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
        let clock = cpu_clock(id);
        Self { directory: Path::new("/proc").join(id.to_string()), clock }
    }

    /// This process.
    pub fn current() -> Self {
        let clock = ClockId::CLOCK_PROCESS_CPUTIME_ID;
        Self { directory: PathBuf::from("/proc/self"), clock }
    }

    /// What it uses now.
    ///
    /// # Errors
    ///
    /// When it is gone, or belongs to somebody else.
    pub fn usage(&self) -> io::Result<Usage> {
        let malformed = || io::Error::from(io::ErrorKind::InvalidData);
        let status = fs::read_to_string(self.directory.join("status"))?;
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line?.split_ascii_whitespace().next()?.parse::<u64>().ok()
        };
        Ok(Usage {
            cpu: clock_gettime(self.clock)?.into(),
            resident: value("VmRSS").ok_or_else(malformed)? * 1024,
            peak: value("VmHWM").ok_or_else(malformed)? * 1024,
            threads: value("Threads").ok_or_else(malformed)?,
            descriptors: fs::read_dir(self.directory.join("fd"))?.count(),
        })
    }
}

/// The clock of a process's CPU time, as clock_getcpuclockid(3) makes it: the kernel takes the
/// complement of the number, and in the lowest three bits what is counted. proc(5) has the same in
/// steps of 10 ms, which is too coarse for what one viewer costs.
fn cpu_clock(process: u32) -> ClockId {
    ClockId::from_raw((!process << 3 | CPUCLOCK_SCHED) as clockid_t)
}

/// Time on a processor, not samples of it.
const CPUCLOCK_SCHED: u32 = 2;

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
        // By its number it is the same process.
        let by_number = Process::new(std::process::id()).usage().unwrap();
        assert!(by_number.cpu >= after.cpu && !after.cpu.is_zero(), "{by_number:?} {after:?}");
        drop(held);
        assert!(Process::new(u32::MAX).usage().is_err());
    }
}
