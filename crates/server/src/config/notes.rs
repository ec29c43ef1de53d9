//! What is no error, but what a careful person would want to have been told.

use std::fmt;

use crate::config::{Access, Config};

/// A configuration that works, and may still not be what was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Anyone who reaches this machine can watch.
    OpenToAll,
    /// The password goes over the network in clear.
    Basic,
    /// A password that can be guessed.
    ShortPassword {
        /// Whose.
        user: String,
    },
    /// Packets that Ethernet does not carry whole.
    Fragments {
        /// Bytes in the largest packet.
        packet_size: u16,
    },
}

impl Config {
    /// What may not be meant, most important first.
    pub fn notes(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        let is_reachable = !self.is_loopback_only();
        if is_reachable && self.access.is_open() {
            notes.push(Note::OpenToAll);
        }
        if is_reachable && self.auth.basic && !self.access.is_open() {
            notes.push(Note::Basic);
        }
        if let Access::Users(users) = &self.access {
            let short = users.iter().filter(|user| {
                user.password.reveal().chars().count() < SHORT_PASSWORD && is_reachable
            });
            notes.extend(short.map(|user| Note::ShortPassword { user: user.name.clone() }));
        }
        if self.packet_size > ETHERNET_PAYLOAD {
            notes.push(Note::Fragments { packet_size: self.packet_size });
        }
        notes
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenToAll => f.write_str("open: whoever reaches this machine can watch"),
            Self::Basic => f.write_str("Basic sends passwords over the network in clear"),
            Self::ShortPassword { user } => write!(
                f,
                "the password of {user:?} has fewer than {SHORT_PASSWORD} characters: it can be \
                 guessed, and found from one recorded login"
            ),
            Self::Fragments { packet_size } => write!(
                f,
                "packets of {packet_size} bytes travel in fragments over Ethernet, which carries \
                 {ETHERNET_PAYLOAD}: one lost fragment loses the packet"
            ),
        }
    }
}

/// Digest answers can be tried against a dictionary by whoever recorded one.
const SHORT_PASSWORD: usize = 10;
/// 1500 bytes of Ethernet without 20 of IPv4 and 8 of UDP header.
const ETHERNET_PAYLOAD: u16 = 1472;
