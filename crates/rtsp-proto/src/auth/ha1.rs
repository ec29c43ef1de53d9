//! What is kept of a password, and the realm it is kept for (RFC 2617 section 3.2.2.2, RFC 7616
//! section 3.4.2).

use std::{fmt, str::FromStr};

use md5::{Digest as _, Md5};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use crate::header::authorization::{decode_hex, encode_hex};

/// The hashes of `user:realm:password`, one for each algorithm.
///
/// As good as the password for whoever wants to log in to this realm by Digest, though not
/// elsewhere: to be kept as a secret. `Debug` does not show it; equality takes constant time.
#[derive(Clone)]
pub struct Ha1 {
    pub(super) md5: [u8; 16],
    pub(super) sha256: [u8; 32],
}

impl Ha1 {
    /// Of a password in clear.
    pub fn from_password(user: &str, realm: &Realm, password: &str) -> Self {
        let parts = [user, ":", realm.as_str(), ":", password];
        let (mut md5, mut sha256) = (Md5::new(), Sha256::new());
        for part in parts {
            md5.update(part);
            sha256.update(part);
        }
        Self { md5: md5.finalize().into(), sha256: sha256.finalize().into() }
    }

    /// Of 32 and 64 hexadecimal digits, of either case.
    pub fn from_hex(md5: &str, sha256: &str) -> Option<Self> {
        Some(Self { md5: decode_hex(md5)?, sha256: decode_hex(sha256)? })
    }

    /// The MD5 hash as 32 lower-case hexadecimal digits.
    pub fn md5_hex(&self) -> String {
        encode_hex(&self.md5)
    }

    /// The SHA-256 hash as 64 lower-case hexadecimal digits.
    pub fn sha256_hex(&self) -> String {
        encode_hex(&self.sha256)
    }
}

impl ConstantTimeEq for Ha1 {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.md5.ct_eq(&other.md5) & self.sha256.ct_eq(&other.sha256)
    }
}

impl PartialEq for Ha1 {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for Ha1 {}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ha1(…)")
    }
}

/// What names this server in a challenge and enters every hash of a password.
///
/// 1 to 64 printable ASCII characters without quote and backslash: nothing that a client could
/// unquote in a way of its own, and never empty, which live555 does not read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Realm(Box<str>);

impl Realm {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Realm {
    type Err = RealmError;

    fn from_str(text: &str) -> Result<Self, RealmError> {
        if text.is_empty() || text.len() > MAX_REALM_LENGTH {
            return Err(RealmError::Length);
        }
        match text.chars().find(|c| !matches!(c, ' '..='~') || matches!(c, '"' | '\\')) {
            Some(bad) => Err(RealmError::Character(bad)),
            None => Ok(Self(text.into())),
        }
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A realm that clients could not read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RealmError {
    /// Empty or too long.
    #[error("a realm has 1 to {MAX_REALM_LENGTH} characters")]
    Length,
    /// Cannot stand in a quoted string that every client reads alike.
    #[error("a realm cannot hold {0:?}")]
    Character(char),
}

const MAX_REALM_LENGTH: usize = 64;
