//! The `Session` header (RFC 2326 section 12.37) and the identifiers in it.

use std::{fmt, time::Duration};

//= https://www.rfc-editor.org/rfc/rfc2326#section-16
//# The server SHOULD use a
//# large, random and non-sequential session identifier to
//# minimize the possibility of this kind of attack.
/// A session's name: [`SessionId::LEN`] letters and digits, nothing else. live555 strips `$` from
/// an id, others stumble over dashes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId([u8; SessionId::LEN]);

impl SessionId {
    /// Length in bytes: 20 of 62 characters hold 119 bits.
    pub const LEN: usize = 20;

    /// Makes an id of 128 random bits: the lowest 20 digits of that number to the base of 62.
    ///
    /// 2^128 is 483 times the number of ids and a bit, so no id is likelier than another by more
    /// than one part in 483: a guess gains less than a hundredth of a bit.
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_letters_and_digits_of_one_length() {
        for entropy in [[0; 16], [0xff; 16], *b"0123456789abcdef"] {
            let id = SessionId::from_entropy(entropy);
            assert_eq!(id.as_str().len(), SessionId::LEN);
            assert!(id.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
            assert_eq!(SessionId::parse(id.as_str()), Some(id));
        }
    }

    /// Each of the 128 bits makes another id, and every character of the alphabet is used.
    #[test]
    fn ids_depend_on_all_entropy() {
        let mut ids = HashSet::from([SessionId::from_entropy([0; 16])]);
        for bit in 0..128 {
            ids.insert(SessionId::from_entropy((1u128 << bit).to_be_bytes()));
        }
        assert_eq!(ids.len(), 129);
        let used: HashSet<_> = ids.iter().flat_map(|id| id.0).collect();
        assert_eq!(used.len(), ALPHABET.len());
    }

    #[test]
    fn reply_has_no_space_and_nothing_behind() {
        let id = SessionId::from_entropy([7; 16]);
        let header = id.header(Duration::from_millis(60_500));
        assert_eq!(header, format!("{id};timeout=60"));
        assert_eq!(SessionHeader::parse(&header).id(), Some(id), "as some clients echo it");
    }

    #[test]
    fn sessions_as_clients_write_them() {
        let id = SessionId::parse("abcdefghijABCDEFGH12").unwrap();
        assert_eq!(id.to_string(), "abcdefghijABCDEFGH12");
        assert_eq!(format!("{id:?}"), "SessionId(abcdefghijABCDEFGH12)", "as the log has it");
        for text in [
            "abcdefghijABCDEFGH12",
            "abcdefghijABCDEFGH12;timeout=60",
            " abcdefghijABCDEFGH12 ; timeout = 60 ; x",
        ] {
            assert_eq!(SessionHeader::parse(text).id(), Some(id), "{text}");
        }
        for text in
            ["", ";", "abcdefghijABCDEFGH1", "abcdefghijABCDEFGH123", "abcdefghij-BCDEFGH12"]
        {
            assert_eq!(SessionHeader::parse(text).id(), None, "{text}");
        }
    }
}
