//! Nonces that need no memory: the time of making, and a keyed hash of it that nobody else can
//! compute (the first of the forms RFC 2617 section 3.2.1 suggests).
//!
//! ```text
//!   0               8                                24
//!  +---------------+--------------------------------+
//!  | nanoseconds   | HMAC-SHA-256 of them, cut to   |   written as 48 hexadecimal digits
//!  | (big-endian)  | 128 bits                       |
//!  +---------------+--------------------------------+
//! ```
//!
//! The time counts from when the key was made: it tells nothing of this machine's clocks, only how
//! long the server has run.

use std::{
    fmt,
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::{
    auth::Ha1,
    header::authorization::{decode_hex, encode_hex},
};

/// Makes and recognizes nonces.
pub(super) struct Mint {
    key: [u8; 32],
    /// When the key was made.
    epoch: Instant,
}

/// A nonce that this server made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Nonce([u8; LENGTH]);

impl Mint {
    pub(super) fn new(key: [u8; 32], now: Instant) -> Self {
        Self { key, epoch: now }
    }

    pub(super) fn issue(&self, now: Instant) -> Nonce {
        let time = now.saturating_duration_since(self.epoch).as_nanos();
        // 64 bits of nanoseconds are 584 years.
        let time = u64::try_from(time).unwrap_or(u64::MAX);
        self.sign(time.to_be_bytes())
    }

    /// The nonce spelled by `text`, if this mint has made it.
    pub(super) fn authentic(&self, text: &str) -> Option<Nonce> {
        let claimed = Nonce(decode_hex(text)?);
        let genuine = self.sign(*claimed.time());
        bool::from(genuine.0.ct_eq(&claimed.0)).then_some(genuine)
    }

    /// How long ago `nonce` was made.
    pub(super) fn age(&self, nonce: &Nonce, now: Instant) -> Duration {
        let made = Duration::from_nanos(u64::from_be_bytes(*nonce.time()));
        now.saturating_duration_since(self.epoch).saturating_sub(made)
    }

    fn sign(&self, time: [u8; TIME_LENGTH]) -> Nonce {
        let tag = hmac_sha256(&self.key, &[NONCE_PURPOSE, &time]);
        let mut bytes = [0; LENGTH];
        for (byte, source) in bytes.iter_mut().zip(time.iter().chain(&tag)) {
            *byte = *source;
        }
        Nonce(bytes)
    }
}

impl Nonce {
    fn time(&self) -> &[u8; TIME_LENGTH] {
        let (time, _tag) = self.0.split_first_chunk().unwrap_or((&[0; TIME_LENGTH], &[]));
        time
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode_hex(&self.0))
    }
}

/// Hashes of a password nobody has.
pub(super) fn decoy(key: &[u8; 32]) -> Ha1 {
    let sha256 = hmac_sha256(key, &[DECOY_PURPOSE]);
    let mut md5 = [0; 16];
    for (byte, source) in md5.iter_mut().zip(&sha256) {
        *byte = *source;
    }
    Ha1 { md5, sha256 }
}

/// HMAC (RFC 2104) with SHA-256 of the concatenation of `message`.
fn hmac_sha256(key: &[u8; 32], message: &[&[u8]]) -> [u8; 32] {
    let padded = |pad: u8| {
        let mut block = [pad; SHA256_BLOCK];
        for (byte, key) in block.iter_mut().zip(key) {
            *byte ^= key;
        }
        Sha256::new().chain_update(block)
    };
    let inner = message.iter().fold(padded(0x36), |hash, part| hash.chain_update(part)).finalize();
    padded(0x5c).chain_update(inner).finalize().into()
}

const TIME_LENGTH: usize = 8;
/// 128 bits of a 256-bit HMAC: what RFC 2104 section 5 allows at most to cut off. Short, because
/// some devices keep nonces in small buffers.
const TAG_LENGTH: usize = 16;
const LENGTH: usize = TIME_LENGTH + TAG_LENGTH;
const SHA256_BLOCK: usize = 64;
/// Different uses of the key can never yield each other's result: neither is a prefix of the other.
const NONCE_PURPOSE: &[u8] = b"nonce\0";
const DECOY_PURPOSE: &[u8] = b"decoy\0";

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "virtual time has to begin somewhere")]
    fn start() -> Instant {
        Instant::now()
    }

    fn key(text: &[u8]) -> [u8; 32] {
        let mut key = [0; 32];
        key[..text.len()].copy_from_slice(text);
        key
    }

    /// RFC 4231 sections 4.2 to 4.4; a key shorter than the block is padded with zeros anyway.
    #[test]
    fn hmac_is_that_of_rfc_4231() {
        for (secret, message, expected) in [
            (
                &[0x0b; 20][..],
                &b"Hi There"[..],
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 20],
                &[0xdd; 50],
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            ),
        ] {
            let (head, tail) = message.split_at(message.len() / 2);
            assert_eq!(encode_hex(&hmac_sha256(&key(secret), &[head, tail])), expected);
        }
    }

    #[test]
    fn recognizes_its_own_nonces_and_their_age() {
        let start = start();
        let mint = Mint::new([7; 32], start);
        let nonce = mint.issue(start + Duration::from_millis(1500));
        let read = mint.authentic(&nonce.to_string()).expect("its own");
        assert_eq!(read, nonce);
        assert_eq!(mint.age(&read, start + Duration::from_secs(4)), Duration::from_millis(2500));
        assert_eq!(mint.age(&read, start), Duration::ZERO, "the clock of another thread may lag");
        assert_eq!(mint.authentic(&nonce.to_string().to_uppercase()), Some(nonce));
    }

    #[test]
    fn refuses_every_nonce_with_one_digit_changed() {
        let start = start();
        let mint = Mint::new([7; 32], start);
        let genuine = mint.issue(start + Duration::from_secs(3)).to_string();
        assert_eq!(genuine.len(), 48);
        for at in 0..genuine.len() {
            let mut forged = genuine.clone().into_bytes();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            let forged = String::from_utf8(forged).expect("digits");
            assert_eq!(mint.authentic(&forged), None, "digit {at}");
        }
        for cut in [&genuine[..46], &genuine[..47], "", &format!("{genuine}00")] {
            assert_eq!(mint.authentic(cut), None, "{cut:?}");
        }
    }

    #[test]
    fn refuses_the_nonces_of_another_key() {
        let start = start();
        let theirs = Mint::new([8; 32], start).issue(start);
        assert_eq!(Mint::new([7; 32], start).authentic(&theirs.to_string()), None);
    }
}
