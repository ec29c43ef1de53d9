//! Random numbers from the operating system, the only source of them in the server.

use std::{fmt, sync::Arc};

/// Where random bytes come from; tests pass one that they know.
#[derive(Clone)]
pub struct Entropy(Arc<Fill>);

type Fill = dyn Fn(&mut [u8]) + Send + Sync;

impl Entropy {
    /// The operating system's generator (getrandom(2)).
    ///
    /// # Panics
    ///
    /// The returned source panics when the operating system has no randomness to give: nothing that
    /// depends on it (session ids, nonces, passwords) could be safe then.
    pub fn from_system() -> Self {
        Self::new(|bytes| getrandom::fill(bytes).expect("the operating system gives random bytes"))
    }

    /// From any function that fills a slice.
    pub fn new(fill: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(fill))
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.0)(&mut bytes);
        bytes
    }

    /// A random number.
    pub fn u32(&self) -> u32 {
        u32::from_ne_bytes(self.bytes())
    }

    /// A random number.
    pub fn u16(&self) -> u16 {
        u16::from_ne_bytes(self.bytes())
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy")
    }
}
