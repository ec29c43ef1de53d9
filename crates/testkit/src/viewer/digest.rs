//! The client's side of Digest with MD5 and without qop (RFC 2617 section 3.2.2). Written apart from
//! the server's, so that both cannot be wrong in the same way.

use std::fmt;

use md5::{Digest as _, Md5};

/// A user and a password.
#[derive(Clone)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password, in clear.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({}:…)", self.user)
    }
}

/// What the server wants proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    realm: String,
    nonce: String,
    pub(super) stale: bool,
}

impl Challenge {
    /// Of a `WWW-Authenticate` value; `None` when it is not Digest with MD5.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let parameters = value.strip_prefix("Digest ")?;
        let algorithm = parameter(parameters, "algorithm");
        if algorithm.is_some_and(|name| !name.eq_ignore_ascii_case("MD5")) {
            return None;
        }
        Some(Self {
            realm: parameter(parameters, "realm")?.to_owned(),
            nonce: parameter(parameters, "nonce")?.to_owned(),
            stale: parameter(parameters, "stale").is_some_and(|v| v.eq_ignore_ascii_case("true")),
        })
    }

    /// The `Authorization` value for a request.
    pub(super) fn answer(&self, login: &Login, method: &str, uri: &str) -> String {
        let Self { realm, nonce, .. } = self;
        let Login { user, password } = login;
        let ha1 = md5_hex(&format!("{user}:{realm}:{password}"));
        let ha2 = md5_hex(&format!("{method}:{uri}"));
        let response = md5_hex(&format!("{ha1}:{nonce}:{ha2}"));
        format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\""
        )
    }
}

/// The value of `name` in `name="value", name=value, …`.
fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = parameters;
    while let Some((key, behind)) = rest.split_once('=') {
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => behind.split_at(behind.find(',').unwrap_or(behind.len())),
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value.trim());
        }
        rest = behind.trim_start_matches([',', ' ']);
    }
    None
}

fn md5_hex(text: &str) -> String {
    Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_2069_as_corrected() {
        // RFC 2069 section 2.4, with the response of its erratum 749.
        let value = "Digest realm=\"testrealm@host.com\", \
                     nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc\"";
        let challenge = Challenge::parse(value).unwrap();
        let login = Login { user: "Mufasa".to_owned(), password: "CircleOfLife".to_owned() };
        let answer = challenge.answer(&login, "GET", "/dir/index.html");
        assert!(answer.contains("response=\"1949323746fe6a43ef61f9606e7febea\""), "{answer}");
    }

    #[test]
    fn only_md5_is_taken_up() {
        assert_eq!(Challenge::parse("Basic realm=\"x\""), None);
        assert_eq!(Challenge::parse("Digest realm=\"x\", nonce=\"n\", algorithm=SHA-256"), None);
        let value = "Digest nonce=\"n=,1\",realm=\"a, b\", stale=TRUE, algorithm=\"MD5\"";
        let challenge = Challenge::parse(value).unwrap();
        let (realm, nonce) = ("a, b".to_owned(), "n=,1".to_owned());
        assert_eq!(challenge, Challenge { realm, nonce, stale: true });
    }
}
