//! Passwords and realms that are made.

use std::fmt;

use rtsp_proto::auth::Realm;

use crate::entropy::Entropy;

/// A password in clear, to be shown once; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The password itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A password of 104 bits, as `kx7m2qa-9dfh3wz-bn4tr8c`: nobody guesses it even from its hash. It
/// can be read aloud, typed on a remote control, and pasted into a URL as it is.
pub(super) fn password(entropy: &Entropy) -> Secret {
    Secret([(); 3].map(|()| text::<7>(entropy)).join("-"))
}

/// A realm nobody else has, as `lenscast-k7m2qa9d`.
///
/// Two servers where somebody has the same password then have different hashes of it: what leaks
/// from one does not open the other, and cannot have been computed in advance. And whatever
/// remembers passwords by realm keeps the servers apart.
pub(super) fn realm(entropy: &Entropy) -> Realm {
    let realm = format!("lenscast-{}", text::<8>(entropy));
    realm.parse().expect("letters, digits and a hyphen make a realm")
}

/// `LENGTH` letters and digits, each as likely as any other.
fn text<const LENGTH: usize>(entropy: &Entropy) -> String {
    let letters = std::iter::from_fn(|| Some(entropy.bytes::<32>()))
        .flatten()
        // The lower five bits choose one of 32; the one there is no letter for is drawn again.
        .filter_map(|byte| ALPHABET.get(usize::from(byte & 31)).copied());
    letters.take(LENGTH).map(char::from).collect()
}

/// Lower-case letters and digits without i, l, o, 0 and 1: 31 of them, so 4.95 bits each.
const ALPHABET: &[u8; 31] = b"abcdefghjkmnpqrstuvwxyz23456789";

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::Mutex};

    use super::*;

    #[test]
    fn a_password_has_100_bits_and_needs_no_escape() {
        let password = password(&Entropy::from_system());
        let letters: Vec<char> = password.reveal().chars().filter(|c| *c != '-').collect();
        assert!(letters.len() as f64 * (ALPHABET.len() as f64).log2() >= 100.0);
        assert!(letters.iter().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
        assert!(!letters.iter().any(|c| "il1o0".contains(*c)), "{}", password.reveal());
        assert_eq!(ALPHABET.iter().collect::<HashSet<_>>().len(), ALPHABET.len());
    }

    #[test]
    fn every_random_byte_counts_and_every_letter_is_as_likely() {
        // A source that counts through all bytes: each letter must come out equally often.
        let next = Mutex::new(0u8);
        let entropy = Entropy::new(move |bytes| {
            for byte in bytes {
                let mut next = next.lock().expect("one thread");
                *byte = *next;
                *next = next.wrapping_add(1);
            }
        });
        // 8 blocks of 32 bytes are every byte once, 8 times 31 letters.
        let letters = text::<248>(&entropy);
        for letter in ALPHABET {
            assert_eq!(letters.bytes().filter(|drawn| drawn == letter).count(), 8);
        }
    }

    #[test]
    fn debug_does_not_show_it() {
        let password = password(&Entropy::from_system());
        assert!(!format!("{password:?}").contains(password.reveal()));
    }
}
