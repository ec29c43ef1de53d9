//! Memory of buffers: anonymous files, so that it can be mapped, exported and imported.
//!
//! The stand-in reads and writes it as files are read and written, never by a mapping of its own:
//! to those who have it mapped that is what a device does.

use std::{
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{MemfdFlags, Mode, OFlags, fstat, ftruncate, memfd_create, open},
    io::{Errno, pread, pwrite},
};

/// A piece of memory; perhaps another device's.
#[derive(Debug)]
pub(super) struct Memory {
    file: OwnedFd,
    /// Bytes.
    pub(super) length: u32,
    /// Which memory it is, whoever has it.
    pub(super) identity: u64,
}

impl Memory {
    /// Makes some, whole pages of it.
    pub(super) fn new(length: u32) -> io::Result<Self> {
        let file = memfd_create(NAME, MemfdFlags::CLOEXEC)?;
        let length = length.max(1).next_multiple_of(PAGE);
        ftruncate(&file, length.into())?;
        let identity = fstat(&file)?.st_ino;
        Ok(Self { file, length, identity })
    }

    /// Takes what a file descriptor stands for; EINVAL when that is no memory, as the kernel says
    /// of what is no DMABUF.
    pub(super) fn import(fd: i32) -> io::Result<Self> {
        // A way to the file that needs no promise of who has the descriptor.
        let file = open(path_of(fd), OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let file = file.map_err(|_| Errno::INVAL)?;
        let is_memory = fs::read_link(path_of(fd))?.to_string_lossy().contains(NAME);
        if !is_memory {
            return Err(Errno::INVAL.into());
        }
        let status = fstat(&file)?;
        let length = u32::try_from(status.st_size).map_err(|_| Errno::INVAL)?;
        Ok(Self { file, length, identity: status.st_ino })
    }

    /// Another descriptor of the same.
    pub(super) fn export(&self) -> io::Result<OwnedFd> {
        self.file.try_clone()
    }

    pub(super) fn write(&self, offset: u32, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            done += pwrite(&self.file, &bytes[done..], u64::from(offset) + done as u64)?;
        }
        Ok(())
    }

    /// Up to its end.
    pub(super) fn read(&self, offset: u32, length: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        let mut done = 0;
        while done < bytes.len() {
            match pread(&self.file, &mut bytes[done..], u64::from(offset) + done as u64)? {
                0 => break,
                count => done += count,
            }
        }
        bytes.truncate(done);
        Ok(bytes)
    }

    /// Whether this process has it mapped.
    pub(super) fn is_mapped(&self) -> io::Result<bool> {
        let maps = fs::read_to_string("/proc/self/maps")?;
        let identity = self.identity.to_string();
        let is_it = |line: &str| line.split_ascii_whitespace().nth(4) == Some(&identity);
        Ok(maps.lines().any(|line| line.contains(NAME) && is_it(line)))
    }
}

impl AsFd for Memory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn path_of(fd: i32) -> String {
    format!("/proc/self/fd/{fd}")
}

const NAME: &str = "v4l2-fake";
const PAGE: u32 = 4096;
