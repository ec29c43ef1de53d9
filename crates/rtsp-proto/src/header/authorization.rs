//! The `Authorization` header as clients send it, and the values of `WWW-Authenticate` as the most
//! brittle of them read it (RFC 2617 section 3.2, RFC 7616 sections 3.3 and 3.4, RFC 7617).
//!
//! Only the text: whether what it claims is true, [`crate::auth`] decides.

use std::{borrow::Cow, fmt};

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use percent_encoding::percent_decode_str;
use smallvec::SmallVec;

use crate::wire::parse::is_token_byte;

/// What a client wants to log in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorization<'a> {
    /// Digest, with an algorithm and a quality of protection that can be checked.
    Digest(Digest<'a>),
    /// Basic.
    Basic(Basic),
    /// Well-formed, but not something this server speaks.
    Unsupported(Unsupported),
}

/// The parameters of a Digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest<'a> {
    /// Who it claims to be.
    pub username: Cow<'a, str>,
    /// The nonce, as text: the proof is computed over this spelling.
    pub nonce: Cow<'a, str>,
    /// What the client believes to be the request's URI. The proof is computed over this
    /// spelling, which need not be that of the request line.
    pub uri: Cow<'a, str>,
    /// The response, and with it the algorithm.
    pub proof: Proof,
    /// Quality of protection: `auth` when there, the form of RFC 2069 when not.
    pub qop: Option<QopAuth<'a>>,
}

/// The response of a Digest, by its algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// `algorithm=MD5`, or none named.
    Md5([u8; 16]),
    /// `algorithm=SHA-256`, or none named and 64 digits.
    Sha256([u8; 32]),
}

/// What `qop=auth` adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QopAuth<'a> {
    /// The nonce count as text: the proof is computed over this spelling.
    pub nc: Cow<'a, str>,
    /// The nonce count: how many requests the client has sent with this nonce, this one included.
    pub count: u32,
    /// The client's own nonce.
    pub cnonce: Cow<'a, str>,
}

/// A user and a password in clear. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Basic {
    /// Who it claims to be.
    pub username: String,
    /// The password; may hold colons.
    pub password: String,
}

/// What this server does not speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsupported {
    /// Neither Digest nor Basic.
    Scheme,
    /// Neither MD5 nor SHA-256; the `-sess` variants too.
    Algorithm,
    /// Not `auth`, which alone is ever offered.
    Qop,
    /// The user's name is hashed (`userhash`), which is never offered.
    UserHash,
}

impl<'a> Authorization<'a> {
    /// Reads the value of an `Authorization` header, at most [`MAX_LENGTH`] bytes of it.
    ///
    /// Order and spacing of parameters are free, any value may be quoted or not, parameters that
    /// mean nothing to us are skipped. What has a meaning must be there once.
    ///
    /// # Errors
    ///
    /// When it is not what the RFCs describe even with these liberties.
    pub fn parse(value: &'a str) -> Result<Self, AuthorizationError> {
        if value.len() > MAX_LENGTH {
            return Err(AuthorizationError::TooLong);
        }
        let value = value.trim();
        let (scheme, rest) = value.split_once([' ', '\t']).unwrap_or((value, ""));
        if scheme.eq_ignore_ascii_case("digest") {
            Self::parse_digest(rest)
        } else if scheme.eq_ignore_ascii_case("basic") {
            Basic::parse(rest).map(Self::Basic)
        } else {
            Ok(Self::Unsupported(Unsupported::Scheme))
        }
    }

    fn parse_digest(text: &'a str) -> Result<Self, AuthorizationError> {
        let mut parameters = Parameters::parse(text)?;
        if parameters.take("userhash")?.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(Self::Unsupported(Unsupported::UserHash));
        }
        let response = parameters.require("response")?;
        let proof = match parameters.take("algorithm")? {
            // aiortsp 1.4 uses the one that it was asked for and does not say so.
            None if response.len() == 64 => Proof::sha256(&response)?,
            None => Proof::md5(&response)?,
            Some(name) if name.eq_ignore_ascii_case("MD5") => Proof::md5(&response)?,
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => Proof::sha256(&response)?,
            Some(_) => return Ok(Self::Unsupported(Unsupported::Algorithm)),
        };
        let qop = match parameters.take("qop")? {
            None => None,
            Some(name) if name.eq_ignore_ascii_case("auth") => {
                let nc = parameters.require("nc")?;
                let count = parse_count(&nc).ok_or(AuthorizationError::Value("nc"))?;
                Some(QopAuth { nc, count, cnonce: parameters.require("cnonce")? })
            }
            Some(_) => return Ok(Self::Unsupported(Unsupported::Qop)),
        };
        Ok(Self::Digest(Digest {
            username: parameters.username()?,
            nonce: parameters.require("nonce")?,
            uri: parameters.require("uri")?,
            proof,
            qop,
        }))
    }
}

