//! The `Session` header (RFC 2326 section 12.37) and the identifiers in it.

use std::{fmt, time::Duration};

/// A session's name: [`SessionId::LEN`] letters and digits, nothing else. live555 strips `$` from
/// an id, others stumble over dashes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId([u8; SessionId::LEN]);

impl SessionId {
    /// Length in bytes: 20 of 62 characters hold 119 bits.
    pub const LEN: usize = 20;

    /// Makes an id of 128 random bits; it keeps 119 of them.
    ///
    /// Written as a number to the base of 62 whose last two digits are left away, so each
    /// character is uniform to within 62^20 / 2^128 < 2^-8 of the *whole id's* range, and no single id is
    /// more than 0.3 % likelier than another.
    pub fn from_entropy(entropy: [u8; 16]) -> Self {
        let mut number = u128::from_be_bytes(entropy);
        let mut id = [0; Self::LEN];
        for place in &mut id {
            let digit = usize::try_from(number % ALPHABET.len() as u128).unwrap_or_default();
            number /= ALPHABET.len() as u128;
            *place = ALPHABET.get(digit).copied().unwrap_or(b'0');
        }
        Self(id)
    }

    /// The id in `text`; `None` when it cannot be one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let id: [u8; Self::LEN] = text.as_bytes().try_into().ok()?;
        id.iter().all(u8::is_ascii_alphanumeric).then_some(Self(id))
    }

    /// As it stands on the wire.
    pub fn as_str(&self) -> &str {
        // ASCII by construction.
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The value of the `Session` header of a reply, `ID;timeout=60`. No space and nothing behind:
    /// FFmpeg looks for `;timeout=` literally, retina refuses further parameters.
    pub fn header(&self, timeout: Duration) -> String {
        format!("{self};timeout={}", timeout.as_secs())
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

/// The session a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionHeader {
    id: Option<SessionId>,
}

impl SessionHeader {
    /// Reads `ID`, or `ID;timeout=60` as clients echo it (yellowstone does). Never an error: a text
    /// that cannot be an id of ours names a session that does not exist.
    pub fn parse(value: &str) -> Self {
        let id = value.split(';').next().unwrap_or_default();
        Self { id: SessionId::parse(id.trim()) }
    }

    /// The session; `None` when no session of ours can be called so (answer 454).
    pub fn id(&self) -> Option<SessionId> {
        self.id
    }
}

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
