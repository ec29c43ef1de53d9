//! How many connections there are, and from where; and who has been guessing passwords.
//!
//! Nothing here knows of sockets. Time is an argument.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::limits::Limits;

/// The connections of a server, over all its listeners.
#[derive(Debug, Default)]
pub struct Census {
    counts: Mutex<Counts>,
    guesses: Mutex<HashMap<Host, Guesses>>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    strangers: usize,
    by_host: HashMap<Host, HostCounts>,
    refused: u64,
    guesses: u64,
}

/// What has been counted.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Connections that are there.
    pub open: usize,
    /// Of these, those that have not logged in and must.
    pub strangers: usize,
    /// Connections that were not taken in, so far.
    pub refused: u64,
    /// Wrong guesses, so far.
    pub guesses: u64,
}

#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
struct HostCounts {
    all: usize,
    strangers: usize,
}

/// Where a client is, as far as limits go: an IPv4 address, or an IPv6 network of 64 bits, all of
/// whose addresses one host can use.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
struct Host(IpAddr);

impl Host {
    fn of(peer: IpAddr) -> Self {
        match peer {
            IpAddr::V4(_) => Self(peer),
            IpAddr::V6(v6) if v6.is_loopback() => Self(peer),
            IpAddr::V6(v6) => {
                Self(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into())
            }
        }
    }
}

#[derive(Copy, Clone, Debug)]
struct Guesses {
    count: u32,
    last: Instant,
}

/// Why a connection is not taken in.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// [`Limits::connections`].
    #[error("too many connections")]
    All,
    /// [`Limits::connections_per_address`].
    #[error("too many connections from this address")]
    Address,
    /// [`Limits::unauthenticated`].
    #[error("too many connections that have not logged in")]
    Strangers,
    /// [`Limits::unauthenticated_per_address`].
    #[error("too many connections from this address that have not logged in")]
    StrangersOfAddress,
}

impl Census {
    /// Takes a connection in, and, where it `must_log_in`, a place among those that have not.
    ///
    /// # Errors
    ///
    /// When there are too many, and how many have been refused so far.
    pub fn admit(
        self: &Arc<Self>,
        peer: IpAddr,
        must_log_in: bool,
        limits: &Limits,
    ) -> Result<(Resident, Option<Stranger>), (Full, u64)> {
        let host = Host::of(peer);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let here = counts.by_host.get(&host).copied().unwrap_or_default();
        let full = if counts.all >= limits.connections {
            Some(Full::All)
        } else if here.all >= limits.connections_per_address {
            Some(Full::Address)
        } else if must_log_in && counts.strangers >= limits.unauthenticated {
            Some(Full::Strangers)
        } else if must_log_in && here.strangers >= limits.unauthenticated_per_address {
            Some(Full::StrangersOfAddress)
        } else {
            None
        };
        if let Some(full) = full {
            counts.refused += 1;
            return Err((full, counts.refused));
        }
        counts.all += 1;
        counts.strangers += usize::from(must_log_in);
        let here = counts.by_host.entry(host).or_default();
        here.all += 1;
        here.strangers += usize::from(must_log_in);
        let stranger = must_log_in.then(|| Stranger { census: Arc::clone(self), host });
        Ok((Resident { census: Arc::clone(self), host }, stranger))
    }

    /// Somebody at `peer` has guessed wrong. How often by now, guesses on other connections
    /// counted, and how long the answer is to wait: the first two answers come at once, as for
    /// people who mistype.
    pub fn guessed(&self, peer: IpAddr, now: Instant) -> (u32, Duration) {
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        if guesses.len() >= MOST_GUESSERS {
            guesses.retain(|_, guesses| now.saturating_duration_since(guesses.last) < FORGET);
        }
        // So many hosts that they cannot be told apart: all share the fate of the worst.
        let host = if guesses.len() >= MOST_GUESSERS && !guesses.contains_key(&Host::of(peer)) {
            Host(Ipv6Addr::UNSPECIFIED.into())
        } else {
            Host::of(peer)
        };
        let entry = guesses.entry(host).or_insert(Guesses { count: 0, last: now });
        if now.saturating_duration_since(entry.last) >= FORGET {
            entry.count = 0;
        }
        entry.count = entry.count.saturating_add(1);
        entry.last = now;
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).guesses += 1;
        let doublings = entry.count.saturating_sub(3).min(16);
        let delay = if entry.count > 2 { FIRST_DELAY * (1 << doublings) } else { Duration::ZERO };
        (entry.count, delay.min(LONGEST_DELAY))
    }

    /// What has been counted.
    pub fn tally(&self) -> Tally {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Counts { all, strangers, refused, guesses, .. } = *counts;
        Tally { open: all, strangers, refused, guesses }
    }

    /// Gives places back; a host that has none left is forgotten.
    fn leave(&self, host: Host, places: HostCounts) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all -= places.all;
        counts.strangers -= places.strangers;
        if let Some(here) = counts.by_host.get_mut(&host) {
            here.all -= places.all;
            here.strangers -= places.strangers;
            if *here == HostCounts::default() {
                counts.by_host.remove(&host);
            }
        }
    }
}

/// A place among all connections.
#[derive(Debug)]
pub struct Resident {
    census: Arc<Census>,
    host: Host,
}

impl Drop for Resident {
    fn drop(&mut self) {
        self.census.leave(self.host, HostCounts { all: 1, strangers: 0 });
    }
}

/// A place among the connections that have not logged in.
#[derive(Debug)]
pub struct Stranger {
    census: Arc<Census>,
    host: Host,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.census.leave(self.host, HostCounts { all: 0, strangers: 1 });
    }
}

/// A host that has not guessed for so long starts anew.
const FORGET: Duration = Duration::from_secs(300);
/// The third wrong guess is answered after this; each further one after twice the time.
const FIRST_DELAY: Duration = Duration::from_millis(250);
const LONGEST_DELAY: Duration = Duration::from_secs(4);
/// Hosts whose guesses are remembered.
const MOST_GUESSERS: usize = 4096;

#[cfg(test)]
mod tests;