impl Proof {
    fn md5(response: &str) -> Result<Self, AuthorizationError> {
        decode_hex(response).map(Self::Md5).ok_or(AuthorizationError::Value("response"))
    }

    fn sha256(response: &str) -> Result<Self, AuthorizationError> {
        decode_hex(response).map(Self::Sha256).ok_or(AuthorizationError::Value("response"))
    }
}

impl Basic {
    fn parse(text: &str) -> Result<Self, AuthorizationError> {
        let bytes = BASE64.decode(text.trim()).map_err(|_| AuthorizationError::Base64)?;
        let text = String::from_utf8(bytes).map_err(|_| AuthorizationError::Base64)?;
        let (username, password) = text.split_once(':').ok_or(AuthorizationError::Colon)?;
        Ok(Self { username: username.to_owned(), password: password.to_owned() })
    }
}

impl fmt::Debug for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Basic").field("username", &self.username).finish_non_exhaustive()
    }
}

/// One `WWW-Authenticate` value; each goes on a line of its own.
///
/// The order of parameters, the single space after each comma, and what is quoted are exactly
/// what live555 (and so VLC) reads with `sscanf`:
///
/// ```text
///  Digest realm="%[^"]", nonce="%[^"]", stale=%[a-zA-Z]
/// ```
///
/// `stale` is written only when true: clients take its absence for false. MD5 names no algorithm:
/// its absence has meant MD5 in every RFC from 2069 on, it is what live555's own server sends, and
/// a client that repeats the parameter cannot then misspell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge<'a> {
    /// Digest with MD5, without quality of protection: many clients cannot do the latter.
    Md5 {
        /// Not empty, and without quotes and backslashes.
        realm: &'a str,
        /// Likewise.
        nonce: &'a str,
        /// Whether only the nonce was wrong: the client may try again without asking anybody.
        stale: bool,
    },
    /// Digest with SHA-256 and `qop="auth"`.
    Sha256 {
        /// Not empty, and without quotes and backslashes.
        realm: &'a str,
        /// Likewise.
        nonce: &'a str,
        /// As above.
        stale: bool,
    },
    /// Basic.
    Basic {
        /// Not empty, and without quotes and backslashes.
        realm: &'a str,
    },
}

impl fmt::Display for Challenge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stale = |stale: bool| if stale { ", stale=TRUE" } else { "" };
        match *self {
            Self::Md5 { realm, nonce, stale: is_stale } => {
                write!(f, "Digest realm=\"{realm}\", nonce=\"{nonce}\"{}", stale(is_stale))
            }
            Self::Sha256 { realm, nonce, stale: is_stale } => write!(
                f,
                "Digest realm=\"{realm}\", nonce=\"{nonce}\"{}, algorithm=SHA-256, qop=\"auth\"",
                stale(is_stale)
            ),
            Self::Basic { realm } => write!(f, "Basic realm=\"{realm}\""),
        }
    }
}

/// An `Authorization` header that cannot be read. Shows nothing of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizationError {
    /// Longer than [`MAX_LENGTH`].
    #[error("longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// More than anybody has use for.
    #[error("more than {MAX_PARAMETERS} parameters")]
    TooMany,
    /// Not `name=value, name="value"`.
    #[error("not a list of name=value, at byte {at} behind the scheme")]
    Syntax {
        /// Where, counted from behind the scheme.
        at: usize,
    },
    /// A parameter that is there twice: which one would be meant?
    #[error("{0} is given twice")]
    Duplicate(&'static str),
    /// A parameter that must be there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A parameter whose value cannot be.
    #[error("{0} has an impossible value")]
    Value(&'static str),
    /// Not base64 of UTF-8.
    #[error("not base64 of UTF-8 text")]
    Base64,
    /// Basic without a colon between user and password.
    #[error("no colon between user and password")]
    Colon,
}

/// The parameters of a Digest in order of appearance.
struct Parameters<'a>(SmallVec<[(&'a str, Cow<'a, str>); 12]>);

impl<'a> Parameters<'a> {
    fn parse(text: &'a str) -> Result<Self, AuthorizationError> {
        let mut found = SmallVec::new();
        let mut rest = text;
        let syntax = |rest: &str| AuthorizationError::Syntax { at: text.len() - rest.len() };
        loop {
            // Empty elements are allowed in any comma-separated list (RFC 9110 section 5.6.1).
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                return Ok(Self(found));
            }
            if found.len() == MAX_PARAMETERS {
                return Err(AuthorizationError::TooMany);
            }
            let (name, after) = rest.split_once('=').ok_or_else(|| syntax(rest))?;
            let name = name.trim_end_matches(BLANKS);
            if !is_token(name) {
                return Err(syntax(rest));
            }
            let after = after.trim_start_matches(BLANKS);
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => split_quoted(quoted).ok_or_else(|| syntax(after))?,
                None => split_bare(after).ok_or_else(|| syntax(after))?,
            };
            rest = after.trim_start_matches(BLANKS);
            if !rest.is_empty() && !rest.starts_with(',') {
                return Err(syntax(rest));
            }
            found.push((name, value));
        }
    }

    /// Removes the parameter `name`.
    fn take(&mut self, name: &'static str) -> Result<Option<Cow<'a, str>>, AuthorizationError> {
        let at = |parameters: &Self| {
            parameters.0.iter().position(|(known, _)| known.eq_ignore_ascii_case(name))
        };
        let Some(first) = at(self) else { return Ok(None) };
        let (_, value) = self.0.remove(first);
        match at(self) {
            Some(_) => Err(AuthorizationError::Duplicate(name)),
            None => Ok(Some(value)),
        }
    }

    /// `username`, or what stands for it where a quoted string cannot hold it: percent-encoded
    /// UTF-8 (RFC 7616 section 3.4, RFC 8187). retina writes every name outside ASCII so.
    fn username(&mut self) -> Result<Cow<'a, str>, AuthorizationError> {
        match (self.take("username")?, self.take("username*")?) {
            (Some(_), Some(_)) => Err(AuthorizationError::Duplicate("username")),
            (Some(name), None) => Ok(name),
            (None, Some(extended)) => {
                decode_extended(&extended).ok_or(AuthorizationError::Value("username*"))
            }
            (None, None) => Err(AuthorizationError::Missing("username")),
        }
    }

    fn require(&mut self, name: &'static str) -> Result<Cow<'a, str>, AuthorizationError> {
        self.take(name)?.ok_or(AuthorizationError::Missing(name))
    }
}

/// `UTF-8'language'percent-encoded`, of which the language is nobody's.
fn decode_extended<'a>(text: &str) -> Option<Cow<'a, str>> {
    let (charset, rest) = text.split_once('\'')?;
    let (_language, encoded) = rest.split_once('\'')?;
    let decoded = percent_decode_str(encoded).decode_utf8().ok()?;
    charset.eq_ignore_ascii_case("UTF-8").then(|| Cow::Owned(decoded.into_owned()))
}

/// The value and what follows its closing quote.
fn split_quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut unescaped = String::new();
    let mut rest = text;
    loop {
        let (plain, after) = rest.split_at(rest.find(['"', '\\'])?);
        if let Some(after) = after.strip_prefix('"') {
            return Some(if unescaped.is_empty() {
                (Cow::Borrowed(plain), after)
            } else {
                (Cow::Owned(unescaped + plain), after)
            });
        }
        unescaped.push_str(plain);
        let mut escaped = after.strip_prefix('\\')?.chars();
        unescaped.push(escaped.next()?);
        rest = escaped.as_str();
    }
}

/// The value without blanks around it, and the rest from the comma on.
fn split_bare(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let (value, rest) = text.split_at(text.find(',').unwrap_or(text.len()));
    let value = value.trim_end_matches(BLANKS);
    let plain = !value.is_empty() && !value.contains(['"', ' ', '\t']);
    plain.then_some((Cow::Borrowed(value), rest))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// Eight hexadecimal digits by the RFC; fewer are understood.
fn parse_count(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits { u32::from_str_radix(text, 16).ok() } else { None }
}

/// `2 * N` hexadecimal digits of either case.
pub(crate) fn decode_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    if pairs.len() != N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?;
    }
    Some(bytes)
}

/// Two lower-case hexadecimal digits for each byte.
pub(crate) fn encode_hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The longest `Authorization` value that is read: several times what any client sends.
pub const MAX_LENGTH: usize = 4096;
/// The most parameters; RFC 7616 has eleven.
const MAX_PARAMETERS: usize = 32;
const BLANKS: [char; 2] = [' ', '\t'];
/// Padding is optional: some clients leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests;
